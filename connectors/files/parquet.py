"""Parquet files: types pass through where they can be stored, and are converted exactly where they cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.tables import Column, TableSchema
from connectors.connector import Batch, Connection, Health, Reading, Selection
from connectors.errors import FileInvalid, ReadAgain
from connectors.files.arrow_types import Inexact, TextPaths, column_type, convert, stored
from connectors.files.batches import sliced, too_large
from connectors.files.int96 import Int96, exact
from connectors.files.names import chosen, refuse_other_table, unique_names
from connectors.files.source import stored_file, table_name

BUFFER_BYTES = 1024**2  # of each column while it is read
READ_ROWS = 16_384
_SHOWN_CHARS = 200
Micros = Mapping[int, pa.Array]  # columns of 96-bit timestamps by their places, in microseconds
_BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)


class ParquetFile:
    """A Parquet file, whose table is called like the file."""

    def __init__(self, connection: Connection) -> None:
        self._limits = connection.limits
        self._name = table_name(connection)
        self._file = stored_file(connection).open("rb")  # an error names no path then
        try:
            self._parquet = pq.ParquetFile(self._file, buffer_size=BUFFER_BYTES, pre_buffer=False)
            self._schema = self._parquet.schema_arrow
            self._int96 = Int96(self._parquet, self._file, BUFFER_BYTES)
        except _BROKEN as error:
            self._file.close()
            raise _broken(error) from error
        if not self._schema.names:
            self.close()
            raise FileInvalid(
                "The Parquet file has no columns.", hint="Export it again, with its columns."
            )
        self._names = unique_names(self._schema.names)
        self._as_text: TextPaths = frozenset()

    def check(self) -> Health:
        """What the file says of itself."""
        found = self._parquet.metadata
        return Health(
            f"Parquet file, {len(self._names)} columns, {found.num_rows:,} rows.",
            server_version=found.created_by,
        )

    def tables(self) -> list[TableSchema]:
        """The one table, with the exact number of rows."""
        columns = tuple(self._column(place) for place in range(len(self._names)))
        return [TableSchema(self._name, columns, row_estimate=self._parquet.metadata.num_rows)]

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        """The rows in their order. `after` is `[row group, paths stored as text]`."""
        refuse_other_table(selection.name, selection.schema, [self._name])
        places = chosen(self._name, self._names, selection.columns)
        start = 0
        if after is not None:
            start, paths = after
            self._as_text = frozenset(tuple(path) for path in paths)
        return Reading(
            TableSchema(self._name, tuple(self._column(place) for place in places)),
            self._batches(places, start),
            bytes_total=self._size(0, self._parquet.num_row_groups),
        )

    def close(self) -> None:
        """Close the file."""
        self._parquet.close()
        self._file.close()

    def _column(self, place: int) -> Column:
        found = self._schema.field(place)
        target = stored(found.type, (self._names[place],), self._as_text)
        texts = [path for path in self._as_text if path[0] == self._names[place]]
        inference = None
        if texts:
            inference = f"text: a value of {found.type} does not fit the types that are stored"
        ours = column_type(found.type, target)
        return Column(
            self._names[place], ours, str(found.type), found.nullable, inference=inference
        )

    def _size(self, start: int, end: int) -> int:
        """Bytes of these row groups, packed."""
        groups = map(self._parquet.metadata.row_group, range(start, end))
        return sum(
            group.column(at).total_compressed_size
            for group in groups
            for at in range(group.num_columns)
        )

    def _batches(self, places: Sequence[int], start: int) -> Iterator[Batch]:
        row = sum(self._parquet.metadata.row_group(at).num_rows for at in range(start))
        paths = [list(path) for path in sorted(self._as_text)]
        read = 0
        for group in range(start, self._parquet.num_row_groups):
            waiting: Batch | None = None
            for data, micros in self._group(group, places):
                self._check_values(data, row)
                row += data.num_rows
                for piece in sliced(self._convert(data, micros, places), self._limits):
                    if waiting:
                        yield waiting
                    waiting = Batch(piece, None, read)
            read += self._size(group, group + 1)
            if waiting:
                yield Batch(waiting.data, [group + 1, paths], read)

    def _group(self, group: int, places: Sequence[int]) -> Iterator[tuple[pa.RecordBatch, Micros]]:
        """The rows of a row group, the wanted columns only."""
        names = self._schema.names
        is_plain = len(set(names)) == len(names) and not any("." in name for name in names)
        rows = min(READ_ROWS, self._limits.batch_rows)
        wide = [place for place in places if place in self._int96.places]
        try:
            take = self._int96.reader(group, wide, rows, is_plain=is_plain)
            wanted = [names[place] for place in places] if is_plain else None
            for batch in self._parquet.iter_batches(rows, [group], wanted, use_threads=False):
                data = batch if is_plain else batch.select(places)
                yield data, dict(zip(wide, take(data.num_rows), strict=True))
        except _BROKEN as error:
            raise _broken(error) from error

    def _convert(
        self, data: pa.RecordBatch, micros: Micros, places: Sequence[int]
    ) -> pa.RecordBatch:
        try:
            arrays = [
                self._converted(values, micros, place)
                for values, place in zip(data.columns, places, strict=True)
            ]
        except Inexact as error:
            self._learn_all(places)
            raise ReadAgain from error
        return pa.RecordBatch.from_arrays(arrays, names=[self._names[place] for place in places])

    def _converted(self, values: pa.Array, micros: Micros, place: int) -> pa.Array:
        path = (self._names[place],)
        if place in micros:
            values = exact(values, micros[place], path, self._as_text)
        return convert(values, path, self._as_text)

    def _learn_all(self, places: Sequence[int]) -> None:
        """Find every path with a value that does not fit, so that the next read is the last."""
        for group in range(self._parquet.num_row_groups):
            for data, micros in self._group(group, places):
                for values, place in zip(data.columns, places, strict=True):
                    self._learn(values, micros, place)

    def _learn(self, values: pa.Array, micros: Micros, place: int) -> None:
        while True:
            try:
                self._converted(values, micros, place)
            except Inexact as error:
                self._as_text |= {error.path}
            else:
                return

    def _check_values(self, data: pa.RecordBatch, row: int) -> None:
        """Texts have to be texts, and values within the limit."""
        try:
            data.validate(full=True)
        except pa.ArrowInvalid as error:
            rows = f"rows {row + 1} to {row + data.num_rows}"
            raise FileInvalid(
                f"The Parquet file is broken: {rows} hold values that are none."
            ) from error
        for values in data.columns:
            kind = values.type
            if pa.types.is_string(kind) or pa.types.is_binary(kind):
                sizes = pc.binary_length(values)
                largest = pc.max(sizes)
                if (largest.as_py() or 0) > self._limits.cell_bytes_max:
                    at = row + 1 + pc.index(sizes, largest).as_py()
                    raise too_large(f"in row {at}", self._limits.cell_bytes_max)


def _broken(error: BaseException) -> FileInvalid:
    reason = str(error).split("\n")[0][:_SHOWN_CHARS]
    return FileInvalid(
        f"The Parquet file is broken or cut off: {reason.rstrip('.')}.",
        hint="Export or upload it again.",
    )
