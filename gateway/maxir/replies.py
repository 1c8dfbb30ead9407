"""The envelope of what succeeded, and the shapes of what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialect import Reply
from gateway.maxir.failures import FAILURE
from gateway.schemas import COUNT, TEXT, TIME, URL, Schema, list_of, object_of, or_null

# Clients cut a file at every 5 MiB whatever they are told, or at `(number - 1) * size`: this serves both.
PART_BYTES = 5 * 1024**2


def done(data: Any) -> Reply:
    """The reply to a request that succeeded."""
    return Reply(200, {"code": 0, "data": data})


def replies(data: Schema) -> Mapping[int, Schema]:
    """What HTTP 200 brings: this data, or a failure, of which many are HTTP 200."""
    return {200: {"anyOf": [object_of(code={"const": 0}, data=data), FAILURE]}}


def _page(record: Schema) -> Schema:
    return object_of(
        page_number={"type": "integer", "minimum": 1},
        page_size={"type": "integer", "minimum": 1},
        total_items=COUNT,
        records=list_of(record),
    )


_TEXTS = list_of(TEXT)
NOTHING = object_of()
NEW = object_of(id=TEXT)
DATASET = object_of(id=TEXT, name=TEXT, description=TEXT)
DATASETS = _page(DATASET)
STATUS = object_of(synched_count=COUNT, invalid_count=COUNT, synching_count=COUNT)
OVERVIEW = object_of(
    id=TEXT,
    name=TEXT,
    description=TEXT,
    summary={"type": "string", "description": "What is in it: files, tables, rows, failures."},
    exploration_questions=_TEXTS
    | {"maxItems": 0, "description": "None: questions are not made up."},
    keywords=_TEXTS | {"description": "Names of its tables and columns."},
)
SOURCE = object_of(
    id=TEXT,
    dataset_id=TEXT,
    name=TEXT,
    type={"const": "FILE"},
    status={
        "enum": ["synching", "synched", "invalid"],
        "description": "Waits or is being read; was read; could not be read.",
    },
    size=or_null(COUNT) | {"description": "Bytes of the stored file."},
)
# Of an invalid one alone.
SOURCE["properties"]["error"] = {"type": "string", "description": "Why it is invalid."}
SOURCES = _page(SOURCE)
LINK = object_of(presigned_url=URL, expires_at=TIME)
UPLOADED = object_of(file_object_key=TEXT)
UPLOAD = object_of(
    upload_id=TEXT,
    file_object_key=TEXT,
    part_items=list_of(
        object_of(
            number={"type": "integer", "minimum": 1},
            upload_url=URL,
            size={
                "const": PART_BYTES,
                "description": "How far the parts are apart: the last one may be shorter.",
            },
        )
    ),
)
