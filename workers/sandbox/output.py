"""The result of a step as an uncompressed Arrow IPC file, written piece by piece."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa

from base.errors import PayloadTooLarge, PlatformError
from base.tables import ColumnType
from connectors.files.arrow_types import Inexact, column_type, convert, stored
from workers.sandbox.messages import ScriptFailed, TableIn
from workers.sandbox.results import nanoseconds, pieces
from workers.sandbox.texts import CHECKS

BATCH_ROWS = 128 * 1024
BATCH_BYTES = 64 * 1024**2
FLUSH_ROWS = 16 * 1024
FLUSH_BYTES = 8 * 1024**2
FLUSH_BATCHES = 1000
_MIB = 1024**2
_DECIMAL_DIGITS = 38


class Output:
    """Writes tables that belong together, of one schema: that of the first.

    `given` is the Arrow schema of the table that the script saw. Its columns that are stored as text, but are more (a
    UUID, JSON), stay so while their values are. With `is_first_of_many` decimals get room for more digits. Raises
    ScriptFailed, naming column and batch; PayloadTooLarge.
    """

    def __init__(
        self,
        descriptor: int,
        bytes_max: int,
        source: TableIn,
        given: pa.Schema,
        what: str,
        *,
        is_first_of_many: bool = False,
    ) -> None:
        self._sink = _Sink(descriptor, bytes_max)
        self._types = {each.name: each.type for each in source.columns}
        self._given = given
        self._is_first_of_many = is_first_of_many
        self._what = what
        self._writer: pa.RecordBatchFileWriter | None = None
        self._schema = pa.schema([])
        self._ours: dict[str, ColumnType] = {}
        self._null_counts: dict[str, int] = {}
        self._waiting: list[pa.RecordBatch] = []  # small ones make one
        self._waiting_bytes = 0
        self.rows = 0
        self.tables = 0

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._sink.size_bytes

    def write(self, table: pa.Table) -> None:
        """Append the rows of a table, as `results.arrow` gives it."""
        self.tables += 1
        if self._writer is None:
            self._open(table)
        elif set(table.column_names) != set(self._schema.names):
            raise self._other_columns(table)
        else:
            table = table.select(self._schema.names)
        row_bytes = table.nbytes // max(table.num_rows, 1)
        step = max(min(BATCH_ROWS, BATCH_BYTES // max(row_bytes, 1)), 1)
        for piece in pieces(table, step):
            if piece.num_rows or not self.rows:
                self._append(piece)

    def finish(self) -> list[dict[str, Any]]:
        """End the file; its columns as `{"name", "type", "has_nulls", "has_values"}`."""
        self._flush()
        assert self._writer is not None
        self._writer.close()
        return [
            {
                "name": name,
                "type": ours.value,
                "has_nulls": self._null_counts[name] > 0,
                "has_values": self._null_counts[name] < self.rows,
            }
            for name, ours in self._ours.items()
        ]

    def _open(self, table: pa.Table) -> None:
        fields = []
        for each in table.schema:
            found = self._found(each)
            target = self._wide(self._stored(found, each.name), each.name)
            fields.append(pa.field(each.name, target))
            self._ours[each.name] = self._type(found, target, each)
            self._null_counts[each.name] = 0
        self._schema = pa.schema(fields)
        self._writer = pa.ipc.new_file(pa.PythonFile(self._sink, mode="w"), self._schema)

    def _found(self, field: pa.Field) -> pa.DataType:
        """The type of a column; where it has no value, that which it had before."""
        if pa.types.is_null(field.type) and field.name in self._given.names:
            return self._given.field(field.name).type
        return field.type

    def _stored(self, found: pa.DataType, name: str) -> pa.DataType:
        if isinstance(found, pa.BaseExtensionType) and found.extension_name.startswith("pandas."):
            raise self._refusal(name, f"values of the type {found} cannot be stored")
        try:
            return stored(found, (name,), frozenset())
        except PlatformError as error:
            raise self._refusal(name, error.message.rstrip(".")) from error

    def _wide(self, target: pa.DataType, name: str) -> pa.DataType:
        """Python's decimals have as many digits as the first batch needs; later ones may need more of them."""
        is_given = name in self._given.names and self._given.field(name).type == target
        if self._is_first_of_many and pa.types.is_decimal(target) and not is_given:
            return pa.decimal128(_DECIMAL_DIGITS, target.scale)
        return target

    def _type(self, found: pa.DataType, target: pa.DataType, field: pa.Field) -> ColumnType:
        before = self._types.get(field.name)
        # pandas' own text is a large_string; a column that still is a string is one that was given.
        is_same = field.name in self._given.names and self._given.field(field.name).type == found
        if before is not None and is_same:
            return before
        return column_type(found, target)

    def _append(self, piece: pa.Table) -> None:
        columns = []
        for field, values in zip(self._schema, piece.columns, strict=True):
            column = self._fitted(values, field)
            self._null_counts[field.name] += column.null_count
            ours = self._ours[field.name]
            check = CHECKS.get(ours)
            if pa.types.is_string(field.type) and check is not None and not check(column):
                self._ours[field.name] = ColumnType.TEXT
            columns.append(column)
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        self.rows += piece.num_rows
        rows = sum(each.num_rows for each in self._waiting)
        is_enough = rows >= FLUSH_ROWS or self._waiting_bytes >= FLUSH_BYTES
        if is_enough or len(self._waiting) >= FLUSH_BATCHES:
            self._flush()

    def _flush(self) -> None:
        """Write what waits as one batch."""
        if not self._waiting:
            return
        assert self._writer is not None
        is_one = len(self._waiting) == 1
        self._writer.write_batch(self._waiting[0] if is_one else pa.concat_batches(self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0

    def _fitted(self, values: pa.ChunkedArray, field: pa.Field) -> pa.Array:
        """A column of a piece as it is stored."""
        if pa.types.is_null(values.type):
            return pa.nulls(len(values), field.type)
        plain = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
        try:
            plain = convert(plain, (field.name,), frozenset())
            return plain if plain.type == field.type else _cast(plain, field.type)
        except Inexact as error:
            if pa.types.is_timestamp(values.type) or pa.types.is_time(values.type):
                raise nanoseconds(self._where(field.name)) from error
            raise self._refusal(field.name, f"a value of {values.type} cannot be stored") from error
        except PlatformError as error:
            raise self._refusal(field.name, error.message.rstrip(".")) from error
        except (pa.ArrowException, TypeError) as error:
            if self.tables == 1:
                raise self._refusal(field.name, "its values cannot be stored") from error
            raise self._refusal(
                field.name,
                f"{plain.type} does not fit {field.type}, which it was in the first batch",
                hint="Give the column one type in every batch, as by .astype.",
            ) from error

    def _other_columns(self, table: pa.Table) -> ScriptFailed:
        before, now = self._schema.names, table.column_names
        lost = [name for name in before if name not in now]
        added = [name for name in now if name not in before]
        told = f"lacks the column {lost[0]!r}" if lost else f"has another column, {added[0]!r}"
        return ScriptFailed(f"{self._batch()} {told}; all batches have the columns of the first.")

    def _batch(self) -> str:
        return self._what if self.tables == 1 else f"{self._what}, batch {self.tables}"

    def _where(self, name: str) -> str:
        return f"{self._batch()}, column {name!r}"

    def _refusal(self, name: str, reason: str, hint: str | None = None) -> ScriptFailed:
        return ScriptFailed(f"{self._where(name)}: {reason}.", hint=hint)


def _cast(values: pa.Array, target: pa.DataType) -> pa.Array:
    """The values as another type that holds them exactly; raises ArrowInvalid where none does."""
    if _family(values.type) != _family(target):
        raise pa.ArrowInvalid(f"{values.type} is no {target}")
    made = values.cast(target)
    if pa.types.is_floating(target) and not made.cast(values.type).equals(values):
        raise pa.ArrowInvalid("a number has too many digits")
    return made


def _family(found: pa.DataType) -> str:
    """Types that go together while no value is lost."""
    if pa.types.is_integer(found) or pa.types.is_floating(found) or pa.types.is_decimal(found):
        return "number"
    if pa.types.is_timestamp(found):
        return "timestamp with a zone" if found.tz else "timestamp"
    return str(found.id)


class _Sink:
    """The file, which may have so many bytes."""

    closed = False

    def __init__(self, descriptor: int, bytes_max: int) -> None:
        self._descriptor = descriptor
        self._bytes_max = bytes_max
        self.size_bytes = 0

    def write(self, data: Any) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        self.size_bytes += len(view)
        if self.size_bytes > self._bytes_max:
            raise PayloadTooLarge(
                f"The result of the script is over {self._bytes_max / _MIB:,.0f} MB.",
                hint="Give fewer rows or columns, or let HEADWATER_SCRIPT_OUTPUT_BYTES_MAX be more.",
            )
        written = 0
        while written < len(view):
            written += os.write(self._descriptor, view[written:])
        return written

    def tell(self) -> int:
        """Where the next byte goes."""
        return self.size_bytes

    def flush(self) -> None:
        """Nothing is buffered here."""

    def close(self) -> None:
        """The descriptor is the parent's to close."""
