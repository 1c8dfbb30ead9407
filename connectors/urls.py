"""URLs that users give: of the web, without what hides another place in them, and shown without what is private."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from base.errors import InvalidInput, PlatformError
from base.net import normal_host


def checked(url: str, field: str, *, hint: str) -> tuple[SplitResult, str]:
    """The URL's parts, and its origin with the host as it is looked up; InvalidInput for one that is not of the web."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidInput("This is not a URL.", hint=hint, field=field) from error
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise InvalidInput(
            "The URL starts with https:// or http://, and a host.", hint=hint, field=field
        )
    if "\\" in url or any(sign.isspace() or not sign.isprintable() for sign in url):
        raise InvalidInput("The URL has blanks, backslashes or control characters.", field=field)
    try:
        name = normal_host(f"[{host}]" if ":" in host else host)
    except PlatformError as error:
        raise InvalidInput(error.message, hint=error.hint, field=field) from error
    shown = f"[{name}]" if ":" in name else name
    return parts, f"{parts.scheme}://{shown}{f':{port}' if port else ''}"
