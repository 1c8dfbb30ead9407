"""AWS Signature Version 4 in the query: URLs that S3 takes as their own permission.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

EXPIRES_SECONDS_MAX = 7 * 24 * 3600  # what S3 allows
_ALGORITHM = "AWS4-HMAC-SHA256"
_SAFE = "-_.~"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key. One with a session token ends when that does, and so do its URLs."""

    key_id: str
    secret: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class QuerySigner:
    """Signs URLs of one S3 service in one region."""

    credentials: Credentials
    region: str

    def url(
        self,
        method: str,
        base: str,
        path: str,
        query: Mapping[str, str],
        *,
        expires_in: int,
        headers: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> str:
        """The URL that allows `method` on `base` + `path` (unescaped) for `expires_in` seconds.

        `headers` (names in lower case) have to be sent as they are here.
        """
        stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        signed = {"host": urlsplit(base).netloc, **(headers or {})}
        names = ";".join(sorted(signed))
        fields = {
            **query,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.credentials.key_id}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(min(max(expires_in, 1), EXPIRES_SECONDS_MAX)),
            "X-Amz-SignedHeaders": names,
        }
        if self.credentials.session_token:
            fields["X-Amz-Security-Token"] = self.credentials.session_token
        pairs = sorted((quote(k, safe=_SAFE), quote(v, safe=_SAFE)) for k, v in fields.items())
        canonical_query = "&".join(f"{key}={value}" for key, value in pairs)
        escaped = quote(path, safe="/" + _SAFE)
        canonical_headers = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
        request = f"{method}\n{escaped}\n{canonical_query}\n{canonical_headers}\n{names}\nUNSIGNED-PAYLOAD"
        text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
        signature = _hmac(self._key(stamp[:8]), text).hex()
        return f"{base}{escaped}?{canonical_query}&X-Amz-Signature={signature}"

    def _key(self, day: str) -> bytes:
        key = ("AWS4" + self.credentials.secret).encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = _hmac(key, part)
        return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
