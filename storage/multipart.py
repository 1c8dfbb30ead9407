"""S3's multipart uploads, over presigned requests: what an object is made of in parts, whoever sends them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Literal, NamedTuple
from xml.etree import ElementTree as ET

import httpx

from base.errors import NotFound
from storage import errors
from storage.errors import StoreUnavailable
from storage.sigv4 import QuerySigner
from storage.store import PartInfo

ANSWER_BYTES_MAX = 4 * 1024**2
ATTEMPTS_MAX = 4
REQUEST_SECONDS = 900  # a link of ours lives as long as one attempt may take
PAGES_MAX = 100
_TIMEOUT = httpx.Timeout(60, connect=5)
_PAUSE_SECONDS = 0.2
_AGAIN = frozenset({429, 500, 502, 503, 504})
_FULL = frozenset({"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"})
Method = Literal["GET", "PUT", "POST", "DELETE"]


class _Answer(NamedTuple):
    status: int
    etag: str  # without quotes
    body: bytes


class Multipart:
    """The multipart requests of one bucket, blocking. `base` + `bucket` (a path) + "/" + `prefix` + key is a URL."""

    def __init__(self, signer: QuerySigner, base: str, bucket: str, prefix: str) -> None:
        self._signer = signer
        self._base = base
        self._bucket = bucket
        self._prefix = prefix
        # Nobody closes a store, so no connection may be left open; they carry megabytes each anyway.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(timeout=_TIMEOUT, limits=limits, trust_env=False)

    def create(self, key: str, metadata: Mapping[str, str] | None = None) -> str:
        """Begin an upload; its id."""
        headers = {f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()}
        answer = self._send("POST", key, {"uploads": ""}, headers=headers)
        upload_id = _xml(answer).findtext("{*}UploadId")
        if not upload_id:
            raise StoreUnavailable("The object store gave a multipart upload no id.")
        return upload_id

    def put(self, key: str, upload_id: str, number: int, body: bytes | bytearray) -> str:
        """Send a part; its ETag without quotes."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        return self._send("PUT", key, query, body=bytes(body)).etag

    def parts(self, key: str, upload_id: str) -> list[PartInfo]:
        """The parts that are there, by number, of several attempts the last one last; raises NotFound."""
        found: list[tuple[str, PartInfo]] = []
        query = {"uploadId": upload_id}
        for _ in range(PAGES_MAX):
            page = _xml(self._send("GET", key, query))
            for part in page.iterfind("{*}Part"):
                number, size = part.findtext("{*}PartNumber"), part.findtext("{*}Size")
                etag = part.findtext("{*}ETag") or ""
                info = PartInfo(int(number or 0), int(size or 0), etag.strip('"'))
                found.append((part.findtext("{*}LastModified") or "", info))
            marker = page.findtext("{*}NextPartNumberMarker")
            if page.findtext("{*}IsTruncated") != "true" or not marker:
                break
            query["part-number-marker"] = marker
        return [info for _, info in sorted(found, key=lambda each: (each[1].number, each[0]))]

    def complete(self, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> None:
        """Make the parts an object, never over another. Raises Conflict where the key is taken, NotFound."""
        root = ET.Element("CompleteMultipartUpload")
        for number, etag in parts:
            part = ET.SubElement(root, "Part")
            ET.SubElement(part, "PartNumber").text = str(number)
            ET.SubElement(part, "ETag").text = f'"{etag}"'
        answer = self._send(
            "POST",
            key,
            {"uploadId": upload_id},
            headers={"if-none-match": "*"},
            body=ET.tostring(root),
        )
        if _xml(answer).tag.endswith("Error"):  # S3 sends 200 before it knows
            raise StoreUnavailable("The object store could not put the parts together.")

    def abort(self, key: str, upload_id: str) -> None:
        """Forget an upload; absent is fine."""
        try:
            self._send("DELETE", key, {"uploadId": upload_id})
        except NotFound:
            return

    def sweep(self, prefix: str, older_than_seconds: int) -> int:
        """Abort the uploads below a prefix of keys that began longer ago; how many."""
        limit = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        below = self._prefix + prefix
        page = _xml(self._send("GET", None, {"uploads": "", "prefix": below}))
        removed = 0
        for upload in page.iterfind("{*}Upload"):
            key, upload_id = upload.findtext("{*}Key") or "", upload.findtext("{*}UploadId")
            begun = datetime.fromisoformat(upload.findtext("{*}Initiated") or "")
            if upload_id and begun < limit and key.startswith(below):
                self.abort(key.removeprefix(self._prefix), upload_id)
                removed += 1
        return removed

    def _send(
        self,
        method: Method,
        key: str | None,
        query: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> _Answer:
        """One request, repeated where that may help; `key` None is the bucket. Its URL never reaches an error."""
        path = self._bucket or "/" if key is None else f"{self._bucket}/{self._prefix}{key}"
        for attempt in range(1, ATTEMPTS_MAX + 1):
            url = self._signer.url(
                method, self._base, path, query, expires_in=REQUEST_SECONDS, headers=headers
            )
            try:
                answer = self._ask(method, url, headers, body)
            except httpx.TransportError as error:
                if attempt == ATTEMPTS_MAX:
                    kind = type(error).__name__
                    raise StoreUnavailable(f"The object store did not answer: {kind}.") from None
            else:
                if answer.status not in _AGAIN or attempt == ATTEMPTS_MAX:
                    return _checked(answer)
            time.sleep(_PAUSE_SECONDS * 2**attempt)
        raise AssertionError

    def _ask(
        self, method: Method, url: str, headers: Mapping[str, str] | None, body: bytes
    ) -> _Answer:
        """One request with its whole answer, which is short."""
        with self._client.stream(method, url, headers=headers, content=body) as answer:
            content = bytearray()
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > ANSWER_BYTES_MAX:
                    raise StoreUnavailable("The object store's answer is too long.")
        etag = answer.headers.get("etag", "").strip('"')
        return _Answer(answer.status_code, etag, bytes(content))


def _checked(answer: _Answer) -> _Answer:
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    code = _xml(answer).findtext("{*}Code") or _xml(answer).findtext("Code") or ""
    if code in _FULL or answer.status == HTTPStatus.INSUFFICIENT_STORAGE:
        raise errors.bucket_full()
    match answer.status:
        case HTTPStatus.NOT_FOUND:
            raise errors.ended()
        case HTTPStatus.PRECONDITION_FAILED | HTTPStatus.CONFLICT:
            raise errors.taken()
        case HTTPStatus.FORBIDDEN | HTTPStatus.UNAUTHORIZED:
            raise errors.refused()
    raise StoreUnavailable(f"The object store answered {answer.status} {code}.".strip())


def _xml(answer: _Answer) -> ET.Element:
    try:
        return ET.fromstring(answer.body)  # noqa: S314 - of the operator's own store, and short
    except ET.ParseError:
        return ET.Element("Empty")
