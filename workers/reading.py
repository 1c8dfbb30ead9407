"""The child process of a sync: opens the source, reads its batches, writes them as parts, tells the parent of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import connectors
from base.errors import ConnectionFailed, PlatformError
from base.forks import Channel
from base.tables import TableSchema
from connectors.connector import Connector, Selection
from connectors.errors import ReadAgain
from storage.snapshots.writer import PART_ROWS, Finished, PartWriter
from workers.intake import Intake
from workers.messages import (
    PartWritten,
    ReadOrder,
    RowsRead,
    TableDone,
    TableOpened,
    TableOrder,
    TablesFound,
    Warned,
)
from workers.rejecting import Rejects

PROGRESS_SECONDS = 0.25
PART_ROWS_MIN = (
    5_000  # a user's batch size also says how often to checkpoint, but not for single rows
)
READS_MAX = 10  # of one table that asks to be read again
Tell = Callable[[list[Finished]], None]


def read(channel: Channel, order: ReadOrder) -> None:
    """Read what was ordered; runs in a limited child. Raises `connectors.errors`, InvalidInput and StorageFull."""
    with closing(connectors.open(order.connection)) as connector:
        tables = order.tables or tuple(
            TableOrder(Selection(table.name, table.schema)) for table in connector.tables()
        )
        channel.send(TablesFound(tuple(table.selection for table in tables)))
        next_number = 0
        rejects = {each.index: each.rows for each in order.rejects}
        for index, table in enumerate(tables):
            if not table.is_done:
                reader = _TableReader(channel, connector, order, index, table)
                others = sum(rows for at, rows in rejects.items() if at != index)
                next_number, rejects[index] = reader.read(next_number, others)


class _Mark(NamedTuple):
    """How far a read was after a batch."""

    position: list[object] | None
    cursor: str | None
    rejects: int


class _TableReader:
    """Reads one table, again from its start as often as the connector asks."""

    def __init__(
        self,
        channel: Channel,
        connector: Connector,
        order: ReadOrder,
        index: int,
        table: TableOrder,
    ) -> None:
        self._channel = channel
        self._connector = connector
        self._order = order
        self._index = index
        self._table = table
        self._part_rows = max(order.part_rows or PART_ROWS, PART_ROWS_MIN)
        self._next_number = 0
        self._told_at = 0.0
        self._others = 0
        self._warned: set[str] = set()

    def read(self, next_number: int, others: int) -> tuple[int, int]:
        """Write parts from this number on; the number after the last, and how many rows were rejected.

        `others` is how many rows of other tables were rejected before.
        """
        self._next_number, self._others = next_number, others
        intake, resumed = self._open()
        for _ in range(READS_MAX):
            try:
                rejected = self._copy(intake, resumed=resumed)
            except ReadAgain:
                intake, resumed = self._intake(), False
            else:
                return self._next_number, rejected
        name = self._table.selection.name
        raise ConnectionFailed(
            f"The table {name} changed its columns {READS_MAX} times while it was read."
        )

    def _open(self) -> tuple[Intake, bool]:
        """The read, behind the last durable part where the table is still the same."""
        after, expected = self._table.after, self._table.expected
        if after is None:
            return self._intake(), False
        intake = self._intake(after)
        if expected is not None and _shape(intake.reading.table) == _shape(expected):
            return intake, True
        return self._intake(), False

    def _intake(self, after: list[object] | None = None) -> Intake:
        return Intake(self._connector, self._table, self._order.known, after)

    def _copy(self, intake: Intake, *, resumed: bool) -> int:
        """Read it all; how many rows were rejected, over all attempts."""
        reading, rejects = intake.reading, self._rejects(resumed=resumed)
        before = rejects.rows
        opened = TableOpened(
            self._index,
            reading.table,
            resumed,
            reading.bytes_total,
            intake.key,
            intake.cursor_column,
            intake.since,
            is_fresh=intake.before is None,
        )
        self._channel.send(opened)
        rows, seen, bytes_read = self._write(intake, rejects)
        rejects.keep(self._next_number)
        self._next_number += 1
        earlier = next((each for each in self._order.rejects if each.index == self._index), None)
        rejects.check_share(seen + (earlier.rows_read if earlier and resumed else 0))
        has_keys = bool(self._table.plan.finds_deletes and intake.key and intake.since is not None)
        if has_keys:
            self._write_keys(intake)
        rows += rejects.rows - before
        final = reading.final() if reading.final else None
        done = TableDone(self._index, rows, bytes_read, final, intake.cursor, has_keys)
        self._channel.send(done)
        return rejects.rows

    def _write(self, intake: Intake, rejects: Rejects) -> tuple[int, int, int]:
        """Write the table's parts; rows that were taken, rows that there were with rejected ones, bytes."""
        rows = seen = bytes_read = 0
        earlier, is_first = rejects.rows, True
        with self._writer(rejects) as (writer, tell):
            for batch in intake.reading.batches:
                rejects.add(batch.rejects)
                self._warn(batch.warnings)
                data = batch.data
                if data.num_rows:  # without rows it need not have the table's types
                    if is_first and (evolved := intake.evolve(self._index, data.schema)):
                        self._channel.send(evolved)
                    is_first = False
                    data = intake.take(data)
                rows += data.num_rows
                seen += batch.data.num_rows + len(batch.rejects)
                bytes_read = max(bytes_read, batch.bytes_read)
                tell(writer.write(data, _Mark(batch.position, intake.cursor, rejects.rows)))
                self._tell_progress(rows + rejects.rows - earlier, bytes_read)
        return rows, seen, bytes_read

    def _write_keys(self, intake: Intake) -> None:
        """The key-set pass: which rows are still there."""
        reading = intake.read_keys(self._connector)
        with self._writer(None) as (writer, tell):
            for batch in reading.batches:
                tell(writer.write(intake.take_keys(batch.data), None))

    @contextmanager
    def _writer(self, rejects: Rejects | None) -> Iterator[tuple[PartWriter, Tell]]:
        """A writer of the next parts, and what tells of those that are finished; no rejects for a key-set pass."""

        def tell(finished: list[Finished]) -> None:
            for each in finished:
                self._tell(each, rejects)

        with PartWriter(
            self._order.folder,
            _rename,
            str(self._order.folder),
            first=self._next_number,
            part_rows=self._part_rows,
        ) as writer:
            try:
                yield writer, tell
            except PlatformError as error:
                if error.retryable:  # the next attempt goes on behind what came before the failure
                    tell(writer.finish())
                raise
            tell(writer.finish())

    def _rejects(self, *, resumed: bool) -> Rejects:
        earlier = [each for each in self._order.rejects if each.index == self._index]
        return Rejects(
            self._channel,
            self._order.folder,
            self._index,
            self._table.selection.name,
            rows_max=self._order.rejects_max,
            others=self._others,
            before=earlier[0] if earlier and resumed else None,
        )

    def _warn(self, warnings: tuple[str, ...]) -> None:
        """Once each, however often the table is read again."""
        for text in warnings:
            if text not in self._warned:
                self._warned.add(text)
                self._channel.send(Warned(self._index, text))

    def _tell_progress(self, rows: int, bytes_read: int) -> None:
        if time.monotonic() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = time.monotonic()
            self._channel.send(RowsRead(self._index, rows, bytes_read))

    def _tell(self, finished: Finished, rejects: Rejects | None) -> None:
        part = finished.part
        number = int(Path(part.key).stem)
        self._next_number = number + 1
        mark: _Mark = finished.position or _Mark(None, None, 0)
        if rejects is not None:
            rejects.keep(number, mark.rejects)
        self._channel.send(
            PartWritten(
                self._index,
                number,
                part.rows,
                part.size_bytes,
                part.sha256,
                mark.position,
                mark.cursor,
                is_keys=rejects is None,
            )
        )


def _shape(table: TableSchema) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in table.columns]


def _rename(path: Path, key: str) -> None:
    path.rename(key)
