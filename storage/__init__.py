"""Floor 1: bytes and Parquet snapshots."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from storage.local import LocalStore
from storage.location import Location
from storage.signing import Signer
from storage.sigv4 import Credentials
from storage.store import ObjectStore

CACHE_BYTES_MAX = 10 * 1024**3


def open(  # noqa: A001 - `storage.open(url)` is how it reads
    url: str,
    *,
    signing_key: bytes,
    public_url: str,
    credentials: Credentials | None = None,
    folder: Path | None = None,
    cache_bytes_max: int = CACHE_BYTES_MAX,
) -> ObjectStore:
    """The object store behind a URL: `file:///folder` or `s3://bucket/prefix?endpoint=…&region=…`.

    `public_url` is where the links of a folder point to. S3 needs `credentials`, and a `folder` of its own for
    temporary files and copies of up to `cache_bytes_max` bytes. Raises ValueError for a URL of another kind or without
    what it needs, OSError where the folder cannot be made.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return _bucket(url, credentials, folder, cache_bytes_max)
    if parts.scheme != "file" or parts.netloc or not parts.path:
        msg = "a storage URL has the form file:///absolute/path or s3://bucket/prefix"
        raise ValueError(msg)
    return LocalStore(Path(unquote(parts.path)), Signer(signing_key), public_url)


def endpoint_of(url: str) -> str | None:
    """The address of the S3 server that a storage URL names; None for a folder, and for AWS. Raises ValueError."""
    if not url.startswith("s3:") or "endpoint=" not in url:
        return None
    return Location.parse(url).endpoint


def _bucket(
    url: str, credentials: Credentials | None, folder: Path | None, cache_bytes_max: int
) -> ObjectStore:
    from storage.s3 import S3Store  # noqa: PLC0415 - 15 MB that only S3 needs

    location = Location.parse(url)
    if credentials is None or folder is None:
        msg = "an S3 storage URL needs credentials"
        raise ValueError(msg)
    return S3Store(location, credentials, folder, cache_bytes_max)


__all__ = ["Credentials", "ObjectStore", "endpoint_of", "open"]
