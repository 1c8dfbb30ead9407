"""What a script job will do: its table, its snapshot, and the texts of its steps, as they are at this moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from base.errors import Conflict, InvalidInput, NotFound, PayloadTooLarge
from models import DataSource, Script, Snapshot, SnapshotStatus
from services import values
from services.drafts import refuse_draft
from services.scripts import memo
from services.scripts.keys import any_key, unique_key
from services.scripts.sharing import PARTITIONS_MAX, partitions_of
from storage.snapshots.manifest import Manifest, StoredTable

STEPS_MAX = 100
BODIES_BYTES_MAX = 8 * 1024**2  # of all steps of one job
SCRIPTS_AT_ONCE = 8  # whose bodies are read by one statement
TABLES_SHOWN = 20  # in a message
SOURCE_FIELD = "input.dataSourceId"
STEPS_FIELD = "input.steps"
TABLE_FIELD = "input.table"
SNAPSHOT_FIELD = "input.snapshotId"
PARTITIONS_FIELD = "input.partitions"


@dataclass(frozen=True, slots=True)
class StepGiven:
    """A step as it is asked for. Steps run by `exec_order` and, where that is the same, as they stand in the input.

    A `partitioned` one may see one part of the table at a time.
    """

    key: str
    exec_order: int = 0
    parameters: Any = None
    partitioned: bool = False


@dataclass(frozen=True, slots=True)
class TableWanted:
    """The table that a job reads: of the current snapshot and the only one, where nothing else is said.

    Its partitioned steps see it in up to so many `partitions`; None is as many as are worth it.
    """

    name: str | None = None
    schema: str | None = None
    snapshot_pk: int | None = None
    partitions: int | None = None


@dataclass(frozen=True, slots=True)
class PinnedStep:
    """A step with the text that it will run."""

    key: str
    exec_order: int
    script_pk: int | None
    body: str
    sha256: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a job will do: over which table of which snapshot, and the steps in the order in which they run.

    `shared_out` is how many of the first steps run in how many partitions, None where the table stays whole.
    """

    source_pk: int
    project_pk: int
    snapshot_pk: int
    table: tuple[str | None, str]
    steps: tuple[PinnedStep, ...]
    shared_out: tuple[int, int] | None = None

    @property
    def memo_key(self) -> str:
        """See `services.scripts.memo`."""
        steps = [(step.sha256, step.parameters) for step in self.steps]
        return memo.memo_key(self.snapshot_pk, self.table, steps, self.shared_out)


def check_steps(steps: Sequence[StepGiven], partitions: int | None = None) -> list[StepGiven]:
    """The steps with their keys as they are stored, and an object of parameters each.

    Raises InvalidInput and PayloadTooLarge with input paths of `createJob`.
    """
    values.bounded(steps, STEPS_FIELD, items_max=STEPS_MAX)
    checked = [_checked(step, f"{STEPS_FIELD}[{index}]") for index, step in enumerate(steps)]
    _check_partitions(checked, partitions)
    return checked


async def plan(source: DataSource, steps: Sequence[StepGiven], wanted: TableWanted) -> Plan:
    """What a job with these steps would do, with the scripts as they are now. The caller has checked who asks.

    Raises NotFound, InvalidInput, PayloadTooLarge and Conflict with input paths of `createJob`.
    """
    checked = check_steps(steps, wanted.partitions)
    snapshot = await _snapshot(source, wanted.snapshot_pk)
    stored = _table(Manifest.from_json(snapshot.manifest), wanted, source)
    scripts = await _scripts(source.id, checked)
    pinned = [
        PinnedStep(
            key=step.key,
            exec_order=step.exec_order,
            script_pk=scripts[step.key].id,
            body=scripts[step.key].body,
            sha256=scripts[step.key].sha256,
            parameters=step.parameters,
        )
        for step in sorted(checked, key=lambda step: step.exec_order)
    ]
    if sum(len(step.body.encode()) for step in pinned) > BODIES_BYTES_MAX:
        raise _too_large()
    project_pk: int = source.project_id  # type: ignore[attr-defined]
    return Plan(
        source.id,
        project_pk,
        snapshot.id,
        (stored.table.schema, stored.table.name),
        tuple(pinned),
        _shared_out(stored, checked, wanted.partitions),
    )


def _checked(step: StepGiven, field: str) -> StepGiven:
    parameters = {} if step.parameters is None else step.parameters
    if not isinstance(parameters, dict):
        raise InvalidInput(
            f"`{field}.parameters` has to be an object.",
            hint='Name the parameters: `{"columns": ["a", "b"]}`.',
            field=f"{field}.parameters",
        )
    values.document(parameters, f"{field}.parameters")
    key = any_key(step.key, f"{field}.key")
    return StepGiven(key, step.exec_order, parameters, step.partitioned)


def _check_partitions(steps: Sequence[StepGiven], partitions: int | None) -> None:
    """Partitioned steps come first: what a whole one left is in one piece."""
    order = sorted(range(len(steps)), key=lambda index: steps[index].exec_order)
    for before, index in pairwise(order):
        if steps[index].partitioned and not steps[before].partitioned:
            raise InvalidInput(
                f"The partitioned step {steps[index].key!r} runs after {steps[before].key!r}, which is not.",
                hint="Put partitioned steps first, or make this one see the whole table, too.",
                field=f"{STEPS_FIELD}[{index}].partitioned",
            )
    if partitions is None:
        return
    values.between(partitions, PARTITIONS_FIELD, least=1, most=PARTITIONS_MAX)
    if not any(step.partitioned for step in steps):
        raise InvalidInput(
            "There are `partitions`, but no step that sees one at a time.",
            hint="Say `partitioned: true` in the first steps.",
            field=PARTITIONS_FIELD,
        )


def _shared_out(
    stored: StoredTable, steps: Sequence[StepGiven], wanted: int | None
) -> tuple[int, int] | None:
    partitioned = sum(step.partitioned for step in steps)
    count = partitions_of(stored.parts, wanted) if partitioned else 1
    return (partitioned, count) if count > 1 else None


async def _snapshot(source: DataSource, snapshot_pk: int | None) -> Snapshot:
    """The snapshot that is named, else the current one."""
    wanted = source.current_snapshot_id if snapshot_pk is None else snapshot_pk
    found = None
    if wanted is not None:
        found = await Snapshot.get_or_none(id=wanted, data_source_id=source.id, removed_at=None)
    if found is None:
        if snapshot_pk is not None:
            raise NotFound("There is no such snapshot.", field=SNAPSHOT_FIELD)
        refuse_draft(source, SOURCE_FIELD)
        raise Conflict(
            f"{source.name!r} has no snapshot yet.",
            hint="Sync it with `syncDataSources` first.",
            field=SOURCE_FIELD,
        )
    if found.status is not SnapshotStatus.PUBLISHED:
        raise Conflict(
            "The snapshot is held; scripts run over published ones.",
            hint="Publish it with `releaseSnapshot`.",
            field=SNAPSHOT_FIELD,
        )
    return found


def _table(manifest: Manifest, wanted: TableWanted, source: DataSource) -> StoredTable:
    fitting = [
        stored
        for stored in manifest.tables
        if (wanted.name is None or stored.table.is_called(wanted.name))
        and (wanted.schema is None or stored.table.schema == wanted.schema)
    ]
    if len(fitting) == 1:
        return fitting[0]
    called = "" if wanted.name is None else f" {wanted.name!r}"
    where = "" if wanted.schema is None else f" in the schema {wanted.schema!r}"
    if not fitting:
        problem = f"{source.name!r} has no table{called}{where}."
    elif wanted.name is None:
        problem = f"{source.name!r} has {len(fitting):,} tables{where}: say which in `table`."
    else:
        problem = f"{source.name!r} has several tables{called}: name the schema."
    names = [stored.table.qualified_name for stored in fitting or manifest.tables]
    shown = ", ".join(names[:TABLES_SHOWN]) + (", …" if len(names) > TABLES_SHOWN else "")
    hint = f"It has {shown}." if shown else None
    raise InvalidInput(problem, hint=hint, field=TABLE_FIELD)


async def _scripts(source_pk: int, steps: Sequence[StepGiven]) -> Mapping[str, Script]:
    """The scripts of the steps by key, whole; raises NotFound for the first step that has none."""
    wanted = {unique_key(source_pk, step.key): step.key for step in steps}
    rows = Script.filter(unique_key__in=list(wanted)).only("id", "unique_key")
    pks = {wanted[row.unique_key]: row.id for row in await rows}
    found: dict[str, Script] = {}
    size = 0
    for index, step in enumerate(steps):
        if step.key not in pks:
            raise _no_script(step.key, index)
    keys = list(pks)
    for begin in range(0, len(keys), SCRIPTS_AT_ONCE):
        some = [pks[key] for key in keys[begin : begin + SCRIPTS_AT_ONCE]]
        for script in await Script.filter(id__in=some):
            found[script.key] = script
            size += len(script.body.encode())
        if size > BODIES_BYTES_MAX:
            raise _too_large()
    for index, step in enumerate(steps):
        if step.key not in found:  # removed a moment ago
            raise _no_script(step.key, index)
    return found


def _no_script(key: str, index: int) -> NotFound:
    return NotFound(
        f"The data source has no script {key!r}.",
        hint="`DataSource.scripts` and `predefinedScripts` list those there are; bring it with `uploadScript`.",
        field=f"{STEPS_FIELD}[{index}].key",
    )


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The scripts of one job have up to {BODIES_BYTES_MAX:,} bytes together.",
        hint="Make several jobs of it, or shorter scripts.",
        field=STEPS_FIELD,
    )
