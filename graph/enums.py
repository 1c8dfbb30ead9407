"""The models' enums as the API shows them: stored lower case, written upper case, each value explained once."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TypeVar

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from base.tables import ColumnType
from models import (
    DataSourceStatus,
    DataSourceType,
    DriftPolicy,
    JobKind,
    JobStatus,
    Role,
    ScriptContract,
    SnapshotStatus,
)
from storage.snapshots.modes import SyncMode

__all__ = [
    "ColumnType",
    "DataSourceStatus",
    "DataSourceType",
    "Direction",
    "DriftPolicy",
    "JobKind",
    "JobStatus",
    "NullsOrder",
    "Role",
    "ScriptContract",
    "SnapshotStatus",
    "SyncMode",
    "expose",
]

E = TypeVar("E", bound=type[Enum])


def expose(enum: E, description: str, **values: str) -> E:
    """Make an enum a GraphQL enum; `values` explains every member by its name."""
    exposed = strawberry.enum(enum, description=description)
    definition: StrawberryEnumDefinition = exposed.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = values.pop(value.name)
    if values:
        message = f"{enum.__name__} has no value {', '.join(values)}"
        raise TypeError(message)
    return exposed


class Direction(StrEnum):
    """The direction of a list."""

    ASC = "asc"
    DESC = "desc"


class NullsOrder(StrEnum):
    """Where a list has what has no value."""

    FIRST = "first"
    LAST = "last"


expose(Direction, "The direction of a list.", ASC="Smallest first.", DESC="Largest first.")
expose(
    NullsOrder,
    "Where a list has what has no value in the column it is sorted by.",
    FIRST="Before all that has one.",
    LAST="After all that has one.",
)
expose(
    Role,
    "What a member of a team may do; each role includes the ones before it.",
    READ="See everything of the team, and download it.",
    EXECUTE="Start, cancel and repeat jobs.",
    WRITE="Create, change and delete projects, datasets, data sources, uploads, scripts and schedules.",
    ADMIN="Manage the team's members, and move its projects to another team.",
)
expose(
    DataSourceType,
    "The family of a data source.",
    FILE="An uploaded file, or one that is fetched from a URL.",
    DATABASE="A database that is read over the network, or an uploaded SQLite file.",
    API="A REST API.",
)
expose(
    DataSourceStatus,
    "What the last sync of a data source came to.",
    DRAFT="Has no file yet: `updateDataSource` brings it.",
    PENDING="Connected, never synced.",
    SYNCING="A sync is queued or running. The last snapshot stays readable meanwhile.",
    SYNCED="The current snapshot holds what the last sync read.",
    FAILED="The last sync failed; `error` says why. The snapshot before it, if any, is still the current one.",
)
expose(
    DriftPolicy,
    "What a sync does when the columns of a table are not those of the current snapshot.",
    EVOLVE="Takes them over: new columns are added, types widened without loss, vanished columns stay empty.",
    HOLD="Reads into a snapshot that is HELD: `releaseSnapshot` publishes it, `discardSnapshot` drops it.",
    FAIL="Fails, naming the table and the column. Nothing is published.",
)
expose(
    SnapshotStatus,
    "Whether a snapshot is one of its data source's published versions.",
    PUBLISHED="It is the current one, or was.",
    HELD="Columns drifted under the policy HOLD; it waits for `releaseSnapshot` or `discardSnapshot`.",
    DISCARDED="It was held and then dropped.",
)
expose(
    JobKind,
    "What a job does.",
    SYNC="Reads a data source into a new snapshot.",
    SCRIPT="Runs scripts over a table of a snapshot, and makes a derived snapshot of what they give.",
    CLEANUP="Removes the stored bytes and the rows of deleted data sources.",
    EXPORT="Not in use: exports are generated while they are sent, without a job.",
)
expose(
    ScriptContract,
    "How a script is called; told apart by what it defines.",
    DATAFRAME="It defines `run(df)` or `run(df, context)`, which gives a DataFrame.",
    BATCHES="It defines `run_batches(batches)` or `run_batches(batches, context)`, which gives DataFrames one by one.",
    GLOBAL="It defines neither: it finds a global `df`, `pd`, `np`, `re` and `json`, and leaves its result in `df`.",
)
expose(
    JobStatus,
    "Where a job is: QUEUED, RUNNING (then perhaps CANCELLING), and at last one of the three final states.",
    QUEUED="Waits for a worker, or for its next attempt.",
    RUNNING="A worker is on it.",
    CANCELLING="A cancel was asked for; the worker stops at the next batch.",
    SUCCEEDED="Done; its effects are visible. Final.",
    FAILED="Ended without an effect; `error` says why. Final.",
    CANCELLED="Stopped on request, without an effect. Final.",
)
expose(
    ColumnType,
    "The type of a column as Headwater stores it, whatever the source calls it.",
    BOOLEAN="True or false.",
    INTEGER="A whole number of up to 64 bits; past 2^53 its cells are strings.",
    DECIMAL="An exact decimal number; its cells are strings with every digit.",
    FLOAT="A floating-point number.",
    TEXT="Text.",
    DATE="A calendar day, `2026-11-21`.",
    TIME="A time of day, `04:21:00.123456`.",
    TIMESTAMP="A date and time without a zone.",
    TIMESTAMP_TZ="A point in time, shown in UTC.",
    DURATION="A span of time, in ISO 8601 or in the source's own words.",
    BINARY="Bytes; its cells are base64.",
    JSON="A JSON document.",
    LIST="A list of values of one type.",
    STRUCT="A record with named fields.",
    UUID="A UUID, in its canonical text.",
    UNKNOWN="A type that Headwater does not know; its cells are the source's text.",
)
expose(
    SyncMode,
    "How a table is synced.",
    FULL="Every sync reads all rows anew.",
    APPEND="New rows are added to those that are stored; nothing stored changes.",
    MERGE="Rows replace the stored ones with the same primary key, others are added: an upsert.",
)
