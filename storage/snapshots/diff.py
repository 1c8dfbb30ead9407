"""How the rows of a table differ between two snapshots: by key, or as multisets of whole rows without one.

What both sides share is not read: parts with the same bytes and deleted rows cancel out, and of a part with other
deleted rows just those rows count that one side sees and the other does not. The rest is matched by key, or without one
by content, which is compared by a 64-bit hash of all cells: two different rows pass for the same with a chance of 1 in
2^64 each.

ORDER. Rows that were added or changed come first, by their place in the new table, then those that were removed, by
their place in the old one. A cursor is such a place, so pages go on wherever they end.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.sqltypes import VARCHAR, DuckDBPyType

from base.errors import InvalidInput, QueryTooComplex, TimedOut
from storage.snapshots import cursors, vectors
from storage.snapshots.cells import json_cell, json_row
from storage.snapshots.changes import (
    FIRST_MAX,
    ChangedRow,
    Difference,
    RowChange,
    Side,
    identity_of,
)
from storage.snapshots.comparing import Pair, key_forms, pairs
from storage.snapshots.engine import EnginePool, locked
from storage.snapshots.filters import Stored, stored_columns
from storage.snapshots.manifest import LocalPart
from storage.snapshots.relations import ROW_BITS

DIFFS_AT_ONCE = 2  # a process; each has an engine of its own
MEMORY_BYTES = 512 * 1024**2
PAGE_BYTES_MAX = 32 * 1024**2
_REMOVED = 1 << 63  # in a cursor, before the place: rows that were removed come last
_HINT = (
    "Compare snapshots that are nearer to each other, or export both tables and compare the files."
)


class Diffs:
    """Compares tables. One a process."""

    def __init__(self) -> None:
        self._pool = EnginePool(DIFFS_AT_ONCE)

    async def find(
        self,
        old: Side,
        new: Side,
        key: Sequence[str],
        *,
        first: int,
        after: str | None = None,
        seconds: float,
    ) -> Difference:
        """Counts and a page of up to `first` rows, which may be 0. `key` is not used where it is not unique.

        Raises InvalidInput with `field` relative to the arguments, TimedOut, QueryTooComplex.
        """
        if not 0 <= first <= FIRST_MAX:
            raise InvalidInput(f"A page has 0 to {FIRST_MAX} rows.", field="first")
        make = partial(_Comparison, old, new, key)
        try:
            return await self._pool.run_on(make, lambda work: work.run(first, after), seconds)
        except TimedOut as error:
            raise TimedOut(
                f"Comparing the snapshots took longer than {seconds:g} seconds.", hint=_HINT
            ) from error

    def close(self) -> None:
        """Let go of the threads; what they are at ends on its own."""
        self._pool.close()


@dataclass(slots=True)
class _Rest:
    """What is left of a side: parts of which all live rows count, and single rows of other parts."""

    whole: list[int] = field(default_factory=list)
    picked: dict[int, vectors.Vector] = field(default_factory=dict)


class _Comparison:
    """One diff at work, in a database that reaches the files of both sides."""

    def __init__(self, old: Side, new: Side, key: Sequence[str]) -> None:
        self._stopped = threading.Event()
        self._old, self._new = old, new
        # Another key matches other rows, so its pages are others.
        sides = [[identity_of(part) for part in side.parts] for side in (old, new)]
        self._mark = hashlib.sha256(json.dumps([*sides, list(key)]).encode()).digest()
        files = [part.path for side in (old, new) for part in side.files]
        files += [p.deletes for side in (old, new) for p in side.files if p.deletes]
        self._connection = locked(
            [str(file) for file in dict.fromkeys(files)], memory_bytes=MEMORY_BYTES
        )
        self._pairs = pairs(*self._stored())
        by_name = {pair.column.name: pair for pair in self._pairs}
        names = [name for name in key if name in by_name]
        self._key = [by_name[name] for name in names if by_name[name].old and by_name[name].new]
        if len(self._key) < len(key):
            self._key = []

    def stop(self) -> None:
        """End the running statement and refuse the next; callable from any thread."""
        self._stopped.set()
        with suppress(duckdb.Error):  # it is closed, and the work done
            self._connection.interrupt()

    def run(self, first: int, after: str | None) -> Difference:
        """Blocking: compare, count, and read the page."""
        try:
            position = None if after is None else self._position(after)
            rests = _rests(self._old, self._new)
            sides = (self._side("old", self._old, rests[0]), self._side("new", self._new, rests[1]))
            self._compare(*sides)
            return self._difference(first, position)
        except duckdb.Error as error:
            raise self._translated(error) from error
        finally:
            self._connection.close()

    def _position(self, after: str) -> int:
        try:
            return cursors.decode(after, self._mark, 1 << 64)
        except InvalidInput as error:
            raise InvalidInput(
                "The cursor is not one of this difference.",
                hint="Start without a cursor.",
                field="after",
            ) from error

    def _translated(self, error: Exception) -> Exception:
        if self._stopped.is_set():
            return TimedOut("The comparison was stopped.")
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
            return QueryTooComplex(
                "The comparison needs more memory than one query may have.", hint=_HINT
            )
        return error

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._stopped.is_set():
            raise TimedOut("The comparison was stopped.")
        return self._connection.execute(sql, list(parameters)).fetchall()

    # --- what is compared

    def _stored(self) -> tuple[list[Stored], list[Stored]]:
        """The stored columns of both sides; a side without parts has those of the other one, as far as it knows."""
        sides = (self._old, self._new)
        types = [self._types(side) for side in sides]
        found = []
        for side, own, far, other in zip(sides, types, sides[::-1], types[::-1], strict=True):
            # Cells of a side without parts are never read.
            known = dict(zip((c.name for c in far.table.columns), other, strict=False))
            guessed = [known.get(column.name, VARCHAR) for column in side.table.columns]
            found.append(stored_columns(side.table, own or guessed))
        return found[0], found[1]

    def _types(self, side: Side) -> list[DuckDBPyType]:
        if not side.files:
            return []
        return list(self._connection.sql(f"select * from {_scan(side.files[:1])}").types)  # noqa: S608 - quoted paths

    def _side(self, name: str, side: Side, rest: _Rest) -> str | None:
        """A query of `place`, the key and the row's hash, of the rows that are left; None where there are none."""
        wanted = [f"hash({', '.join(_flat(self._pairs, name))}) as h"]
        wanted += [f"{key} as k{at}" for at, key in enumerate(self._key_forms(name))]
        reads = []
        if rest.whole:
            gone = [(part, vectors.read(side.files[part].deletes)) for part in rest.whole]
            self._load(f"{name}_gone", [(part, rows) for part, rows in gone if len(rows)])
            places = f"anti join {name}_gone using (place)"
            reads.append(
                _places(side, rest.whole, wanted) + (places if any(len(r) for _, r in gone) else "")
            )
        if rest.picked:
            self._load(f"{name}_picked", list(rest.picked.items()))
            picked = _places(side, list(rest.picked), wanted)
            reads.append(f"{picked} semi join {name}_picked using (place)")
        return " union all ".join(f"(select * from {read})" for read in reads) or None  # noqa: S608 - names of ours

    def _key_forms(self, name: str) -> list[str]:
        return [key_forms(pair)[name == "new"] for pair in self._key]

    def _load(self, table: str, rows: Sequence[tuple[int, vectors.Vector]]) -> None:
        """A table of the places of these rows of these parts."""
        listed = [(part << ROW_BITS) + numbers.astype(np.int64) for part, numbers in rows]
        data = pa.table({"place": np.concatenate(listed) if listed else np.empty(0, np.int64)})
        self._connection.register(table, data)

    # --- comparing

    def _compare(self, old: str | None, new: str | None) -> None:
        """Make the table `changes` of places: `old`, `new`, or both."""
        if old is None or new is None:
            nothing = "select null::bigint as place where false"
            self._execute(
                "create temp table changes as"  # noqa: S608 - SQL of ours
                f" select place as old, null::bigint as new from ({old or nothing})"
                f" union all select null::bigint, place from ({new or nothing})"
            )
            return
        if self._key and self._is_unique(old) and self._is_unique(new):
            same = " and ".join(
                f"o.k{at} is not distinct from n.k{at}" for at in range(len(self._key))
            )
            self._execute(
                "create temp table changes as select o.place as old, n.place as new"  # noqa: S608 - as above
                f" from ({old}) o full join ({new}) n on {same}"
                " where o.place is null or n.place is null or o.h <> n.h"
            )
            return
        self._key = []
        self._compare_content(old, new)

    def _is_unique(self, side: str) -> bool:
        key = ", ".join(f"k{at}" for at in range(len(self._key)))
        twice = f"select 1 from ({side}) group by hash({key}) having count(*) > 1 limit 1"  # noqa: S608 - as above
        return not self._execute(twice)

    def _compare_content(self, old: str, new: str) -> None:
        """Of rows that are there more often on one side, the last ones there are the difference."""
        for name, side in (("o", old), ("n", new)):
            self._execute(f"create temp table {name} as select h, place from ({side})")  # noqa: S608 - as above
        self._execute(
            "create temp table uneven as select h, sum(one) - sum(other) as more,"
            " least(sum(one), sum(other)) as kept"
            " from (select h, 1 as one, 0 as other from o union all select h, 0, 1 from n)"
            " group by h having sum(one) <> sum(other)"
        )
        last = (
            "select place from (select place, kept, row_number() over (partition by h order by place) as nth"
            " from {} join uneven using (h) where more {} 0) where nth > kept"
        )
        self._execute(
            "create temp table changes as"  # noqa: S608 - as above
            f" select place as old, null::bigint as new from ({last.format('o', '>')})"
            f" union all select null::bigint, place from ({last.format('n', '<')})"
        )

    # --- the page

    def _difference(self, first: int, after: int | None) -> Difference:
        added, removed, changed = self._execute(
            "select count(*) filter (where old is null), count(*) filter (where new is null),"
            " count(*) filter (where old is not null and new is not null) from changes"
        )[0]
        where, parameters = "true", list[int]()
        if after is not None and after >= _REMOVED:
            where, parameters = "new is null and old > ?", [after - _REMOVED]
        elif after is not None:
            where, parameters = "new is null or new > ?", [after]
        found = self._execute(
            f"select old, new from changes where {where} order by new nulls last, old limit {first + 1}",  # noqa: S608 - SQL of ours
            parameters,
        )
        page = found[:first]
        ends = [(_REMOVED | old) if new is None else new for old, new in (page[:1] + page[-1:])]
        start, end = (cursors.encode(each, self._mark) for each in ends) if ends else (None, None)
        return Difference(
            key=tuple(pair.column.name for pair in self._key),
            columns=tuple(pair.column for pair in self._pairs),
            added=added,
            removed=removed,
            changed=changed,
            rows=self._rows(page) if page else (),
            has_next=len(found) > first,
            has_previous=after is not None,
            start_cursor=start,
            end_cursor=end,
        )

    def _rows(self, page: Sequence[tuple[int | None, int | None]]) -> tuple[ChangedRow, ...]:
        """The rows at these places, both versions of those that changed."""
        olds = self._cells("old", [old for old, _ in page if old is not None])
        news = self._cells("new", [new for _, new in page if new is not None])
        both = [(old, new) for old, new in page if old is not None and new is not None]
        differing = self._differing(both) if both else {}
        found = []
        for old, new in page:
            old_key, old_row = (None, None) if old is None else olds[old]
            new_key, new_row = (None, None) if new is None else news[new]
            change = RowChange.CHANGED
            if old is None or new is None:
                change = RowChange.ADDED if old is None else RowChange.REMOVED
            key = (new_key or old_key) if self._key else None
            found.append(ChangedRow(change, key, old_row, new_row, differing.get(new, ())))
        return tuple(found)

    def _cells(self, name: str, places: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        """Key and row as JSON, by place."""
        if not places:
            return {}
        row, key = (
            json_row([_cell(pair.old if name == "old" else pair.new) for pair in chosen], "")
            for chosen in (self._pairs, self._key)
        )
        found, size = {}, 0
        sql = self._at(name, places, [f"{key} as k", f"{row} as r"])
        result = self._connection.execute(sql)
        while rows := result.fetchmany(100):
            for place, key_text, row_text in rows:
                found[place] = (key_text.encode(), row_text.encode())
                size += len(row_text)
            if size > PAGE_BYTES_MAX:
                raise QueryTooComplex(
                    f"The page is larger than {PAGE_BYTES_MAX // 1024**2} MiB.",
                    hint="Ask for fewer rows.",
                )
        return found

    def _differing(self, both: Sequence[tuple[int, int]]) -> dict[int | None, tuple[str, ...]]:
        """The names of the columns whose cells differ, by the new place."""
        old = [f"{form} as o{at}" for at, form in enumerate(_flat(self._pairs, "old"))]
        new = [f"{form} as n{at}" for at, form in enumerate(_flat(self._pairs, "new"))]
        flags, at = [], 0
        for number, pair in enumerate(self._pairs):
            ends = range(at, at + len(pair.new_forms))
            at = ends.stop
            same = " and ".join(f"o{each} is not distinct from n{each}" for each in ends)
            flags.append(f"case when not ({same}) then {number} end")
        olds = self._at("old", [place for place, _ in both], old)
        news = self._at("new", [place for _, place in both], new)
        rows = self._execute(
            f"select n.place, list_filter([{', '.join(flags)}], lambda x: x is not null)"  # noqa: S608 - as above
            " from (select unnest(?) as o, unnest(?) as n) paired"
            f" join ({olds}) o on o.place = paired.o join ({news}) n on n.place = paired.n",
            [[place for place, _ in both], [place for _, place in both]],
        )
        names = [pair.column.name for pair in self._pairs]
        return {place: tuple(names[number] for number in numbers) for place, numbers in rows}

    def _at(self, name: str, places: Iterable[int], wanted: Sequence[str]) -> str:
        """A query of `place` and these expressions, of the rows at these places."""
        side = self._old if name == "old" else self._new
        reads = []
        for part, placed in groupby(sorted(places), key=lambda place: place >> ROW_BITS):
            rows = [place & ((1 << ROW_BITS) - 1) for place in placed]
            scan = _scan(side.files[part : part + 1], len(side.table.columns))
            listed = ", ".join(map(str, rows))
            reads.append(
                f"select {part << ROW_BITS} + file_row_number as place, {', '.join(wanted)} from {scan}"  # noqa: S608 - SQL of ours
                f" where file_row_number between {rows[0]} and {rows[-1]} and file_row_number in ({listed})"
            )
        return " union all ".join(reads)


def _rests(old: Side, new: Side) -> tuple[_Rest, _Rest]:
    """What is left of both sides without what they share."""
    rests = _Rest(), _Rest()
    unmatched: dict[str, list[int]] = {}
    for at, part in enumerate(old.parts):
        unmatched.setdefault(part.sha256, []).append(at)
    for at, part in enumerate(new.parts):
        twins = unmatched.get(part.sha256)
        if not twins:
            if part.live_rows:
                rests[1].whole.append(at)
            continue
        # The twin with the same deleted rows, where there are several.
        exact = [each for each in twins if identity_of(old.parts[each]) == identity_of(part)]
        twin = (exact or twins)[0]
        twins.remove(twin)
        if not exact:
            before = vectors.read(old.files[twin].deletes)
            after = vectors.read(new.files[at].deletes)
            for rest, place, seen, unseen in (
                (rests[0], twin, before, after),
                (rests[1], at, after, before),
            ):
                rows = np.setdiff1d(unseen, seen, assume_unique=True)
                if len(rows):
                    rest.picked[place] = rows
    left = sorted(at for twins in unmatched.values() for at in twins)
    rests[0].whole += [at for at in left if old.parts[at].live_rows]
    return rests


def _flat(chosen: Sequence[Pair], name: str) -> list[str]:
    return [
        form for pair in chosen for form in (pair.old_forms if name == "old" else pair.new_forms)
    ]


def _cell(stored: Stored | None) -> str:
    return "'null'" if stored is None else json_cell(stored.sql, stored.type, stored.column.type)


def _places(side: Side, parts: Sequence[int], wanted: Sequence[str]) -> str:
    """A relation of `place` and these expressions, of all rows of these parts."""
    scan = _scan([side.files[part] for part in parts], len(side.table.columns))
    starts = ", ".join(str(part << ROW_BITS) for part in parts)
    place = f"([{starts}]::bigint[])[file_index::bigint + 1] + file_row_number as place"
    return f"(select {place}, {', '.join(wanted)} from {scan})"  # noqa: S608 - SQL of ours


def _scan(files: Sequence[LocalPart], columns: int | None = None) -> str:
    quoted = ("'" + str(part.path).replace("'", "''") + "'" for part in files)
    names = "" if columns is None else f" t({', '.join(f'c{at}' for at in range(columns))})"
    return f"read_parquet([{', '.join(quoted)}]){names}"
