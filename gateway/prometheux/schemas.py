"""The JSON Schemas of replies."""

from __future__ import annotations

from typing import Any

from gateway.dialect import Schema
from gateway.prometheux.envelope import schema

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_COUNT_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 0}
_BOOLEAN: Schema = {"type": "boolean"}
_STATE: Schema = {"enum": ["completed", "running", "failed"]}


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_SOURCE_FIELDS: dict[str, Any] = {
    "id": _TEXT,
    "datasource_id": _TEXT,
    "name": _TEXT,
    "type": {"enum": ["database", "api", "file", "table"]},
    "datasource_type": _TEXT,
    "table_name": _TEXT,
    "schema_name": _TEXT_OR_NULL,
    "host": _TEXT_OR_NULL,
    "port": _TEXT_OR_NULL,
    "database_name": _TEXT_OR_NULL,
    "row_count": _COUNT_OR_NULL,
    "scope": _TEXT,
    "status": {"enum": ["draft", "pending", "syncing", "synced", "failed"]},
    "error_message": _TEXT_OR_NULL,
    "metadata": {},
    "created_at": _TEXT,
    "last_synced_at": _TEXT_OR_NULL,
    "bind_annotation": _TEXT,
    "predicate_placeholder": _TEXT,
}
_SOURCE = _object(**_SOURCE_FIELDS)
_TABLE = _object(
    name=_TEXT,
    schema=_TEXT_OR_NULL,
    row_count=_COUNT_OR_NULL,
    columns=_list(
        _object(
            name=_TEXT,
            type=_TEXT,
            native_type=_TEXT_OR_NULL,
            nullable=_BOOLEAN,
            primary_key=_BOOLEAN,
        )
    ),
)
_JOB = _object(
    job_id=_TEXT,
    source_id=_TEXT_OR_NULL,
    name=_TEXT_OR_NULL,
    state=_STATE,
    records_processed=_COUNT,
    error_message=_TEXT_OR_NULL,
)
_WORKSPACE_FIELDS: dict[str, Any] = {
    "id": _TEXT,
    "workspace_id": _TEXT,
    "project_id": _TEXT,
    "name": _TEXT,
    "description": _TEXT_OR_NULL,
    "created_at": _TEXT,
    "updated_at": _TEXT,
}
_TOKEN_FIELDS: dict[str, Any] = {
    "jti": _TEXT,
    "id": _TEXT,
    "name": _TEXT,
    "prefix": _TEXT,
    "role": {"enum": ["read", "execute", "write", "admin"]},
    "created_at": _TEXT,
    "expires_at": _TEXT_OR_NULL,
    "last_used_at": _TEXT_OR_NULL,
}

CONNECTED = schema(
    _object(
        connectionStatus=_BOOLEAN,
        sources=_list(_SOURCE),
        connected_sources=_list(_SOURCE),
        errorMessage=_TEXT_OR_NULL,
    ),
    may_say_no=True,
)
LISTED = schema(_list(_SOURCE))
SYNCED = schema(
    _object(
        records_processed=_COUNT,
        job_id=_TEXT_OR_NULL,
        job_ids=_list(_TEXT),
        state=_STATE,
        sources=_list(_JOB),
    ),
    may_say_no=True,
)
REMOVED = schema(_object(deleted_count=_COUNT))
TESTED = schema(
    _object(
        connectionStatus=_BOOLEAN,
        errorMessage=_TEXT_OR_NULL,
        server_version=_TEXT_OR_NULL,
        latency_ms=_COUNT_OR_NULL,
    ),
    may_say_no=True,
)
SCHEMA = schema(_object(source_id=_TEXT, name=_TEXT, tables=_list(_TABLE)))
INFERRED = schema(_object(tables=_list(_TABLE)), may_say_no=True)
PREVIEW = schema(
    _object(
        columns=_list(_TEXT),
        rows=_list({"type": "array"}),
        total_count=_COUNT_OR_NULL,
        page=_COUNT,
        page_size=_COUNT,
    )
)
UPLOADED = schema(_object(filePath=_TEXT, fileName=_TEXT, size=_COUNT, sha256=_TEXT))
WORKSPACE = schema(_object(**_WORKSPACE_FIELDS))
WORKSPACES = schema(_list(_object(**_WORKSPACE_FIELDS)))
LOADED = schema(_object(**_WORKSPACE_FIELDS, data_sources_count=_COUNT))
ISSUED = schema(_object(**_TOKEN_FIELDS, token=_TEXT))
TOKENS = schema(_list(_object(**_TOKEN_FIELDS)))
REVOKED = schema(_object(jti=_TEXT, revoked_count=_COUNT))
REVOKED_ALL = schema(_object(revoked_count=_COUNT))
NO_ONTOLOGIES = schema({"type": "array", "maxItems": 0})
ROLE = schema(_object(role=_TEXT, username=_TEXT, is_staff=_BOOLEAN))
