"""How a connection is written, and what services are given of it."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Any

import strawberry

from graph.changes import changes
from graph.enums import expose
from graph.scalars import JSON
from services.sources import (
    ApiGiven,
    ApiPaginationKind,
    DatabaseEngine,
    DatabaseGiven,
    FileGiven,
    Given,
)

expose(
    DatabaseEngine,
    "A database engine.",
    POSTGRESQL="PostgreSQL.",
    MYSQL="MySQL or MariaDB.",
    SQLITE="A SQLite file, uploaded with `uploadFile`.",
)


@strawberry.input(
    description="A file, uploaded or at a URL: CSV, TSV, JSON, NDJSON, Parquet, XLSX or XLS, or a document."
)
class FileConnection:
    """One of `ConnectionInput`."""

    object_key: str | None = strawberry.field(
        default=None,
        description="The object key that `uploadFile` answered. One of `objectKey` and `url`; with neither, "
        "`connectDataSources` makes a DRAFT, to which `updateDataSource` brings the file later.",
    )
    url: str | None = strawberry.field(
        default=None,
        description="Where the file is, `https://…`; each sync fetches it if it changed. Kept encrypted, for it may be "
        "a presigned one; what is shown of it ends with its path.",
    )
    file_name: str | None = strawberry.field(
        default=None,
        description="Of a file at a URL: what it is called, such as `cities.csv`. The extension says how it is read. "
        "When left out, the server says it, or the URL; `updateDataSource` with the same URL keeps the one given "
        "before. An uploaded file has its name already.",
    )
    delimiter: strawberry.Maybe[str | None] = strawberry.field(
        description="What separates the fields of a CSV or TSV file; found out when left out. In `updateDataSource` "
        "these three stay as they were when left out, and null drops them."
    )
    encoding: strawberry.Maybe[str | None] = strawberry.field(
        description="The text encoding of a CSV, TSV, TXT or Markdown file; when left out UTF-8 or, of a file "
        "at a URL that is not UTF-8, the charset that the server names. A byte order mark goes before these."
    )
    column_types: strawberry.Maybe[JSON | None] = strawberry.field(
        description="Types of columns of a CSV, TSV, JSON, NDJSON, XLSX or XLS file by their names, such as "
        "`{code: TEXT}`; the others are found out. A row with a value that is not of its type is set aside."
    )


@strawberry.input(description="A database: by separate settings, or by a URL.")
class DatabaseConnection:
    """One of `ConnectionInput`."""

    engine: DatabaseEngine = strawberry.field(description="The engine.")
    host: str | None = strawberry.field(default=None, description="Host name or IP address.")
    port: int | None = strawberry.field(
        default=None, description="Port; the engine's usual one when left out."
    )
    database: str | None = strawberry.field(default=None, description="The database's name.")
    username: str | None = strawberry.field(default=None, description="The user to log in as.")
    password: str | None = strawberry.field(
        default=None, description="The user's password. Kept encrypted, and never shown again."
    )
    ssl_mode: str | None = strawberry.field(
        default=None,
        description="How TLS is used, in the engine's own words: `require`, `verify-full`, …",
    )
    url: str | None = strawberry.field(
        default=None,
        description="All of the above in one, `postgresql://user:password@host:5432/database`; in place of them.",
    )
    options: JSON | None = strawberry.field(
        default=None,
        description="Further settings of the engine, by name; unknown ones are refused.",
    )
    object_key: str | None = strawberry.field(
        default=None, description="Of SQLITE: the object key that `uploadFile` answered."
    )


class ApiKeyPlace(StrEnum):
    """Where an API key is sent."""

    HEADER = "header"
    QUERY = "query"


expose(
    ApiKeyPlace,
    "Where an API key is sent.",
    HEADER="In a header.",
    QUERY="In the query of each URL.",
)
expose(
    ApiPaginationKind,
    "How the pages of a resource are asked for.",
    NONE="There is one page.",
    PAGE="By number, from 1 or from where `params` says, until a page is empty or not found, or the last one comes "
    "again. That one is told by having fewer records than others; a full one that comes again is an error.",
    OFFSET="By the number of records before it, until a page is empty, or the last one comes again as with PAGE.",
    CURSOR="By a cursor that each page names for the next, at `next`, until there is none there: no such key, null, "
    "false or an empty text. 0 is a cursor; where it means the end, let `next` leave it out: "
    "`$.meta[?# == 'next' && @ != 0]` is `$.meta.next` but for 0.",
    NEXT_URL="At a URL that each page names, at `next`; of the same origin as the base URL.",
    LINK_HEADER='At the URL of the header `Link` with `rel="next"`; of the same origin as the base URL.',
)


@strawberry.input(description="An API key.")
class ApiKeyAuth:
    """One of `ApiAuth`."""

    name: str | None = strawberry.field(
        default="X-API-Key", description="The header, or the query's parameter."
    )
    value: str = strawberry.field(description="The key. Kept encrypted, and never shown again.")
    in_: ApiKeyPlace | None = strawberry.field(
        default=ApiKeyPlace.HEADER, name="in", description="Where it is sent."
    )


@strawberry.input(description="A user name and a password.")
class BasicAuth:
    """One of `ApiAuth`."""

    username: str = strawberry.field(description="The user.")
    password: str = strawberry.field(
        description="The user's password. Kept encrypted, and never shown again."
    )


@strawberry.input(one_of=True, description="Credentials of an API: exactly one of these.")
class ApiAuth:
    """Of `ApiConnection`. They are sent to the base URL's origin and nowhere else."""

    bearer: strawberry.Maybe[str] = strawberry.field(
        description="A token, for `Authorization: Bearer`. Kept encrypted, and never shown again."
    )
    api_key: strawberry.Maybe[ApiKeyAuth] = strawberry.field(description="A key.")
    basic: strawberry.Maybe[BasicAuth] = strawberry.field(description="A user and a password.")


@strawberry.input(description="How a resource is read page by page.")
class ApiPagination:
    """Of `ApiResource`."""

    kind: ApiPaginationKind = strawberry.field(description="How pages are asked for.")
    param: str | None = strawberry.field(
        default=None,
        description="Of PAGE, OFFSET and CURSOR: the query's parameter; `page`, `offset` or `cursor` when left out.",
    )
    size_param: str | None = strawberry.field(
        default=None,
        description="The query's parameter for `size`; `per_page` of PAGE and `limit` of the others when left out.",
    )
    size: int | None = strawberry.field(
        default=None, description="Records that a page is asked to have; not said when left out."
    )
    next: str | None = strawberry.field(
        default=None,
        description="Of CURSOR and NEXT_URL: a JSONPath to the next page's cursor or URL; of NEXT_URL `$.next` when "
        "left out.",
    )


@strawberry.input(description="A resource of an API: one table.")
class ApiResource:
    """Of `ApiConnection`."""

    name: str = strawberry.field(description="What the table is called.")
    path: str = strawberry.field(description="Its path below the base URL, such as `/items`.")
    params: JSON | None = strawberry.field(
        default=None,
        description="Further parameters of the query, by name; no secrets, for they are shown.",
    )
    records: str | None = strawberry.field(
        default=None,
        description="A JSONPath to the records in an answer, such as `$.data`; found out when left out.",
    )
    pagination: ApiPagination | None = strawberry.field(
        default=None, description="How it is read page by page; one page when left out."
    )
    cursor_param: str | None = strawberry.field(
        default=None,
        description="The query's parameter that asks for what changed since, for tables synced by `cursorColumn`.",
    )
    cursor_column: str | None = strawberry.field(
        default=None, description="The column whose largest value `cursorParam` is given."
    )
    primary_key: list[str] | None = strawberry.field(
        default=None, description="The columns that tell its records apart."
    )


@strawberry.input(description="A web API that answers in JSON.")
class ApiConnection:
    """One of `ConnectionInput`."""

    base_url: str = strawberry.field(
        description="What the URLs of all resources start with, such as `https://api.example.com/v1`."
    )
    auth: strawberry.Maybe[ApiAuth | None] = strawberry.field(
        description="Credentials. An update drops those that are kept where it says null."
    )
    headers: strawberry.Maybe[JSON | None] = strawberry.field(
        description=(
            "Further headers, by name; their values are kept encrypted, and never shown again. "
            "An update drops those that are kept where it says null."
        )
    )
    resources: list[ApiResource] | None = strawberry.field(
        default=None, description="What to read; what is at the base URL itself when left out."
    )


@strawberry.input(one_of=True, description="Where data is: exactly one of these.")
class ConnectionInput:
    """A file, a database or an API."""

    file: strawberry.Maybe[FileConnection] = strawberry.field(
        description="A file, uploaded or at a URL."
    )
    database: strawberry.Maybe[DatabaseConnection] = strawberry.field(description="A database.")
    api: strawberry.Maybe[ApiConnection] = strawberry.field(description="A web API.")


def given(connection: ConnectionInput) -> Given:
    """The connection as services take it."""
    if connection.file is not None:
        file = connection.file.value
        said = changes(
            delimiter=file.delimiter, encoding=file.encoding, column_types=file.column_types
        )
        dropped = tuple(name for name, value in said.items() if value is None)
        return FileGiven(
            object_key=file.object_key,
            url=file.url,
            file_name=file.file_name,
            dropped=dropped,
            **said,
        )
    if connection.api is not None:
        return _api(connection.api.value)
    assert connection.database is not None, "exactly one is given"
    database = connection.database.value
    return DatabaseGiven(
        engine=database.engine,
        host=database.host,
        port=database.port,
        database=database.database,
        username=database.username,
        password=database.password,
        ssl_mode=database.ssl_mode,
        url=database.url,
        options=database.options,
        object_key=database.object_key,
    )


def _api(api: ApiConnection) -> ApiGiven:
    said = changes(auth=api.auth, headers=api.headers)
    auth = _credentials(said.get("auth"))
    resources = None if api.resources is None else [asdict(each) for each in api.resources]
    dropped = tuple(name for name, value in said.items() if value is None)
    return ApiGiven(api.base_url, auth, said.get("headers"), resources, dropped)


def _credentials(auth: ApiAuth | None) -> dict[str, Any] | None:
    if auth is None:
        return None
    if auth.bearer is not None:
        return {"bearer": auth.bearer.value}
    if auth.api_key is not None:
        key = auth.api_key.value
        place = None if key.in_ is None else key.in_.value
        return {"api_key": {"name": key.name, "value": key.value, "in": place}}
    assert auth.basic is not None, "exactly one is given"
    return {"basic": asdict(auth.basic.value)}
