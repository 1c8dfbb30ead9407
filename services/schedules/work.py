"""What a schedule queues: a sync, or a job of scripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from base.errors import Conflict, PlatformError
from models import DataSource, Job, JobKind
from services import jobs, scripts, values
from services.scripts import StepGiven, TableWanted
from services.sources.syncing import BATCH_ROWS_MAX

NAME_CHARS_MAX = 1_000  # of a table, as sources have them
FIELD = "input.work"


@dataclass(frozen=True, slots=True)
class SyncWork:
    """A sync. `batch_rows` is how many rows are read at once; without `incremental` every table is read whole."""

    incremental: bool = True
    batch_rows: int | None = None


@dataclass(frozen=True, slots=True)
class ScriptsWork:
    """A job of scripts over one table of the snapshot that is current when it is queued."""

    steps: tuple[StepGiven, ...]
    table: str | None = None
    schema: str | None = None
    reuse: bool = True
    partitions: int | None = None


Work = SyncWork | ScriptsWork


async def checked(work: Work, source: DataSource) -> tuple[JobKind, dict[str, Any]]:
    """Kind and options as a schedule keeps them.

    Raises what is wrong with them at this moment: InvalidInput, NotFound for a script that there is not,
    PayloadTooLarge.
    """
    if isinstance(work, SyncWork):
        rows = work.batch_rows
        if rows is not None:
            values.between(rows, f"{FIELD}.sync.batchSize", least=1, most=BATCH_ROWS_MAX)
        return JobKind.SYNC, {"incremental": work.incremental, "batch_rows": rows}
    for name, given in (("table", work.table), ("schema", work.schema)):
        if given is not None:
            values.name(given, f"{FIELD}.job.{name}", chars_max=NAME_CHARS_MAX)
    with _fields_of_the_job():
        steps = scripts.check_steps(work.steps, work.partitions)
        with suppress(Conflict):  # not synced yet; until it is, each tick says so
            wanted = TableWanted(work.table, work.schema, partitions=work.partitions)
            await scripts.plan(source, steps, wanted)
    options = {
        "table": work.table,
        "schema": work.schema,
        "partitions": work.partitions,
        "reuse": work.reuse,
        "steps": [asdict(step) for step in steps],
    }
    return JobKind.SCRIPT, values.document(options, f"{FIELD}.job")


async def queue(source: DataSource, creator_pk: int, kind: JobKind, options: dict[str, Any]) -> Job:
    """Queue a schedule's job in the caller's transaction, which holds the source. A sync that is not over is given."""
    if kind is JobKind.SYNC:
        return await jobs.sync(
            source, creator_pk, options["batch_rows"], incremental=options["incremental"]
        )
    steps = [StepGiven(**step) for step in options["steps"]]
    wanted = TableWanted(options["table"], options["schema"], partitions=options.get("partitions"))
    planned = await scripts.plan(source, steps, wanted)
    return await scripts.start(planned, creator_pk, reuse=options["reuse"])


@contextmanager
def _fields_of_the_job() -> Iterator[None]:
    """What `createJob` says of its input is said of a schedule's."""
    try:
        yield
    except PlatformError as error:
        if error.field is not None:
            error.field = error.field.replace("input.", f"{FIELD}.job.", 1)
        raise
