"""The second child of a script job: takes what the last script left as if a stranger had brought it, and stores it.

The file, or one of each partition, is Arrow IPC that a process wrote in which foreign code ran: everything in it may be
a lie. It is read here, in an isolated process of its own, checked whole, and written anew as parts of ours.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from base.errors import InvalidInput, PayloadTooLarge
from base.forks import size
from base.tables import Column, ColumnType, TableSchema
from connectors.files.arrow_types import Inexact, TextPaths, column_type, convert, stored
from connectors.files.names import COLUMNS_MAX
from storage.snapshots import profile
from storage.snapshots.manifest import LocalPart
from storage.snapshots.writer import PartWriter
from workers.messages import Derived, DeriveOrder, NewFile
from workers.sandbox.joining import Joined
from workers.sandbox.texts import CHECKS

SLICE_ROWS = 64 * 1024
NAME_CHARS_MAX = 1_000
EMPTY_ROWS_MAX = 1_000_000  # of columns that take no bytes: more than this is an attack
_SHOWN_CHARS = 200
_HINT = "A script leaves its result in what it returns; it must not write to files itself."
_BROKEN = (pa.ArrowException, OSError, ValueError, OverflowError)  # a bad text is a ValueError, too
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def derive(descriptors: tuple[int, ...], order: DeriveOrder) -> Derived:
    """Check and store the IPC files behind the descriptors, in their order; runs in an isolated child.

    Raises InvalidInput for what is damaged or cannot be stored, PayloadTooLarge, StorageFull.
    """
    with ExitStack() as stack:
        files = [os.fdopen(each, "rb", closefd=False) for each in descriptors]
        result = Result([stack.enter_context(file) for file in files], order)
        result.check()
        parts = _store(result.batches(), order.folder)
    table = result.table()
    found = _profile(parts, table, order)
    return Derived(table, tuple(parts), found, tuple(result.notes))


def _store(batches: Iterator[pa.RecordBatch], folder: Path) -> list[NewFile]:
    def adopt(path: Path, key: str) -> None:
        path.rename(folder / Path(key).name)

    finished = []
    with PartWriter(folder, adopt, "derived") as writer:
        for batch in batches:
            finished += writer.write(batch)
        finished += writer.finish()
    parts = [each.part for each in finished]
    return [NewFile(Path(each.key).name, each.rows, each.size_bytes, each.sha256) for each in parts]


def _profile(parts: Sequence[NewFile], table: TableSchema, order: DeriveOrder) -> NewFile:
    local = [LocalPart(order.folder / part.name, part.rows) for part in parts]
    found = profile.profile(local, table, order.folder, memory_bytes=order.memory_bytes)
    data = orjson.dumps(found)
    (order.folder / "profile.json").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return NewFile("profile.json", len(found["columns"]), len(data), digest)


@dataclass(slots=True)
class _Text:
    """A text column that is said to hold values of a richer type, as long as all of them are such."""

    type: ColumnType
    is_such: bool = True

    def look(self, values: pa.Array) -> None:
        """Check some values."""
        if self.is_such:
            self.is_such = CHECKS[self.type](values)


@dataclass(slots=True)
class Result:
    """The table in the files. `check` comes first: only then it is known as what each column is stored."""

    files: Sequence[BinaryIO]
    order: DeriveOrder
    notes: list[str] = field(default_factory=list)
    _joined: Joined = field(init=False)
    _names: list[str] = field(init=False)
    _texts: dict[int, _Text] = field(init=False, default_factory=dict)
    _as_text: TextPaths = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        with _reading():
            self._joined = Joined([pa.PythonFile(file, mode="r") for file in self.files])
            self._names = _names([str(name) for name in self._joined.schema.names])
        for place, name in enumerate(self._names):
            told = self.order.columns.get(name)
            if told is not None and told in CHECKS and pa.types.is_string(self._target(place)):
                self._texts[place] = _Text(told)

    def check(self) -> None:
        """Read all of it once. Raises InvalidInput, PayloadTooLarge."""
        rows = size_bytes = 0
        file_bytes = sum(os.fstat(file.fileno()).st_size for file in self.files)
        for partition, found in self._read():
            if rows + found.num_rows > 8 * file_bytes + EMPTY_ROWS_MAX:
                raise InvalidInput(
                    "The script's result claims more rows than it has bytes for.", hint=_HINT
                )
            with _reading():
                found.validate(full=True)
                batch = self._joined.fitted(partition, found)
            for piece in _pieces(batch):
                values = self._converted(piece)
                self._check_values(values, rows)
                rows += piece.num_rows
                size_bytes += sum(each.nbytes for each in values)
                if size_bytes > self.order.bytes_max:
                    limit = size(self.order.bytes_max)
                    raise PayloadTooLarge(
                        f"The script's result is larger than the limit of {limit}.",
                        hint="Give fewer rows or columns, or raise HEADWATER_SCRIPT_OUTPUT_BYTES_MAX.",
                    )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows as they are stored; one empty batch where there is none."""
        schema = pa.schema([(name, self._target(place)) for place, name in enumerate(self._names)])
        for partition, found in self._read():
            for piece in _pieces(self._joined.fitted(partition, found)):
                yield pa.RecordBatch.from_arrays(self._converted(piece), schema=schema)

    def table(self) -> TableSchema:
        """The table as it is stored."""
        before = {column.name: column for column in self.order.table.columns}
        columns = []
        for place, name in enumerate(self._names):
            found, target = self._joined.schema.field(place).type, self._target(place)
            text = self._texts.get(place)
            kind = text.type if text and text.is_such else column_type(found, target)
            old = before.get(name)
            native = old.native_type if old is not None and old.type is kind else None
            is_text = any(path[0] == name for path in self._as_text)
            why = f"text: a value of {found} does not fit the types that are stored"
            columns.append(Column(name, kind, native, inference=why if is_text else None))
            if is_text:
                self.notes.append(f"The column {name!r} is stored as {why}.")
        return TableSchema(self.order.table.name, tuple(columns), self.order.table.schema)

    def _target(self, place: int) -> pa.DataType:
        return stored(self._joined.schema.field(place).type, (self._names[place],), self._as_text)

    def _read(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """What is in the files, each batch with its partition; not looked at yet."""
        batches = self._joined.batches()
        while True:
            with _reading():
                found = next(batches, None)
            if found is None:
                return
            yield found

    def _converted(self, piece: pa.RecordBatch) -> list[pa.Array]:
        """The columns as they are stored; a value that does not fit makes text of its place, from the start on."""
        found = []
        for name, values in zip(self._names, piece.columns, strict=True):
            while True:
                try:
                    found.append(convert(values, (name,), self._as_text))
                    break
                except Inexact as error:
                    if error.path in self._as_text:
                        raise InvalidInput(
                            f"The column {name!r} of the script's result holds {values.type} values that have no text."
                        ) from error
                    self._as_text |= {error.path}
        return found

    def _check_values(self, columns: Sequence[pa.Array], rows: int) -> None:
        for place, values in enumerate(columns):
            if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
                sizes = pc.binary_length(values)
                largest = pc.max(sizes)
                if (largest.as_py() or 0) > self.order.cell_bytes_max:
                    at = rows + 1 + pc.index(sizes, largest).as_py()
                    raise PayloadTooLarge(
                        f"The value in row {at:,} of the column {self._names[place]!r} of the script's result is larger"
                        f" than the limit of {size(self.order.cell_bytes_max)}.",
                        hint="Make the value shorter, or raise HEADWATER_CELL_BYTES_MAX.",
                    )
            if place in self._texts:
                self._texts[place].look(values)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, SLICE_ROWS):
        yield batch.slice(start, SLICE_ROWS)


def _names(given: Sequence[str]) -> list[str]:
    """The columns' names, which stay as they are; raises InvalidInput where there are none, too many, or unfit ones."""
    if not given:
        raise InvalidInput("The script's result has no columns.", hint="Keep at least one.")
    if len(given) > COLUMNS_MAX:
        raise InvalidInput(
            f"The script's result has {len(given):,} columns; the limit is {COLUMNS_MAX:,}."
        )
    for place, name in enumerate(given, 1):
        if len(name) > NAME_CHARS_MAX:
            raise InvalidInput(
                f"The name of column {place:,} of the script's result has {len(name):,} characters;"
                f" the limit is {NAME_CHARS_MAX:,}."
            )
        if _UNFIT.search(name):
            raise InvalidInput(
                f"The name of column {place:,} of the script's result, {name!r}, holds control characters.",
                hint="Rename it.",
            )
    if "" in given:
        raise InvalidInput(f"Column {given.index('') + 1:,} of the script's result has no name.")
    if len(set(given)) < len(given):
        raise InvalidInput("The script's result has columns of the same name.")
    return list(given)


@contextmanager
def _reading() -> Iterator[None]:
    """Whatever a damaged file makes Arrow raise is the script's fault, but for a lack of memory."""
    try:
        yield
    except MemoryError:
        raise
    except _BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = _UNFIT.sub("?", reason[:_SHOWN_CHARS]).rstrip(".")
        raise InvalidInput(
            f"The script's result is damaged or cut off: {reason}.", hint=_HINT
        ) from error
