"""Data sources, users and times as this API shows them."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from gateway.call import Call
from gateway.dialect import Data
from gateway.failures import text_of
from gateway.schemas import COUNT, KEY, TEXT, URL, list_of, object_of, or_null

USERS = UUID(
    "5b7c0f4e-3d1a-4f7e-9d0b-6a54a1c8e2d7"
)  # fixed for ever: clients keep what is made of it
PREVIEW_NAME = "preview_file.json"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"
_STATUSES = {
    "DRAFT": "draft",
    "PENDING": "ready_for_processing",
    "SYNCED": "done",
    "FAILED": "error",
}
_JOB_STATES = {
    "QUEUED": "pending",
    "RUNNING": "in_progress",
    "CANCELLING": "in_progress",
    "SUCCEEDED": "success",
    "FAILED": "failed",
    "CANCELLED": "failed",
}
_TIME = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\+0000$",
    "examples": ["2019-11-04T13:28:56+0000"],
}
CREATED_BY = object_of(id={"type": "string", "format": "uuid"}, first_name=TEXT, last_name=TEXT)
META_DATA = object_of(items=COUNT, fields=COUNT, fields_names=list_of(TEXT), preview=URL)
ITEM = object_of(
    id=KEY,
    name=TEXT,
    created_by=or_null(CREATED_BY),
    project=KEY,
    type={"enum": ["file", "database", "api"]},
    status={"enum": ["draft", "ready_for_processing", "processing", "done", "error"]},
    file=or_null(URL),
    file_name=or_null(TEXT),
    created=_TIME,
    meta_data=or_null(META_DATA),
    error_log=TEXT,
)
PAGE = object_of(count=COUNT, next=or_null(URL), previous=or_null(URL), results=list_of(ITEM))
JOB = object_of(
    pk=KEY,
    steps=list_of(object_of(key=TEXT, exec_order={"type": "integer"})),
    job_state={"enum": ["pending", "in_progress", "failed", "success"]},
    error=TEXT,
    result=or_null(URL),
    created=_TIME,
)


@lru_cache(maxsize=1_000)
def user_uuid(public_id: str) -> str:
    """The UUID of the user with this public id: the same one always and everywhere."""
    return str(uuid5(USERS, public_id))


def time_of(text: str) -> str:
    """A time of GraphQL as `2019-11-04T13:28:56+0000`."""
    return datetime.fromisoformat(text).strftime(_TIME_FORMAT)


def source_path(pk: Any) -> str:
    """The path of a data source."""
    return f"/api/v1/datasources/{pk}"


def item(call: Call, source: Data) -> Data:
    """A data source, with links that the caller may hand on for an hour.

    One with several tables is its first one here: its size, its columns and its preview.
    """
    pk, creator = source["pk"], source["creator"]
    has_file = source["type"] == "FILE" and source["status"] != "DRAFT"
    file_name = source["fileName"]
    return {
        "id": pk,
        "name": source["name"],
        "created_by": creator
        and {
            "id": user_uuid(creator["id"]),
            "first_name": creator["username"],
            "last_name": "",
        },
        "project": source["project"]["pk"],
        "type": source["type"].lower(),
        "status": status_of(source),
        "file": call.link(f"{source_path(pk)}/file", quote(file_name, safe=""))
        if has_file and file_name
        else None,
        "file_name": file_name,
        "created": time_of(source["createdAt"]),
        "meta_data": _meta_data(call, source),
        "error_log": error_text(source["error"]),
    }


def _meta_data(call: Call, source: Data) -> Data | None:
    if source["lastSyncedAt"] is None or not source["tables"]:
        return None
    table = source["tables"][0]
    names = [column["name"] for column in table["columns"]]
    return {
        "items": table["rowCount"] or 0,
        "fields": len(names),
        "fields_names": names,
        "preview": call.link(f"{source_path(source['pk'])}/preview-file", PREVIEW_NAME),
    }


def status_of(source: Data) -> str:
    """How far a data source is; while it syncs, its newest sync tells whether a worker is on it."""
    known = _STATUSES.get(source["status"])
    if known is not None:
        return known
    jobs = source["jobs"]["nodes"]
    is_waiting = bool(jobs) and jobs[0]["status"] == "QUEUED"
    return "ready_for_processing" if is_waiting else "processing"


def error_text(error: Data | None) -> str:
    """Why something failed and what to do; empty where nothing did."""
    return text_of(error) if error else ""


def job_state(status: str) -> str:
    """A state of jobs in this API's words."""
    return _JOB_STATES[status]
