"""What clients write about a connection, as GraphQL's `ConnectionInput`: two spellings of databases, files and APIs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from gateway.failures import Failure, Problem, invalid
from gateway.prometheux.said import Said

DISK = "disk/"  # what paths of uploaded files begin with
_ENGINES = {
    "postgresql": "POSTGRESQL",
    "postgres": "POSTGRESQL",
    "mysql": "MYSQL",
    "mariadb": "MYSQL",
    "sqlite": "SQLITE",
}
_FILES = frozenset(
    {"file", "csv", "tsv", "json", "ndjson", "jsonl", "parquet", "excel", "xlsx", "xls"}
    | {"text", "txt", "markdown", "md", "pdf", "docx", "doc", "pptx", "ppt"}
)
_APIS = frozenset({"api", "rest"})
_ENGINE_OF_PORT = {3306: "mysql"}
_ENGINE_OF_SCHEME = {"postgres": "postgresql"}
_FILE_OPTIONS = {"delimiter": "delimiter", "encoding": "encoding", "column_types": "columnTypes"}


@dataclass(slots=True)
class Connection:
    """GraphQL's `ConnectionInput`, and what had to be guessed of it, for people."""

    given: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def of_source(type_: str, config: Mapping[str, Any], path: str) -> Connection:
    """The connection of one of `sources[]`, whose type is a family or already the kind; `path` is where it stands."""
    said = Said(config, f"{path}.connection_config")
    family = type_.strip().lower()
    if family in _FILES:
        return Connection({"file": _file(said)})
    if family in _APIS:
        return Connection({"api": _api(said)})
    kind = family if family != "database" else (said.text("type") or "").lower()
    notes: list[str] = []
    if not kind:
        kind, told = _guessed(said)
        if not told:
            notes.append(
                "Nothing says which engine it is: taken as PostgreSQL. Name another one by `connection_config.type`."
            )
    return Connection(_of_kind(kind, said), notes)


def of_database(database: Mapping[str, Any]) -> Connection:
    """The connection of `{"database": {…}}`, whose keys are in camel case."""
    said = Said(database, "database")
    if database.get("query"):
        raise Failure(
            "UNSUPPORTED",
            "Headwater reads tables and views, not the results of queries.",
            hint="Make the query a view of the database, and select that.",
        )
    kind = (said.text("type") or "").lower()
    if not kind:
        kind, told = _guessed(said)
        if not told:
            raise invalid(
                Problem("database.databaseType", "required", "`database.databaseType` is missing.")
            )
    return Connection(_of_kind(kind, said))


def _guessed(said: Said) -> tuple[str, bool]:
    """A kind by the URL's scheme or the port, and whether those tell."""
    url = said.text("url")
    if url:
        scheme = url.removeprefix("jdbc:").partition(":")[0].lower()
        return _ENGINE_OF_SCHEME.get(scheme, scheme), True
    port = said.port()
    if port in _ENGINE_OF_PORT:
        return _ENGINE_OF_PORT[port], True
    return "postgresql", False


def _of_kind(kind: str, said: Said) -> dict[str, Any]:
    if kind in _FILES:
        return {"file": _file(said)}
    if kind in _APIS:
        return {"api": _api(said)}
    if kind not in _ENGINES:
        raise Unknown(kind)
    engine = _ENGINES[kind]
    if engine == "SQLITE":
        return {"database": {"engine": engine, "objectKey": _object_key(said)}}
    given: dict[str, Any] = {
        "engine": engine,
        "host": said.text("host"),
        "port": said.port(),
        "database": said.text("database"),
        "username": said.text("username"),
        "password": said.text("password"),
        "sslMode": said.text("ssl_mode"),
        "options": said.object("options") or None,
        "url": said.text("url"),
    }
    if given["url"]:
        given |= _within_url(given["url"], given.pop("username"), given.pop("password"))
    return {"database": {name: value for name, value in given.items() if value is not None}}


def _within_url(url: str, username: str | None, password: str | None) -> dict[str, Any]:
    """The URL as GraphQL takes it, without `jdbc:`, and with the user where that stands beside it."""
    plain = url.removeprefix("jdbc:")
    scheme, _, rest = plain.partition("://")
    if username is None or "@" in urlsplit(f"//{rest}").netloc:
        return {"url": plain}
    user = quote(username, safe="") + (f":{quote(password, safe='')}" if password else "")
    return {"url": f"{scheme}://{user}@{rest}"}


def _file(said: Said) -> dict[str, Any]:
    """An uploaded file by its path `disk/…`, or one at a URL; with what is said of its format."""
    options = Said(said.object("options"), f"{said.path}.options")
    given: dict[str, Any] = {}
    for name, theirs in _FILE_OPTIONS.items():
        read = Said.object if name == "column_types" else Said.text
        value = read(said, name) or read(options, name)
        if value:
            given[theirs] = value
    url = _url_of_file(said)
    return {"url": url, **given} if url else {"objectKey": _object_key(said), **given}


def _url_of_file(said: Said) -> str | None:
    url = said.text("url")
    if url:
        return url
    place = _path(said)
    return place if re.match(r"https?://", place) else None


def _path(said: Said) -> str:
    """Where a file is: one path, or a folder (`host`) and a name (`databaseName`)."""
    whole = said.text("path")
    if whole:
        return whole
    folder, name = said.text("host") or "", said.text("database") or said.text("file_name") or ""
    return "/".join(part for part in (folder.rstrip("/"), name) if part)


def _object_key(said: Said) -> str:
    """The object key that an upload's `filePath`, `disk/<object key>/<file name>`, leads back to."""
    key = said.text("object_key")
    if key:
        return key
    path = _path(said).lstrip("/")
    folder, slash, _ = path.removeprefix(DISK).rpartition("/")
    if not slash:
        raise invalid(
            Problem(
                said.path,
                "required",
                f"`{said.path}` names no file: give `host`, the folder of the `filePath` that the upload answered, and "
                "the file's name, or a `url`.",
            )
        )
    return folder


def _api(said: Said) -> dict[str, Any]:
    base_url = said.text("base_url")
    if not base_url:
        message = f"`{said.path}.base_url` is missing."
        raise invalid(Problem(f"{said.path}.base_url", "required", message))
    given: dict[str, Any] = {"baseUrl": base_url}
    if auth := _auth(said):
        given["auth"] = auth
    if headers := said.object("headers"):
        given["headers"] = headers
    if resources := said.listed("resources"):
        given["resources"] = [_resource(each, said.path) for each in resources]
    return given


def _auth(said: Said) -> dict[str, Any] | None:
    if key := said.text("api_key"):
        name = said.text("api_key_name")
        return {"apiKey": {"value": key} | ({"name": name} if name else {})}
    if token := said.text("token"):
        return {"bearer": token}
    username, password = said.text("username"), said.text("password")
    if username and password:
        return {"basic": {"username": username, "password": password}}
    return None


_RESOURCE = {
    "name": "name", "path": "path", "params": "params", "records": "records",
    "pagination": "pagination", "cursor_param": "cursorParam", "cursorParam": "cursorParam",
    "cursor_column": "cursorColumn", "cursorColumn": "cursorColumn",
    "primary_key": "primaryKey", "primaryKey": "primaryKey",
}  # fmt: skip


def _resource(given: Any, path: str) -> dict[str, Any]:
    """A path below the base URL, or an object as GraphQL's `ApiResource`."""
    if isinstance(given, str):
        return {"name": given.strip("/") or "items", "path": given}
    if isinstance(given, dict):
        return {_RESOURCE[name]: value for name, value in given.items() if name in _RESOURCE}
    message = f"`{path}.resources` holds paths, or objects with `name` and `path`."
    raise invalid(Problem(f"{path}.resources", "type", message))


class Unknown(Failure):
    """A kind of source that Headwater has not; whoever catches it says which there are."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            "UNSUPPORTED", f'Headwater has no data sources of the type "{kind[:100]}".'
        )
