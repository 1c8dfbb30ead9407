"""The GraphQL API at a URL. Only a gateway in a process of its own loads this: an HTTP client is heavy."""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import httpx
import orjson
from starlette.datastructures import UploadFile

from base.tracing import trace_id
from gateway.client import Answer

SECONDS_MAX = 60.0  # for an answer without files
FILE_SECONDS_MAX = 3600.0
ADMITTED_SECONDS = 5.0
ADMITTED_MAX = 10_000
_SENDABLE = re.compile("[!-~]+")  # what a header takes; tokens have nothing else
_VIEWER = "query Admitted { viewer { id } }"
_VERSION = "query Version { serverInfo { version } }"


class Remote:
    """The GraphQL API at a URL."""

    def __init__(self, url: str, *, client: httpx.AsyncClient | None = None) -> None:
        self._url = url
        self._client = client or httpx.AsyncClient(timeout=SECONDS_MAX)
        self._admitted: OrderedDict[bytes, float] = OrderedDict()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def execute(
        self, document: str, operation: str, variables: Mapping[str, Any], credential: str | None
    ) -> Answer:
        """As `Executor.execute`; a server that does not answer is UNAVAILABLE."""
        if credential is not None and not _SENDABLE.fullmatch(credential):
            return _unknown()
        plain, files = _parted(dict(variables), "variables")
        request = {"query": document, "operationName": operation, "variables": plain}
        headers = {"trace-id": trace_id()}
        if credential is not None:
            headers["authorization"] = f"Bearer {credential}"
        else:
            headers["graphql-require-preflight"] = "1"
        try:
            if files:
                response = await self._send_form(request, files, headers)
            else:
                headers["content-type"] = "application/json"
                response = await self._client.post(
                    self._url, content=orjson.dumps(request), headers=headers
                )
            answer = orjson.loads(response.content)
        except (httpx.HTTPError, orjson.JSONDecodeError):
            return _unavailable()
        if not isinstance(answer, dict) or not ("data" in answer or "errors" in answer):
            return _unavailable()
        return answer

    async def _send_form(
        self, request: Any, files: Mapping[str, UploadFile], headers: Mapping[str, str]
    ) -> httpx.Response:
        """By the GraphQL multipart request specification; a file goes piece by piece."""
        places = {str(index): [path] for index, path in enumerate(files)}
        fields = {"operations": orjson.dumps(request), "map": orjson.dumps(places)}
        parts = {
            str(index): (file.filename or "upload", file.file, "application/octet-stream")
            for index, file in enumerate(files.values())
        }
        for file in files.values():
            await file.seek(0)
        return await self._client.post(
            self._url, data=fields, files=parts, headers=headers, timeout=FILE_SECONDS_MAX
        )

    async def admit(self, credential: str) -> Answer | None:
        """As `Executor.admit`; what was good is not asked again for `ADMITTED_SECONDS`."""
        key = hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()
        if time.monotonic() < self._admitted.get(key, 0.0):
            return None
        answer = await self.execute(_VIEWER, "Admitted", {}, credential)
        if answer.get("errors"):
            return answer
        self._admitted[key] = time.monotonic() + ADMITTED_SECONDS
        if len(self._admitted) > ADMITTED_MAX:
            self._admitted.popitem(last=False)
        return None

    async def version(self) -> str | None:
        """The version of the server there; None where it does not answer."""
        answer = await self.execute(_VERSION, "Version", {}, None)
        data = answer.get("data")
        return data["serverInfo"]["version"] if data else None


def _unknown() -> Answer:
    message = "The API token is unknown, expired or revoked."
    hint = "Send a valid one, or log in again."
    return {
        "errors": [{"message": message, "extensions": {"code": "UNAUTHENTICATED", "hint": hint}}]
    }


def _unavailable() -> Answer:
    message = "The GraphQL API behind this gateway does not answer."
    extensions = {"code": "UNAVAILABLE", "hint": "Try again; tell the operator the trace id."}
    return {"errors": [{"message": message, "extensions": extensions}]}


def _parted(value: Any, path: str) -> tuple[Any, dict[str, UploadFile]]:
    """A JSON value with null in the place of each file, and the files by their paths."""
    files: dict[str, UploadFile] = {}
    if isinstance(value, UploadFile):
        return None, {path: value}
    if isinstance(value, dict):
        parts = {name: _parted(item, f"{path}.{name}") for name, item in value.items()}
        for _, found in parts.values():
            files |= found
        return {name: plain for name, (plain, _) in parts.items()}, files
    if isinstance(value, list):
        listed = [_parted(item, f"{path}.{index}") for index, item in enumerate(value)]
        for _, found in listed:
            files |= found
        return [plain for plain, _ in listed], files
    return value, files
