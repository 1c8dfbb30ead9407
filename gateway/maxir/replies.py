"""The envelope of what succeeded, and the shapes of what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialect import Reply
from gateway.maxir.failures import FAILURE

Schema = dict[str, Any]


def done(data: Any) -> Reply:
    """The reply to a request that succeeded."""
    return Reply(200, {"code": 0, "data": data})


def replies(data: Schema) -> Mapping[int, Schema]:
    """What HTTP 200 brings: this data, or a failure, of which many are HTTP 200."""
    return {200: {"anyOf": [_object(code={"const": 0}, data=data), FAILURE]}}


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _page(record: Schema) -> Schema:
    return _object(
        page_number={"type": "integer", "minimum": 1},
        page_size={"type": "integer", "minimum": 1},
        total_items=_COUNT,
        records={"type": "array", "items": record},
    )


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
NOTHING = _object()
NEW = _object(id=_TEXT)
DATASET = _object(id=_TEXT, name=_TEXT, description=_TEXT)
DATASETS = _page(DATASET)
STATUS = _object(synched_count=_COUNT, invalid_count=_COUNT, synching_count=_COUNT)
OVERVIEW = _object(
    id=_TEXT,
    name=_TEXT,
    description=_TEXT,
    summary={"type": "string", "description": "What is in it: files, tables, rows, failures."},
    exploration_questions=_TEXTS | {"description": "None: questions are not made up."},
    keywords=_TEXTS | {"description": "Names of its tables and columns."},
)
SOURCE = _object(
    id=_TEXT,
    dataset_id=_TEXT,
    name=_TEXT,
    type={"const": "FILE"},
    status={
        "enum": ["synching", "synched", "invalid"],
        "description": "Waits or is being read; was read; could not be read.",
    },
    size={"type": ["integer", "null"], "minimum": 0, "description": "Bytes of the stored file."},
)
SOURCE["properties"]["error"] = {"type": "string", "description": "Why it is invalid."}
SOURCES = _page(SOURCE)
LINK = _object(
    presigned_url={"type": "string", "format": "uri"},
    expires_at={"type": "string", "format": "date-time"},
)
UPLOADED = _object(file_object_key=_TEXT)
UPLOAD = _object(
    upload_id=_TEXT,
    file_object_key=_TEXT,
    part_items={
        "type": "array",
        "items": _object(
            number={"type": "integer", "minimum": 1},
            upload_url={"type": "string", "format": "uri"},
            size={
                "type": "integer",
                "description": "How far the parts are apart: the last one may be shorter.",
            },
        ),
    },
)
