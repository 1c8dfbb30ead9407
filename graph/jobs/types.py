"""Jobs, their progress, steps and logs."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import orjson
import strawberry

import models
from graph.context import Info, load
from graph.enums import Direction, JobKind, JobStatus
from graph.fields import Node, column, derived, link, node, returns
from graph.filters import key_is, one_of
from graph.orders import Sort
from graph.pages import After, Listing, PageInfo, PageRow, page_below, window
from graph.scalars import JSON, BigInt, DateTime, rfc3339
from graph.scripts.texts import text_of
from graph.selection import Selection, read, shape_of
from graph.snapshots.types import Snapshot
from models import rows
from models.rows import Condition, IsNull, Order, Pick, Row

if TYPE_CHECKING:
    from graph.access.types import User
    from graph.projects.types import Project
    from graph.scripts.types import Script
    from graph.sources.types import DataSource

LOG_LINES = 200
STEPS_MAX = 1000  # steps of one job that are shown, the first ones

NEWEST_JOBS_FIRST = Sort.by("jobs", "created_at", Direction.DESC)
_LOG_ORDER = Sort.by("logs", "id", Direction.ASC)


@strawberry.type(description="Why something failed, in words that a user can act on.")
class SourceError:
    """Made of an `ErrorRow`."""

    code: str = strawberry.field(
        description="A stable code, one of those that errors of the API carry in `extensions.code`."
    )
    message: str = strawberry.field(description="What happened, and to what.")
    hint: str | None = strawberry.field(description="What to do about it.")
    at: DateTime = strawberry.field(description="When it happened.")


class ErrorRow(NamedTuple):
    """What a `SourceError` is made of."""

    code: str
    message: str
    hint: str | None
    at: str


def stored_error(text: str | None) -> ErrorRow | None:
    """The error in a JSON column, `{code, message, hint, at}`."""
    error = None if text is None else orjson.loads(text)
    if error is None:
        return None
    at = rfc3339(datetime.fromisoformat(error["at"]))
    return ErrorRow(error["code"], error["message"], error.get("hint"), at)


@strawberry.type(description="How far a job is.")
class JobProgress:
    """Made of a `ProgressRow`."""

    fraction: float | None = strawberry.field(
        description="The part that is done, 0 to 1; null where the whole is not known."
    )
    rows_done: BigInt = strawberry.field(description="Rows done so far.")
    rows_total: BigInt | None = strawberry.field(
        description="Rows there are to do, as far as the source tells."
    )
    bytes_done: BigInt = strawberry.field(description="Bytes done so far.")
    message: str | None = strawberry.field(description="What the job is at.")
    updated_at: DateTime = strawberry.field(description="When this was last true.")


class ProgressRow(NamedTuple):
    """What a `JobProgress` is made of."""

    fraction: float | None
    rows_done: int
    rows_total: int | None
    bytes_done: int
    message: str | None
    updated_at: str


def _progress(
    status: JobStatus,
    done: int,
    total: int | None,
    bytes_done: int,
    message: str | None,
    *times: str | None,
) -> ProgressRow:
    fraction = min(1.0, done / total) if total else None
    if status is JobStatus.SUCCEEDED:
        fraction = 1.0
    latest = next(time for time in times if time is not None)
    return ProgressRow(fraction, done, total, bytes_done, message, latest)


def _partitions(options: str) -> int | None:
    count: int | None = orjson.loads(options).get("partitions")
    return count


@strawberry.type(description="One step of a job, with its own books.")
class JobStep:
    """Rows of `models.JobStep`."""

    model: ClassVar[type[models.JobStep]] = models.JobStep

    key: str = column("What the step is about: the name of a sync's table, the key of a script.")
    exec_order: int = column(
        "Its place in the order of execution; steps with the same one run in the order of the job's input."
    )
    status: JobStatus = column("Where it is.")
    started_at: DateTime | None = column("When it began.")
    finished_at: DateTime | None = column("When it ended.")
    rows_in: BigInt | None = column("Rows it read.")
    rows_out: BigInt | None = column("Rows it wrote.")
    error: SourceError | None = derived(
        "Why it failed.", stored_error, Pick("stored_error", "error", str)
    )
    script: Annotated[Script, strawberry.lazy("graph.scripts.types")] | None = link(
        "The script that it was made from, as that is now; null for a sync's step, and once the script is deleted.",
        "script_id",
        scoped=True,
    )
    parameters: JSON = column("What its script finds in `context.parameters`: an object.")
    sha256: str | None = column(
        "The SHA-256 of the text that it runs, in hex; null for a sync's step."
    )

    @returns(str | None)
    @staticmethod
    def body(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Any]:
        """The text that it runs: that of its script when the job was made. Null for a sync's step."""
        return text_of(info, models.JobStep, parent.pk)


@strawberry.type(description="One line of a job's log.")
class LogLine:
    """Rows of `models.JobLog`."""

    model: ClassVar[type[models.JobLog]] = models.JobLog

    at: DateTime = column("When it was written.")
    level: str = column("`debug`, `info`, `warning` or `error`.")
    message: str = column("What happened.")
    step: str | None = column("The key of the step that wrote it.")


@strawberry.type(description="A page of a job's log, oldest line first.")
class LogPage:
    """Made of a `graph.pages.PageRow`."""

    lines: list[LogLine] = strawberry.field(description="The lines.")
    page_info: PageInfo = strawberry.field(description="Where this page lies in the log.")


@node
@strawberry.type(
    description="A unit of background work. It survives the crash of whatever works on it; its effects become visible "
    "all at once or not at all."
)
class Job(Node):
    """Rows of `models.Job`."""

    model: ClassVar[type[models.Job]] = models.Job

    pk: BigInt = column("The job's integer key.", reads=Pick("pk", "id"))
    kind: JobKind = column("What it does.")
    status: JobStatus = column("Where it is.")
    data_source: Annotated[DataSource, strawberry.lazy("graph.sources.types")] | None = link(
        "The data source it works on; null where it works on several, or once that is deleted.",
        "data_source_id",
        scoped=True,
    )
    project: Annotated[Project, strawberry.lazy("graph.projects.types")] = link(
        "The project it belongs to.", "project_id"
    )
    creator: Annotated[User, strawberry.lazy("graph.access.types")] | None = link(
        "Who asked for it.", "creator_id"
    )
    created_at: DateTime = column("When it was asked for.")
    started_at: DateTime | None = column("When its first attempt began.")
    finished_at: DateTime | None = column("When it reached its final state.")
    attempts: int = column("How often a worker has taken it up.")
    progress: JobProgress = derived(
        "How far it is.",
        _progress,
        "status",
        "rows_done",
        "rows_total",
        "bytes_done",
        "progress_message",
        Pick("progress_at", "progress_at", rfc3339),
        Pick("finished_at", "finished_at", rfc3339),
        Pick("started_at", "started_at", rfc3339),
        Pick("created_at", "created_at", rfc3339),
    )
    error: SourceError | None = derived(
        "Why it failed, or why its last attempt did.",
        stored_error,
        Pick("stored_error", "error", str),
    )
    snapshot: Snapshot | None = link("What it committed.", "snapshot_id", scoped=True)
    input_snapshot: Snapshot | None = link(
        "The snapshot that a script job reads; null for a sync, and once it is no longer kept.",
        "input_snapshot_id",
        scoped=True,
    )
    reused: bool = column(
        "Whether it took the result of an earlier job with the same scripts, parameters and snapshot; it ran nothing."
    )

    partitions: int | None = derived(
        "In how many partitions its first steps see the table; null where they see it whole.",
        _partitions,
        Pick("options_text", "options", str),
    )

    @returns(list[JobStep])
    @staticmethod
    def steps(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Sequence[Row]]:
        """Its steps in execution order; a sync has one per table, a script job one per script that it runs."""
        return load(info, parent.pk, partial(_steps, info))

    @returns(LogPage)
    @staticmethod
    def logs(
        parent: strawberry.Parent[Any],
        info: Info,
        first: Annotated[
            int | None, strawberry.argument(description="How many lines to give: 0 to 200.")
        ] = LOG_LINES,
        after: After = None,
    ) -> Awaitable[PageRow]:
        """What its workers wrote down, oldest first."""
        listing = Listing(
            LogLine, _LOG_ORDER, window(LOG_LINES if first is None else first, after), (), "job_id"
        )
        return page_below(info, listing, parent.pk)


@strawberry.input(description="Restricts a list of jobs; every part that is given has to hold.")
class JobFilter:
    """A filter of jobs."""

    project_id: strawberry.ID | None = strawberry.field(
        default=None, description="Jobs of this project."
    )
    data_source_id: strawberry.ID | None = strawberry.field(
        default=None, description="Jobs of this data source."
    )
    kind: list[JobKind] | None = strawberry.field(default=None, description="Jobs of these kinds.")
    status: list[JobStatus] | None = strawberry.field(
        default=None, description="Jobs in one of these states."
    )


def job_conditions(filter: JobFilter | None) -> list[Condition]:
    """The conditions of a `JobFilter`. A partition of another job's work is in no list."""
    listed = IsNull("parent_id")
    if filter is None:
        return [listed]
    return [
        listed,
        *key_is("project_id", "project", filter.project_id),
        *key_is("data_source_id", "datasource", filter.data_source_id),
        *one_of("kind", filter.kind, "filter.kind"),
        *one_of("status", filter.status, "filter.status"),
    ]


async def _steps(info: Info, jobs: Sequence[int]) -> Mapping[int, list[Row]]:
    def fetch(picks: Sequence[Pick]) -> Awaitable[list[list[Any]]]:
        return rows.top_columns(
            models.JobStep,
            picks,
            parent="job_id",
            parents=jobs,
            order=Order(("position", "id")),
            limit=STEPS_MAX,
        )

    extra = (Pick("job_id", "job_id"),)
    found: dict[int, list[Row]] = {job: [] for job in jobs}
    shape = shape_of(JobStep)
    for row in await read(info.context.viewer, shape, Selection.of(info), fetch, extra):
        found[row.job_id].append(row)
    return found
