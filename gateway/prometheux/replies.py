"""Data sources, tables and jobs as clients of this API see them. No credential is in any of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.failures import text_of
from gateway.jobs import is_over
from gateway.prometheux.connections import DISK

_TYPES = {"xlsx": "excel", "xls": "excel", "ndjson": "json", "rest": "api"}  # their names of kinds
_FOREIGN = re.compile("[^A-Za-z0-9]")  # to predicates
Object = Mapping[str, Any]


def source_row(source: Object) -> dict[str, Any]:
    """A data source with every field that some client reads."""
    kind = source["connection"]["kind"]
    row: dict[str, Any] = {
        "id": source["id"],
        "datasource_id": source["id"],
        "name": source["name"],
        "type": source["type"].lower(),
        "datasource_type": _TYPES.get(kind, kind),
        **_table_of(source),
        **_place_of(source),
        "row_count": source["snapshot"]["rowCount"] if source["snapshot"] else None,
        "scope": source["scope"],
        "status": source["status"].lower(),
        "error_message": text_of(source["error"]) if source["error"] else None,
        "metadata": source["metadata"],
        "created_at": source["createdAt"],
        "last_synced_at": source["lastSyncedAt"],
    }
    return row | {
        "bind_annotation": bind_annotation(row),
        "predicate_placeholder": predicate_of(row["table_name"]),
    }


def bind_annotation(row: Object) -> str:
    """The source as a Vadalog program binds it.

    `@bind("predicate", "type option='…'", "database", "table").` is made of what may be shown, in the form that
    Vadalog's documentation gives: user and password are for whoever runs the program to add.
    """
    options = [f"host={_quoted(row['host'])}"] if row["port"] is not None else []
    options += [f"port={row['port']}"] if row["port"] is not None else []
    source = " ".join(filter(None, (row["datasource_type"], ", ".join(options))))
    if row["port"] is not None:
        table = ".".join(filter(None, (row["schema_name"], row["table_name"])))
        place = (row["database_name"], table)
    else:
        place = (row["host"], row["database_name"])
    parts = (predicate_of(row["table_name"]), source, *place)
    return "@bind({}).".format(", ".join(f'"{_escaped(part or "")}"' for part in parts))


def predicate_of(name: str) -> str:
    """The name that the annotation has for the predicate, for clients to put theirs in its place."""
    kept = _FOREIGN.sub("_", name).lower()
    return kept if kept[:1].isalpha() else f"p_{kept}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"


def _table_of(source: Object) -> dict[str, Any]:
    """The one table that the source is of; its name stands for the table where it has all of a source's."""
    chosen = source["selectedTables"] or []
    if len(chosen) == 1:
        return {"table_name": chosen[0]["name"], "schema_name": chosen[0]["schema"]}
    return {"table_name": source["name"], "schema_name": None}


def _place_of(source: Object) -> dict[str, Any]:
    """Where it is, in the words in which it can be connected; `port` is a text."""
    settings = source["connection"]["settings"]
    if source["type"] == "API":
        return {"host": settings.get("base_url"), "port": None, "database_name": None}
    if "object_key" in settings and "url" not in settings:
        host = f"{DISK}{settings['object_key']}"
        return {"host": host, "port": None, "database_name": source["fileName"]}
    if "host" not in settings:  # a file at a URL, or one that is still to come
        return {
            "host": settings.get("url"),
            "port": None,
            "database_name": source["fileName"],
        }
    port = settings.get("port")
    return {
        "host": settings["host"],
        "port": None if port is None else str(port),
        "database_name": settings.get("database"),
    }


def table_row(table: Object) -> dict[str, Any]:
    """A table with its columns."""
    return {
        "name": table["name"],
        "schema": table["schema"],
        "row_count": table["rowCount"],
        "columns": [
            {
                "name": column["name"],
                "type": column["type"].lower(),
                "native_type": column["nativeType"],
                "nullable": column["nullable"],
                "primary_key": column["primaryKey"],
            }
            for column in table["columns"]
        ],
    }


def records_of(job: Object) -> int:
    """Rows that a sync has read: those that its receipt says, or so far."""
    if job["snapshot"]:
        return int(job["snapshot"]["receipt"]["rowsRead"])
    return int(job["progress"]["rowsDone"])


def state_of(jobs: Sequence[Object]) -> str:
    """What syncs come to together: `running` while one is, `failed` where one did not succeed, else `completed`."""
    if not all(map(is_over, jobs)):
        return "running"
    return "completed" if all(job["status"] == "SUCCEEDED" for job in jobs) else "failed"


def job_row(job: Object) -> dict[str, Any]:
    """A sync of one data source."""
    source = job["dataSource"] or {"id": None, "name": None}
    return {
        "job_id": job["id"],
        "source_id": source["id"],
        "name": source["name"],
        "state": state_of([job]),
        "records_processed": records_of(job),
        "error_message": complaint_of(job),
    }


def complaint_of(job: Object) -> str | None:
    """Why a sync did not succeed; None where it did, or is not over."""
    if not is_over(job) or job["status"] == "SUCCEEDED":
        return None
    return text_of(job["error"]) if job["error"] else "The sync was cancelled."
