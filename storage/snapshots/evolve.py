"""A table's columns when its source changed: one schema that holds old and new rows without loss, and rows cast to it.

Columns are never narrowed and never dropped: a type gives way to a wider one, a column that vanished stays and is null
in new rows. An integer becomes a decimal or a text, and never a float, which would round it. The details of the evolved
table name, under `drifted`, the columns that the source has otherwise than they are stored, so that a change is told
once and not at every sync; and under `earlier` the types that texts had, which say what makes two of them equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.errors import Conflict, InvalidInput
from base.tables import Column, ColumnType, TableSchema
from storage.snapshots import vectors
from storage.snapshots.cells import exact_text
from storage.snapshots.drifts import DRIFTED, change_of
from storage.snapshots.earlier import EARLIER, is_kept
from storage.snapshots.engine import locked
from storage.snapshots.manifest import LocalPart
from storage.snapshots.vectors import Gone
from storage.snapshots.widening import common, wider
from storage.snapshots.writer import PartWriter

_BATCH_ROWS = 32 * 1024
_WHOLE = (
    r"^(-?[1-9][0-9]*|0)\.0$",
    r"\1",
)  # the text of a whole float, and as whole numbers are written


@dataclass(frozen=True, slots=True)
class Change:
    """How a column changed: `change` is added, removed, widened, narrowed or incompatible; `old` and `new` are names of
    our types, as the source had and has the column, None where it has none.
    """  # noqa: D205 - one sentence

    column: str
    change: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Evolution:
    """The table and its Arrow schema from now on, and what changed. `rewrites`: stored parts have another schema."""

    table: TableSchema
    schema: pa.Schema
    changes: tuple[Change, ...]
    rewrites: bool


@dataclass(frozen=True, slots=True)
class NewPart:
    """A Parquet file on disk, not an object yet."""

    path: Path
    rows: int
    size_bytes: int
    sha256: str


def evolve(
    stored: TableSchema,
    stored_schema: pa.Schema,
    incoming: TableSchema,
    incoming_schema: pa.Schema,
) -> Evolution:
    """What holds both; stored columns keep their places, new ones come last.

    Raises Conflict naming table, column, old and new type where no type holds both.
    """
    known = dict(
        stored.details.get(DRIFTED, {})
    )  # what the source had, where it is not what is stored
    old = {column.name: column for column in stored.columns}
    new = {column.name: column for column in incoming.columns}
    columns: list[Column] = []
    fields: list[pa.Field] = []
    changes: list[Change] = []
    drifted: dict[str, str | None] = {}
    earlier: dict[str, str] = {}
    for name in (*old, *(name for name in new if name not in old)):
        before, now = old.get(name), new.get(name)
        mine = stored_schema.field(name).type if before else None
        theirs = incoming_schema.field(name).type if now else None
        kind, type_ = _held(stored.name, before, mine, now, theirs)
        columns.append(_column(before, now, kind))
        fields.append(pa.field(name, type_))
        if kind is ColumnType.TEXT and before and (was := _was(stored, before)):
            earlier[name] = was
        had = _had(known, before)
        has = now.type if now else None
        if has is not kind:
            drifted[name] = _name(has)
        if had is not has:
            changes.append(Change(name, change_of(had, has), _name(had), _name(has)))
    details = {
        key: value for key, value in incoming.details.items() if key not in {DRIFTED, EARLIER}
    }
    if drifted:
        details[DRIFTED] = drifted
    if earlier:
        details[EARLIER] = earlier
    table = replace(incoming, columns=tuple(columns), details=details)
    schema = pa.schema(fields)
    return Evolution(table, schema, tuple(changes), not _is_same(stored_schema, schema))


def cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch at another schema: columns by name, null where it has none.

    Raises InvalidInput naming the column and the first row, counted from 1, that does not go without loss.
    """
    names = set(batch.schema.names)
    columns = [
        _cast(batch.column(field.name), field)
        if field.name in names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def rewrite(
    parts: Sequence[LocalPart], schema: pa.Schema, folder: Path, first: int
) -> list[NewPart]:
    """Blocking: the live rows of the parts, in order, as the files `<first>.parquet` … at the schema; bounded memory.

    Raises InvalidInput as `cast` does, StorageFull.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[NewPart] = []

    def adopt(path: Path, key: str) -> None:
        path.rename(folder / Path(key).name)

    with PartWriter(folder, adopt, "new", first=first) as writer:
        finished = []
        for batch in _live_batches(parts):
            finished += writer.write(cast(batch, schema))
        finished += writer.finish()
    for part in (each.part for each in finished):
        path = folder / Path(part.key).name
        made.append(NewPart(path, part.rows, part.size_bytes, part.sha256))
    return made


def _live_batches(parts: Iterable[LocalPart]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        if not part.live_rows:
            continue
        gone, start = Gone([0, part.rows], [vectors.read(part.deletes)]), 0
        with pq.ParquetFile(part.path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                live = gone.live_mask(start, batch.num_rows)
                start += batch.num_rows
                yield batch if live is None else batch.filter(live)


def _held(
    table: str,
    before: Column | None,
    mine: pa.DataType | None,
    now: Column | None,
    theirs: pa.DataType | None,
) -> tuple[ColumnType, pa.DataType]:
    """Our type and the Arrow type that hold what is stored and what comes."""
    if before is None or now is None:
        column = before or now
        assert column is not None
        return column.type, mine if before else theirs
    held = wider((before.type, mine), (now.type, theirs))
    if held is None:
        raise Conflict(
            f"The column {now.name!r} of the table {table!r} was {_shown(before.type, mine)} and is"
            f" {_shown(now.type, theirs)} now: no type holds both without loss.",
            hint="Read the table anew with `incremental: false`, or leave the column out.",
        )
    return held


def _shown(kind: ColumnType, stored: pa.DataType) -> str:
    return f"{kind.name} ({stored})" if kind in {ColumnType.LIST, ColumnType.STRUCT} else kind.name


def _column(before: Column | None, now: Column | None, kind: ColumnType) -> Column:
    if now is None:
        assert before is not None
        return replace(before, nullable=True)  # null in new rows
    if before is None:
        return replace(now, nullable=True)  # null in older rows
    return replace(now, type=kind, nullable=before.nullable or now.nullable)


def _name(kind: ColumnType | None) -> str | None:
    return None if kind is None else kind.value


def _had(known: Mapping[str, str | None], before: Column | None) -> ColumnType | None:
    """The type that the source had a stored column with; None where it had none."""
    if before is None:
        return None
    had = known.get(before.name, before.type)
    return None if had is None else ColumnType(had)


def _was(stored: TableSchema, before: Column) -> str | None:
    """The type that a text had before it became one, where its values may be written in several ways."""
    if before.type is ColumnType.TEXT:
        was: str | None = stored.details.get(EARLIER, {}).get(before.name)
        return was
    return before.type.value if is_kept(before.type) else None


def _is_same(one: pa.Schema, other: pa.Schema) -> bool:
    """Whether parts of both go together: names and types in order; nullability and metadata play no part."""
    return list(zip(one.names, one.types, strict=True)) == list(
        zip(other.names, other.types, strict=True)
    )


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    if column.type == field.type:
        return column
    try:
        return _converted(column, field.type)
    except (pa.ArrowException, duckdb.Error, ValueError) as error:
        row, value = _first_failing(column, field.type)
        raise InvalidInput(
            f"Column {field.name!r}: row {row} has {str(value)[:80]!r}, which is no {field.type}"
            " without loss.",
            hint="Read the table anew with `incremental: false`.",
        ) from error


def _converted(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The same values; raises ValueError, ArrowException or duckdb.Error where that cannot be."""
    if column.null_count == len(column):
        return pa.nulls(len(column), wanted)
    if pa.types.is_string(wanted) or pa.types.is_large_string(wanted):
        return _texts(column).cast(wanted)
    # Arrow's own casts round floats and cut days off moments, but check integers and decimals.
    is_checked = all(
        pa.types.is_integer(of) or pa.types.is_decimal(of) for of in (column.type, wanted)
    )
    if not is_checked and common(wanted, column.type) != wanted:
        msg = f"{wanted} does not hold {column.type}"
        raise ValueError(msg)
    return column.cast(wanted)


def _texts(column: pa.Array) -> pa.Array:
    """The values as they are shown, but whole floats as whole numbers: a source may give the one or the other."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column
    if pa.types.is_binary(column.type) or pa.types.is_nested(column.type):
        msg = "bytes and nested values have no text"
        raise ValueError(msg)
    relation = _engine().from_arrow(pa.table({"v": column}))
    texts = (
        relation.project(exact_text("v", relation.types[0]))
        .to_arrow_table()
        .column(0)
        .combine_chunks()
    )
    is_float = pa.types.is_floating(column.type)
    return pc.replace_substring_regex(texts, *_WHOLE) if is_float else texts


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """A database that reaches no file, for the texts of values."""
    return locked([])


def _first_failing(column: pa.Array, wanted: pa.DataType) -> tuple[int, object]:
    """The first row, counted from 1, whose value does not convert."""
    for at in range(len(column)):
        try:
            _converted(column.slice(at, 1), wanted)
        except (pa.ArrowException, duckdb.Error, ValueError):
            if column[at].is_valid:
                return at + 1, column[at].as_py()
    return 1, None
