"""What a user may say about an API. Light: parsed in the API process, where no HTTP client is loaded for it.

Public settings: `base_url`, `headers` (names), `auth` (its kind, and what of it is no secret) and `resources`. Secrets:
`bearer`, `api_key`, `password`, and `header.<name>` for the value of each header, whatever it is. Errors name fields as
the API does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from base.errors import InvalidInput
from connectors import urls

RESOURCES_MAX = 200
HEADERS_MAX = 50
PARAMS_MAX = 100
KEY_COLUMNS_MAX = 20
NAME_CHARS_MAX = 200
TEXT_CHARS_MAX = 4_096
JSONPATH_CHARS_MAX = 500
PAGE_ROWS_MAX = 100_000
PORT_MAX = 65_535
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_OURS = re.compile(
    r"host|connection|content-.*|transfer-encoding|t[e]|trailer|upgrade|expect|accept-encoding|proxy-.*|keep-alive",
    re.IGNORECASE,
)
_CREDENTIAL = re.compile(
    r"(?:.*[-_.])?(?:api[-_]?key|apikey|token|secret|password|passwd|signature|credentials?)",
    re.IGNORECASE,
)


class ApiPaginationKind(StrEnum):
    """How a resource is read page by page."""

    NONE = "none"
    PAGE = "page"
    OFFSET = "offset"
    CURSOR = "cursor"
    NEXT_URL = "next_url"
    LINK_HEADER = "link_header"


_PARAMS = {
    ApiPaginationKind.PAGE: "page",
    ApiPaginationKind.OFFSET: "offset",
    ApiPaginationKind.CURSOR: "cursor",
}
_SIZE_PARAMS = {ApiPaginationKind.PAGE: "per_page"}
_NEXT = {ApiPaginationKind.CURSOR: None, ApiPaginationKind.NEXT_URL: "$.next"}


def parse(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Public settings and secrets of `base_url`, `auth`, `headers` and `resources`; raises InvalidInput."""
    _refuse_unknown(raw, {"base_url", "auth", "headers", "resources"}, "")
    base_url = _base_url(raw.get("base_url"))
    headers, secrets = _headers(raw.get("headers") or {})
    auth, more = _auth(raw.get("auth") or {}, headers)
    settings = {
        "base_url": base_url,
        "headers": headers,
        "auth": auth,
        "resources": _resources(raw.get("resources"), base_url),
    }
    return settings, secrets | more


def _base_url(value: Any) -> str:
    text = _text(value, "baseUrl")
    field = "baseUrl"
    parts, origin = urls.checked(text, field, hint="For example https://api.example.com/v1.")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput(
            "The base URL holds a user name, which would be shown with it.",
            hint="Put user name and password into auth.basic.",
            field=field,
        )
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise InvalidInput(
            "The base URL ends with its path.",
            hint="Put a query into the params of the resources, a key into auth.apiKey.",
            field=field,
        )
    return f"{origin}{parts.path.rstrip('/')}"


def _headers(value: Any) -> tuple[list[str], dict[str, str]]:
    """Names, and values as secrets: which of them are is not for us to guess."""
    if not isinstance(value, Mapping) or len(value) > HEADERS_MAX:
        raise InvalidInput(
            f"headers is an object of up to {HEADERS_MAX} texts by header name.", field="headers"
        )
    names: list[str] = []
    for name, text in value.items():
        field = f"headers.{name}"
        if not _HEADER_NAME.fullmatch(name) or name.lower() in map(str.lower, names):
            raise InvalidInput(f"{name[:100]!r} is not a header, or there twice.", field="headers")
        if _OURS.fullmatch(name):
            raise InvalidInput(f"The header {name} is set by the client itself.", field=field)
        _header_value(text, field)
        names.append(name)
    return names, {f"header.{name}": str(text) for name, text in value.items()}


def _header_value(value: Any, field: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARS_MAX or not value.strip():
        raise InvalidInput(
            f"`{field}` is a text of up to {TEXT_CHARS_MAX} characters.", field=field
        )
    if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
        raise InvalidInput(
            f"`{field}` holds what a header cannot: line ends, blanks around it, or other than Latin-1.",
            field=field,
        )
    return value


def _auth(value: Any, headers: Sequence[str]) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """What is shown of the credentials, and the secret."""
    given = {name: each for name, each in value.items() if each is not None}
    if not given:
        return None, {}
    if len(given) > 1 or not set(given) <= {"bearer", "api_key", "basic"}:
        raise InvalidInput("auth is one of bearer, apiKey and basic.", field="auth")
    kind, held = next(iter(given.items()))
    taken = [name.lower() for name in headers]
    if kind == "bearer":
        _refuse_taken("authorization", taken)
        return {"kind": kind}, {kind: _header_value(held, "auth.bearer")}
    if kind == "basic":
        _refuse_taken("authorization", taken)
        username = _text(held.get("username"), "auth.basic.username")
        if ":" in username:
            raise InvalidInput("A user name has no colon.", field="auth.basic.username")
        password = held.get("password")
        if not isinstance(password, str) or len(password) > TEXT_CHARS_MAX:
            raise InvalidInput("The password is a text.", field="auth.basic.password")
        return {"kind": kind, "username": username}, {"password": password}
    name = _text(held.get("name") or "X-API-Key", "auth.apiKey.name", chars_max=NAME_CHARS_MAX)
    place = held.get("in") or "header"
    if place not in {"header", "query"}:
        raise InvalidInput("An API key is in a header or in the query.", field="auth.apiKey.in")
    if place == "header":
        if not _HEADER_NAME.fullmatch(name) or _OURS.fullmatch(name):
            raise InvalidInput("The key's name is not one of a header.", field="auth.apiKey.name")
        _refuse_taken(name.lower(), taken)
    key = _header_value(held.get("value"), "auth.apiKey.value")
    return {"kind": kind, "name": name, "in": place}, {kind: key}


def _refuse_taken(name: str, taken: Sequence[str]) -> None:
    if name in taken:
        raise InvalidInput(f"The header {name} is in headers, and in auth.", field="auth")


def _resources(value: Any, base_url: str) -> list[dict[str, Any]]:
    if value is None:
        name = urlsplit(base_url).path.rstrip("/").rpartition("/")[2] or "data"
        value = [{"name": name[:NAME_CHARS_MAX], "path": ""}]
    if not isinstance(value, Sequence) or not 0 < len(value) <= RESOURCES_MAX:
        raise InvalidInput(f"resources are 1 to {RESOURCES_MAX}.", field="resources")
    found = [_resource(each, f"resources[{place}]") for place, each in enumerate(value)]
    names: set[str] = set()
    for place, resource in enumerate(found):
        if resource["name"].casefold() in names:
            message = f"Two resources are called {resource['name']!r}."
            raise InvalidInput(message, field=f"resources[{place}].name")
        names.add(resource["name"].casefold())
    return found


def _resource(raw: Mapping[str, Any], place: str) -> dict[str, Any]:
    known = {"name", "path", "params", "records", "pagination"}
    _refuse_unknown(raw, known | {"cursor_param", "cursor_column", "primary_key"}, f"{place}.")
    given = {name: each for name, each in raw.items() if each is not None}
    records = given.get("records")
    key = list(given.get("primary_key") or ())
    if len(key) > KEY_COLUMNS_MAX or len(set(key)) < len(key):
        raise InvalidInput("The key's columns are a few, each once.", field=f"{place}.primaryKey")
    column = given.get("cursor_column")
    param = given.get("cursor_param")
    if param is not None and column is None:
        raise InvalidInput(
            "cursorParam sends the last value of a column: name it in cursorColumn.",
            field=f"{place}.cursorColumn",
        )
    records = None if records is None else jsonpath_text(records, f"{place}.records")
    pagination = _pagination(given.get("pagination") or {}, f"{place}.pagination")
    if records is not None:
        _refuse_uncountable(records, ApiPaginationKind(pagination["kind"]), f"{place}.records")
    return {
        "name": _text(given.get("name"), f"{place}.name", chars_max=NAME_CHARS_MAX),
        "path": _path(given.get("path", ""), f"{place}.path"),
        "params": _params(given.get("params") or {}, f"{place}.params"),
        "records": records,
        "pagination": pagination,
        "cursor_param": None if param is None else _param(param, f"{place}.cursorParam"),
        "cursor_column": None if column is None else _text(column, f"{place}.cursorColumn"),
        "primary_key": [_text(each, f"{place}.primaryKey") for each in key],
    }


def _path(value: Any, field: str) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if "://" in text or text.startswith("//") or re.search(r"[\\\s\x00-\x1f\x7f]", text):
        raise InvalidInput("The path is below the base URL, such as /items.", field=field)
    if "?" in text or "#" in text:
        raise InvalidInput("The path has no query.", hint="Put it into params.", field=field)
    if len(text) > TEXT_CHARS_MAX:
        raise InvalidInput("The path is too long.", field=field)
    return text


def _params(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or len(value) > PARAMS_MAX:
        raise InvalidInput(f"params is an object of up to {PARAMS_MAX} values.", field=field)
    for name, each in value.items():
        _param(name, field)
        values = each if isinstance(each, list) else [each]
        if not all(isinstance(one, str | int | float | bool) for one in values):
            raise InvalidInput(
                f"The param {name} is a text, a number, true or false, or a list of these.",
                field=f"{field}.{name}",
            )
    return dict(value)


def _param(value: Any, field: str) -> str:
    """A query parameter that is shown with the settings, and so is none that holds a secret."""
    name = _text(value, field, chars_max=NAME_CHARS_MAX)
    if _CREDENTIAL.fullmatch(name) and not name.lower().endswith("page_token"):
        raise InvalidInput(
            f"The param {name} looks like a credential, and params are shown.",
            hint="Put it into auth.apiKey, with in: QUERY.",
            field=field,
        )
    return name


def _pagination(raw: Mapping[str, Any], place: str) -> dict[str, Any]:
    _refuse_unknown(raw, {"kind", "param", "size_param", "size", "next"}, f"{place}.")
    given = {name: each for name, each in raw.items() if each is not None}
    try:
        kind = ApiPaginationKind(str(given.get("kind", "none")).lower())
    except ValueError as error:
        raise InvalidInput("There is no such pagination.", field=f"{place}.kind") from error
    if "param" in given and kind not in _PARAMS:
        message = f"param is of PAGE, OFFSET and CURSOR, not of {kind.name}."
        raise InvalidInput(message, field=f"{place}.param")
    if "next" in given and kind not in _NEXT:
        message = f"next is of CURSOR and NEXT_URL, not of {kind.name}."
        raise InvalidInput(message, field=f"{place}.next")
    if kind is ApiPaginationKind.CURSOR and "next" not in given:
        raise InvalidInput(
            "CURSOR needs next: where the next cursor is in an answer.",
            hint="For example $.meta.next_cursor.",
            field=f"{place}.next",
        )
    size = given.get("size")
    if size is not None and not (type(size) is int and 1 <= size <= PAGE_ROWS_MAX):
        raise InvalidInput(f"size is 1 to {PAGE_ROWS_MAX:,}.", field=f"{place}.size")
    if "size_param" in given and size is None:
        raise InvalidInput("sizeParam needs size.", field=f"{place}.size")
    found: dict[str, Any] = {"kind": kind.value}
    if kind in _PARAMS:
        param = given.get("param", _PARAMS[kind])
        found["param"] = _text(param, f"{place}.param", chars_max=NAME_CHARS_MAX)
    if size is not None:
        name = given.get("size_param", _SIZE_PARAMS.get(kind, "limit"))
        found |= {"size_param": _param(name, f"{place}.sizeParam"), "size": size}
    if kind in _NEXT:
        found["next"] = jsonpath_text(given.get("next", _NEXT[kind]), f"{place}.next")
    return found


def jsonpath_text(value: Any, field: str) -> str:
    """A JSONPath, once it is one; raises InvalidInput."""
    text = _text(value, field, chars_max=JSONPATH_CHARS_MAX)
    import jsonpath

    hint = "For example $.data.items."
    try:
        path = jsonpath.compile(text)
    except (jsonpath.JSONPathError, RecursionError, ValueError) as error:
        raise InvalidInput("This is not a JSONPath.", hint=hint, field=field) from error
    if not isinstance(path, jsonpath.JSONPath):
        raise InvalidInput("This is more than one JSONPath.", hint=hint, field=field)
    return text


def _refuse_uncountable(text: str, kind: ApiPaginationKind, field: str) -> None:
    """Where pages are counted by their records, these have to be of one list: else some would be skipped."""
    if kind not in {ApiPaginationKind.PAGE, ApiPaginationKind.OFFSET}:
        return
    from connectors.rest import paths

    path = paths.compiled(text)
    is_counted = paths.counted_keys(path) is not None
    if kind is ApiPaginationKind.OFFSET and paths.gathers(path) and not is_counted:
        raise InvalidInput(
            "OFFSET counts the records of one list, and this JSONPath gathers them from several places.",
            hint="Name one list, such as $.groups or $.result[0].items, or page in another way.",
            field=field,
        )
    if paths.is_filtered(path) and not is_counted:
        raise InvalidInput(
            "PAGE ends with a page without records, and this JSONPath may leave out all of a page in its middle.",
            hint="Filter the elements of one list, such as $.data[?@.active], or filter the rows later.",
            field=field,
        )


def _text(value: Any, field: str, *, chars_max: int = TEXT_CHARS_MAX) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > chars_max:
        raise InvalidInput(f"`{field}` is a text of 1 to {chars_max:,} characters.", field=field)
    return value.strip()


def _refuse_unknown(raw: Mapping[str, Any], known: set[str], place: str) -> None:
    for name, value in raw.items():
        if name not in known and value is not None:
            message = f"{name} is not a setting of an API."
            raise InvalidInput(message, field=f"{place}{name}")
