"""Where a bucket is: the URL of S3 storage, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from storage.keys import check_key

_BUCKET_FORM = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_OPTIONS = {"endpoint", "public_endpoint", "region", "path_style"}


@dataclass(frozen=True, slots=True)
class Location:
    """Where a bucket is. `prefix` is empty or ends with a slash; endpoints have neither path nor trailing slash."""

    bucket: str
    prefix: str
    endpoint: str
    public_endpoint: str
    region: str
    path_style: bool

    @classmethod
    def parse(cls, url: str) -> Location:
        """Of `s3://bucket/prefix?endpoint=…&public_endpoint=…&region=…&path_style=true`; raises ValueError.

        Without an endpoint it is AWS, and the bucket is part of the host unless `path_style` says otherwise.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=False))
        if parts.scheme != "s3" or not _BUCKET_FORM.fullmatch(parts.netloc):
            msg = "an S3 storage URL has the form s3://bucket/prefix?endpoint=…&region=…"
            raise ValueError(msg)
        if unknown := sorted(options.keys() - _OPTIONS):
            msg = f"an S3 storage URL has no option {unknown[0]!r}; it has {sorted(_OPTIONS)}"
            raise ValueError(msg)
        prefix = parts.path.strip("/")
        if prefix:
            check_key(prefix)
        region = options.get("region") or "us-east-1"
        endpoint = _endpoint(options.get("endpoint") or f"https://s3.{region}.amazonaws.com")
        return cls(
            bucket=parts.netloc,
            prefix=f"{prefix}/" if prefix else "",
            endpoint=endpoint,
            public_endpoint=_endpoint(options.get("public_endpoint") or endpoint),
            region=region,
            path_style=_boolean(options.get("path_style"), default="endpoint" in options),
        )

    def base(self, endpoint: str) -> str:
        """Scheme and host of the bucket at an endpoint."""
        if self.path_style:
            return endpoint
        scheme, _, host = endpoint.partition("://")
        return f"{scheme}://{self.bucket}.{host}"

    @property
    def path(self) -> str:
        """The path of the bucket."""
        return f"/{self.bucket}" if self.path_style else ""


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    extra = parts.path.strip("/") or parts.query or parts.username or parts.password
    if parts.scheme not in {"http", "https"} or not parts.hostname or extra:
        msg = "an endpoint of an S3 storage URL has the form https://host:port"
        raise ValueError(msg)
    return f"{parts.scheme}://{parts.netloc}"


def _boolean(text: str | None, *, default: bool) -> bool:
    if text is None:
        return default
    if text not in {"true", "false"}:
        msg = "path_style in an S3 storage URL is true or false"
        raise ValueError(msg)
    return text == "true"
