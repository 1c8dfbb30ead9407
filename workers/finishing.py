"""The second child process of a sync: puts what was read together with what is stored, compacts it, and describes it.

It reads older and staged parts and writes new files beside them; an attempt that dies here is simply made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson
import pyarrow.parquet as pq

from base.forks import Channel
from base.tables import ColumnType
from storage.snapshots import compact, evolve, merge, profile
from storage.snapshots.drifts import source_type
from storage.snapshots.earlier import earlier_types
from storage.snapshots.manifest import LocalPart, Part, StoredFile
from storage.snapshots.modes import SyncMode
from workers.messages import FinishedPart, FinishOrder, FinishTable, NewFile, TableFinished


def finish(channel: Channel, order: FinishOrder) -> None:
    """Finish what was ordered; runs in a limited child. Raises InvalidInput for a key without a value, StorageFull."""
    next_number = 0
    for table in order.tables:
        finisher = _Finisher(order, table, next_number)
        channel.send(finisher.finish())
        next_number = finisher.next_number


@dataclass(frozen=True, slots=True)
class _Item:
    """A part on its way: where it came from, and what it is."""

    part: Part
    local: LocalPart
    origin: int | None = None
    file: NewFile | None = None
    vector: NewFile | None = None


class _Finisher:
    """One table."""

    def __init__(self, order: FinishOrder, table: FinishTable, first: int) -> None:
        self._folder = order.folder
        self._memory_bytes = order.memory_bytes
        self._table = table
        self.next_number = first

    def finish(self) -> TableFinished:
        """Combine, compact, describe."""
        table = self._table
        locals_ = (*table.base, *table.staged)
        items = [
            _Item(part, local, origin)
            for origin, (part, local) in enumerate(zip(table.parts, locals_, strict=True))
        ]
        if table.rewrites:
            items = [*self._rewritten(items[: len(table.base)]), *items[len(table.base) :]]
        base_count = len(items) - len(table.staged)
        combined = self._combined(items, base_count)
        items = self._with_vectors(items, combined)
        items = [item for item in items if item.part.live_rows]
        if table.mode is not SyncMode.FULL:
            items = self._compacted(items)
        return TableFinished(
            table.index,
            tuple(FinishedPart(item.origin, item.file, item.vector) for item in items),
            None if self._is_same(items) else self._profile(items),
            combined.inserted,
            combined.updated,
            combined.unchanged,
            combined.deleted,
        )

    def _combined(self, items: Sequence[_Item], base_count: int) -> merge.Combined:
        table = self._table
        if table.mode is SyncMode.FULL:
            return merge.Combined((), 0, 0, 0, 0)
        return merge.combine(
            [item.local for item in items[:base_count]],
            [item.local for item in items[base_count:]],
            mode=table.mode,
            key=table.key,
            cursor=table.cursor_column,
            keys=table.keys,
            is_whole=table.since is None,
            folder=self._folder,
            memory_bytes=self._memory_bytes,
            cursor_type=self._cursor_type(),
            decimals=[c.name for c in table.table.columns if c.type is ColumnType.DECIMAL],
            earlier=earlier_types(table.table),
        )

    def _cursor_type(self) -> ColumnType | None:
        """A number that is stored as a text is ordered as a decimal."""
        table, cursor = self._table.table, self._table.cursor_column
        if cursor is None:
            return None
        kind = source_type(table, cursor)
        return ColumnType.DECIMAL if kind is ColumnType.INTEGER else kind

    def _with_vectors(self, items: Sequence[_Item], combined: merge.Combined) -> list[_Item]:
        changed = {vector.part: vector for vector in combined.vectors}
        return [
            _with_vector(item, changed[at]) if at in changed else item
            for at, item in enumerate(items)
        ]

    def _rewritten(self, items: Sequence[_Item]) -> list[_Item]:
        """The older parts at the new columns."""
        local = [item.local for item in items if item.part.live_rows]
        if not local:
            return []
        schema = pq.read_schema(self._table.staged[0].path)
        return self._new(evolve.rewrite(local, schema, self._folder, self.next_number))

    def _compacted(self, items: Sequence[_Item]) -> list[_Item]:
        """Neighbouring small parts, and those with many deleted rows, as one."""
        result: list[_Item] = []
        done = 0
        for group in compact.worth([item.part for item in items]):
            result += items[done : group.start]
            some = [item.local for item in items[group.start : group.stop]]
            result += self._new(compact.compacted(some, self._folder, self.next_number))
            done = group.stop
        return [*result, *items[done:]]

    def _new(self, made: Sequence[evolve.NewPart]) -> list[_Item]:
        self.next_number += len(made)
        items = []
        for each in made:
            file = NewFile(each.path.name, each.rows, each.size_bytes, each.sha256)
            part = Part("", each.rows, each.size_bytes, each.sha256)
            items.append(_Item(part, LocalPart(each.path, each.rows), file=file))
        return items

    def _is_same(self, items: Sequence[_Item]) -> bool:
        """Whether the table is what it was, and was described then."""
        table = self._table
        before = [at for at, part in enumerate(table.parts[: len(table.base)]) if part.live_rows]
        return (
            table.is_described
            and [item.origin for item in items] == before
            and all(item.vector is None for item in items)
        )

    def _profile(self, items: Sequence[_Item]) -> NewFile:
        found = profile.profile(
            [item.local for item in items],
            self._table.table,
            self._folder,
            memory_bytes=self._memory_bytes,
        )
        data = orjson.dumps(found)
        path = self._folder / f"{self.next_number}.json"
        self.next_number += 1
        with path.open("xb") as file:
            file.write(data)
        return NewFile(
            path.name, len(found["columns"]), len(data), hashlib.sha256(data).hexdigest()
        )


def _with_vector(item: _Item, vector: merge.Vector) -> _Item:
    file = NewFile(vector.path.name, vector.rows, vector.size_bytes, vector.sha256)
    deletes = StoredFile("", vector.rows, vector.size_bytes, vector.sha256)
    return replace(
        item,
        part=replace(item.part, deletes=deletes),
        local=replace(item.local, deletes=vector.path, deleted_rows=vector.rows),
        vector=file,
    )
