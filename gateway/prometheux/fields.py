"""The fields of requests."""

from __future__ import annotations

from dataclasses import replace

from gateway.fields import Field

_IDS = Field("", "any", "A data source's id, or its integer key.")
_MINUTES_MAX = 5_256_000  # ten years

WORKSPACE = Field(
    "workspace_id",
    "string",
    "A project's id, its integer key, or `ws_` and the key. `workspace_id` itself is your default project.",
    place="path",
    example="workspace_id",
)
SCOPE = Field(
    "scope", "string", "The label of data sources: `user`, `organization`.", nullable=True
)
SCOPE_IN_QUERY = Field(
    "scope", "string", "Only data sources with this label; all when left out.", place="query"
)
FILES_VERB = Field(
    "verb", "string", "What to do with files; only `upload` is served.", place="path"
)
SOURCE = Field(
    "source_id",
    "string",
    "The data source's id, or its integer key.",
    place="query",
    required=True,
    blank=False,
)


def _text(name: str, doc: str) -> Field:
    return Field(name, "string", doc, nullable=True)


def _any(name: str, doc: str) -> Field:
    return Field(name, "any", doc, nullable=True)


_TYPE = Field(
    "type",
    "string",
    "`database`, `api` or `file`; or already the kind: `postgresql`, `mysql`, `csv`, …",
    required=True,
    blank=False,
    example="database",
)
_CONFIG = Field(
    "connection_config",
    "object",
    "Of a database `host`, `port`, `database`, `username`, `password`, or `url`, and `type` where it is not "
    "PostgreSQL; of an API `base_url` and `api_key`; of a file `file_path` as the upload answered, or `url`. "
    "`tables` names those to sync, or says how: objects with `name`, `mode`, `cursor_column`, `primary_key`.",
    required=True,
    example={"host": "db.example.com", "port": 5432, "database": "customers", "username": "user"},
)
DATABASE = Field(
    "database",
    "object",
    "A database, file or API whose tables become a data source each.",
    nullable=True,
    fields=(
        _text("databaseType", "`postgresql`, `mysql`, `mariadb`, `sqlite`, `csv`, `excel`, …"),
        _text("username", "The user."),
        _text("password", "The password. Kept encrypted, and never shown again."),
        _text("host", "The host; of a file the folder of its `filePath`."),
        _any("port", "The port; null or 0 for files."),
        _text("databaseName", "The database; of a file its name."),
        _any("options", "Further settings, by name."),
        _text("schema", "The only schema whose tables are meant."),
        _text("catalog", "Not used."),
        _text("query", "Not served: has to be empty."),
        _any("selectedColumns", "Names of columns, if need be with the table before a point."),
        _any("ignoreColumns", "Names of columns that are left out."),
        _any("ignoreTables", "Names of tables that are left out."),
        _any("selectedTables", "Names of tables; all when left out."),
        _any("tables", "The same, in newer clients."),
        _text("url", "All of the above in one, or where a file is."),
    ),
)
REQUIRED_DATABASE = replace(
    DATABASE,
    required=True,
    nullable=False,
    example={"databaseType": "postgresql", "host": "db.example.com", "databaseName": "customers"},
)
CONNECT = (
    SCOPE,
    Field(
        "sources",
        "array",
        "The data sources to connect: all of them, or none.",
        nullable=True,
        items=Field(
            "",
            "object",
            "",
            fields=(
                _TYPE,
                Field("name", "string", "What to call it.", required=True, blank=False),
                _CONFIG,
                Field("metadata", "any", "Whatever you want to note about it.", nullable=True),
            ),
        ),
        example=[
            {"type": "database", "name": "customer_db", "connection_config": _CONFIG.example},
        ],
    ),
    DATABASE,
    Field(
        "computeRowCount",
        "boolean",
        "Whether to wait for the first syncs, whose numbers of rows are exact.",
        nullable=True,
    ),
)
_SOURCE_IDS = Field(
    "source_ids",
    "array",
    "The data sources; all when left out or null.",
    nullable=True,
    items=_IDS,
)
SYNC = (
    SCOPE,
    _SOURCE_IDS,
    Field(
        "sync_options",
        "object",
        "How to sync.",
        nullable=True,
        fields=(
            Field("incremental", "boolean", "False reads every table whole.", nullable=True),
            Field("batch_size", "integer", "Rows that are read at once.", nullable=True),
        ),
    ),
)
CLEANUP = (
    Field(
        "scope",
        "string",
        "Only data sources with this label; `user` where none is named by its id.",
        nullable=True,
    ),
    _SOURCE_IDS,
)
TEST = (
    Field(
        "source_config",
        "object",
        "The data source to try.",
        required=True,
        fields=(_TYPE, _CONFIG),
    ),
)
PREVIEW = (
    _text("bind_annotation", "As `list` gives it."),
    _text("source_id", "The data source's id, in place of it."),
    Field("limit", "integer", "Rows to give; 0 for as usual.", nullable=True, least=0, most=1_000),
    Field("page", "integer", "The page, from 1.", nullable=True, least=1, most=1_000),
    Field(
        "page_size",
        "integer",
        "Rows of a page; 0, which clients send, for `limit`.",
        nullable=True,
        least=0,
        most=1_000,
    ),
    _any("order_by", "Not served."),
    _any("search_term", "Not served."),
    _any("column_filters", "Not served."),
)
UPLOAD = (
    Field("file", "file", "The file.", required=True),
    Field("path", "string", "Not used: the reply says where the file is."),
)
SAVE = (
    _any("name", "What to call it."),
    _any("workspace_name", "The same."),
    _any("description", "What it is about."),
    _any("workspace_id", "The workspace to change; a new one when left out."),
    _any("id", "The same."),
    Field("workspace", "object", "All of these within an object.", nullable=True),
)
ISSUE = (
    Field("name", "string", "What it is for.", nullable=True, chars_max=200),
    Field(
        "expires_in_minutes",
        "integer",
        "When it stops working; never when left out, or 0 and less.",
        nullable=True,
        most=_MINUTES_MAX,
    ),
)
REVOKE = (_text("jti", "The token's id."), _text("token_id", "The same."))
JTI_IN_PATH = Field("jti", "string", "The token's id.", place="path", blank=False)
