"""MERGE: staged rows matched with stored ones by key, and compared cell by cell where they may be equal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from base.errors import InvalidInput
from base.tables import ColumnType
from storage.snapshots.cells import FLOATS
from storage.snapshots.relations import Outcome, Places, Relation, count, equal, places

_NOTHING: Places = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Merge:
    """What is merged, by what. `key` and `cursor` are names of columns; `keys` holds all keys of the source.

    `numbers` are columns of the key whose texts are decimals, and equal where these are.
    """

    connection: duckdb.DuckDBPyConnection
    base: Relation
    staged: Relation
    key: Sequence[str]
    numbers: Collection[str]
    cursor: str | None
    cursor_type: ColumnType | None
    keys: Relation | None
    is_whole: bool

    def run(self) -> Outcome:
        """Which rows go; raises InvalidInput for staged rows without a key."""
        superseded = self._stage()
        self._match()
        base_gone, dropped, updated = self._settle()
        inserted = self.staged.rows - len(superseded) - len(dropped) - updated
        unchanged = len(superseded) + len(dropped)
        deleted = len(base_gone) - updated  # stored rows of a key that was there twice
        base_removed, staged_removed = self._removed()
        return Outcome(
            np.concatenate([base_gone, base_removed]),
            np.concatenate([superseded, dropped, staged_removed]),
            inserted,
            updated,
            unchanged,
            deleted + len(base_removed) + len(staged_removed),
        )

    @property
    def _cells(self) -> list[str]:
        return [self.staged.column(name) for name in self.key]

    @property
    def _key(self) -> list[str]:
        """What is compared: the cells of the key, or the numbers that they are."""
        return [
            f"n_{self.staged.column(n)}" if n in self.numbers else self.staged.column(n)
            for n in self.key
        ]

    def _with_key(self, rows: str) -> str:
        """Rows that have the key's cells, with what of them is compared."""
        columns = [self.staged.column(name) for name in self.key if name in self.numbers]
        more = "".join(f", hw_decimal({column}) as n_{column}" for column in columns)
        return f"select *{more} from ({rows})" if more else rows  # noqa: S608 - SQL of ours

    @property
    def _same_key(self) -> str:
        return " and ".join(f"b.{column} = s.{column}" for column in self._key)

    def _stage(self) -> Places:
        """Make `staged`, the rows that are the last of their key; places of the others."""
        if not self.staged.rows:
            self._run("create table staged(place bigint)")
            return _NOTHING
        key = ", ".join(self._key)
        # With a cursor most rows are told by it; without one all cells are needed.
        cells = (
            [*self._cells, self.staged.column(self.cursor)] if self.cursor else self.staged.columns
        )
        rows = self._with_key(self.staged.live(dict.fromkeys(cells)))
        self._run(f"create table staged as {rows}")
        self._refuse_nulls()
        self._run(
            f"create table repeated as select {key} from staged group by {key} having count(*) > 1"  # noqa: S608 - SQL of ours
        )
        if not count(self.connection, "select 1 from repeated"):
            return _NOTHING
        newest = (
            f"{self._cursor_order()} desc nulls last, place desc" if self.cursor else "place desc"
        )
        self._run(
            f"create table superseded as select place from (select place, row_number() over"  # noqa: S608 - SQL of ours
            f" (partition by {key} order by {newest}) as nth from staged"
            f" semi join repeated using ({key})) where nth > 1"
        )
        self._run("delete from staged where place in (select place from superseded)")
        return places(self.connection, "select place from superseded")

    def _refuse_nulls(self) -> None:
        counts = ", ".join(f"count(*) - count({column})" for column in self._key)
        row = self.connection.execute(f"select {counts} from staged").fetchone()  # noqa: S608 - SQL of ours
        for name, nulls in zip(self.key, row or (), strict=True):
            if nulls:
                raise InvalidInput(
                    f"{nulls} row{'s have' if nulls > 1 else ' has'} no value in {name!r},"
                    " a column of the key that tells rows apart.",
                    hint="Choose another `primaryKey`, or the mode FULL or APPEND.",
                )

    def _cursor_order(self) -> str:
        assert self.cursor is not None
        column = self.staged.column(self.cursor)
        stored = self.staged.types()[self.staged.columns.index(column)]
        is_text = self.cursor_type is ColumnType.DECIMAL and stored.id == "varchar"
        return f"hw_decimal({column})" if is_text else column

    def _match(self) -> None:
        """Make `matched`: places of stored and staged rows of one key, and whether all their cells are equal."""
        if not self.base.rows or not self.staged.rows:
            self._run("create table matched(stored bigint, staged bigint, same boolean)")
            return
        types = dict(zip(self.staged.columns, self.staged.types(), strict=True))
        compared = [self.staged.column(self.cursor)] if self.cursor else self.staged.columns
        read = dict.fromkeys([*self._cells, *compared])
        same = " and ".join(equal(f"b.{c}", f"s.{c}", types[c]) for c in compared)
        pairs = (
            f"select b.place as stored, s.place as staged, {same} as same"  # noqa: S608 - SQL of ours
            f" from ({self._with_key(self.base.all(read))}) b join staged s on {self._same_key}"
        )
        self._run(f"create table matched as {self.base.without_deleted(pairs, 'stored')}")
        if self.cursor and count(self.connection, "select 1 from matched where same"):
            # One key may be several cells: numbers may be written otherwise, and floats have two zeros.
            numbers = set(map(self.staged.column, self.numbers))
            told = {c for c in read if c not in numbers and types[c].id not in FLOATS} | {*compared}
            self._compare_cells([c for c in self.staged.columns if c not in told])

    def _compare_cells(self, columns: list[str]) -> None:
        """Compare the other cells of rows whose cursors are equal."""
        types = dict(zip(self.staged.columns, self.staged.types(), strict=True))
        same = " and ".join(equal(f"b.{c}", f"s.{c}", types[c]) for c in columns) or "true"
        self._run("alter table matched rename to compared")
        alike = "from compared where same"
        stored = self.base.at(columns, f"select stored as place {alike}")
        staged = self.staged.at(columns, f"select staged as place {alike}")
        self._run(
            f"create table matched as select stored, staged, {same} as same from compared m"  # noqa: S608 - SQL of ours
            f" join ({stored}) b on b.place = stored join ({staged}) s on s.place = staged"
            " where m.same union all select stored, staged, false from compared where not same"
        )

    def _settle(self) -> tuple[Places, Places, int]:
        """Stored rows that others replace, staged rows that are stored already, and how many keys were updated."""
        self._run(
            "create table settled as select staged, min(stored) filter (where same) as kept"
            " from matched group by staged"
        )
        self._run(
            "create table replaced as select stored from matched"
            " where stored not in (select kept from settled where kept is not null)"
        )
        dropped = places(self.connection, "select staged from settled where kept is not null")
        updated = count(self.connection, "select 1 from settled where kept is null")
        return places(self.connection, "select stored from replaced"), dropped, updated

    def _removed(self) -> tuple[Places, Places]:
        """Stored and staged rows whose key is no longer in the source."""
        if self.keys is not None:
            return self._not_among_keys(self.keys)
        if not self.is_whole or not self.base.rows:
            return _NOTHING, _NOTHING
        every = self.base.live([])
        unmatched = f"select place from ({every}) anti join matched on stored = place"  # noqa: S608 - SQL of ours
        return places(self.connection, unmatched), _NOTHING

    def _not_among_keys(self, keys: Relation) -> tuple[Places, Places]:
        theirs = [
            f"hw_decimal(k.{keys.column(name)})"
            if name in self.numbers
            else f"k.{keys.column(name)}"
            for name in self.key
        ]
        pairs = zip(self._key, theirs, strict=True)
        same = " and ".join(f"r.{mine} = {other}" for mine, other in pairs)
        among = f"anti join ({keys.all(keys.columns)}) k on {same}" if keys.rows else ""
        stored = staged = _NOTHING
        if self.base.rows:
            base = self._with_key(self.base.live(self._cells))
            rows = f"select r.place from ({base}) r {among}"  # noqa: S608 - SQL of ours
            stored = places(
                self.connection,
                f"select place from ({rows}) anti join replaced on stored = place",  # noqa: S608 - SQL of ours
            )
        if self.staged.rows:
            rows = f"select r.place from staged r {among}"  # noqa: S608 - SQL of ours
            kept = "(select staged from settled where kept is not null)"
            staged = places(
                self.connection,
                f"select place from ({rows}) anti join {kept} on staged = place",  # noqa: S608 - SQL of ours
            )
        return stored, staged

    def _run(self, sql: str) -> None:
        self.connection.execute(sql)
