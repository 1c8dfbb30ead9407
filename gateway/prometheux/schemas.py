"""The JSON Schemas of replies."""

from __future__ import annotations

from gateway.prometheux.envelope import schema
from gateway.schemas import ANY, COUNT, FLAG, TEXT, TIME, Schema, list_of, object_of, or_null

_TEXT_OR_NULL = or_null(TEXT)
_TIME_OR_NULL = or_null(TIME)
_COUNT_OR_NULL = or_null(COUNT)
_ROLE: Schema = {"enum": ["read", "execute", "write", "admin"]}
_STATE: Schema = {"enum": ["completed", "running", "failed"]}
_SOURCE_FIELDS: dict[str, Schema] = {
    "id": TEXT,
    "datasource_id": TEXT,
    "name": TEXT,
    "type": {"enum": ["database", "api", "file", "table"]},
    "datasource_type": TEXT,
    "table_name": TEXT,
    "schema_name": _TEXT_OR_NULL,
    "host": _TEXT_OR_NULL,
    "port": _TEXT_OR_NULL,
    "database_name": _TEXT_OR_NULL,
    "row_count": _COUNT_OR_NULL,
    "scope": TEXT,
    "status": {"enum": ["draft", "pending", "syncing", "synced", "failed"]},
    "error_message": _TEXT_OR_NULL,
    "metadata": ANY,
    "created_at": TIME,
    "last_synced_at": _TIME_OR_NULL,
    "bind_annotation": TEXT,
    "predicate_placeholder": TEXT,
}
_SOURCE = object_of(**_SOURCE_FIELDS)
_TABLE = object_of(
    name=TEXT,
    schema=_TEXT_OR_NULL,
    row_count=_COUNT_OR_NULL,
    columns=list_of(
        object_of(
            name=TEXT,
            type=TEXT,
            native_type=_TEXT_OR_NULL,
            nullable=FLAG,
            primary_key=FLAG,
        )
    ),
)
_JOB = object_of(
    job_id=TEXT,
    source_id=_TEXT_OR_NULL,
    name=_TEXT_OR_NULL,
    state=_STATE,
    records_processed=COUNT,
    error_message=_TEXT_OR_NULL,
)
_WORKSPACE_FIELDS: dict[str, Schema] = {
    "id": TEXT,
    "workspace_id": TEXT,
    "project_id": TEXT,
    "name": TEXT,
    "description": _TEXT_OR_NULL,
    "created_at": TIME,
    "updated_at": TIME,
}
_TOKEN_FIELDS: dict[str, Schema] = {
    "jti": TEXT,
    "id": TEXT,
    "name": TEXT,
    "prefix": TEXT,
    "role": _ROLE,
    "created_at": TIME,
    "expires_at": _TIME_OR_NULL,
    "last_used_at": _TIME_OR_NULL,
}

CONNECTED = schema(
    object_of(
        connectionStatus=FLAG,
        sources=list_of(_SOURCE),
        connected_sources=list_of(_SOURCE),
        errorMessage=_TEXT_OR_NULL,
    ),
    may_say_no=True,
)
LISTED = schema(list_of(_SOURCE))
SYNCED = schema(
    object_of(
        records_processed=COUNT,
        job_id=_TEXT_OR_NULL,
        job_ids=list_of(TEXT),
        state=_STATE,
        sources=list_of(_JOB),
    ),
    may_say_no=True,
)
REMOVED = schema(object_of(deleted_count=COUNT))
TESTED = schema(
    object_of(
        connectionStatus=FLAG,
        errorMessage=_TEXT_OR_NULL,
        server_version=_TEXT_OR_NULL,
        latency_ms=_COUNT_OR_NULL,
    ),
    may_say_no=True,
)
SCHEMA = schema(object_of(source_id=TEXT, name=TEXT, tables=list_of(_TABLE)))
INFERRED = schema(object_of(tables=list_of(_TABLE)), may_say_no=True)
PREVIEW = schema(
    object_of(
        columns=list_of(TEXT),
        rows=list_of({"type": "array"}),
        total_count=_COUNT_OR_NULL,
        page=COUNT,
        page_size=COUNT,
    )
)
UPLOADED = schema(object_of(filePath=TEXT, fileName=TEXT, size=COUNT, sha256=TEXT))
WORKSPACE = schema(object_of(**_WORKSPACE_FIELDS))
WORKSPACES = schema(list_of(object_of(**_WORKSPACE_FIELDS)))
LOADED = schema(object_of(**_WORKSPACE_FIELDS, data_sources_count=COUNT))
ISSUED = schema(object_of(**_TOKEN_FIELDS, token=TEXT))
TOKENS = schema(list_of(object_of(**_TOKEN_FIELDS)))
REVOKED = schema(object_of(jti=TEXT, revoked_count=COUNT))
REVOKED_ALL = schema(object_of(revoked_count=COUNT))
NO_ONTOLOGIES = schema({"type": "array", "maxItems": 0})
ROLE = schema(object_of(role=_ROLE, username=TEXT, is_staff=FLAG))
