"""Stored and staged rows as SQL relations, and what makes two of their cells equal.

A row is named by its `place`: the number of its file and, in the lower 32 bits, its row in the file. Columns are called
`c0`, `c1` … so that no name of a user's is ever part of SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from duckdb.sqltypes import DuckDBPyType

from base.errors import InvalidInput
from storage.snapshots.cells import FLOATS, NESTED
from storage.snapshots.engine import load_gone
from storage.snapshots.manifest import LocalPart

Places = npt.NDArray[np.int64]
ROW_BITS = 32
_PLACE = f"file_index::bigint * {2**ROW_BITS} + file_row_number as place"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rows that go, by place, and the counts of `merge.Combined`."""

    base: Places
    staged: Places
    inserted: int
    updated: int
    unchanged: int
    deleted: int


class Relation:
    """The live rows of some parts, in a connection that may read them."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        parts: Sequence[LocalPart],
        columns: Sequence[str],
    ) -> None:
        """`columns` are the names of all columns in the files' order; `name` is one of ours."""
        self._connection = connection
        self._name = name
        self._parts = parts
        self.names = tuple(columns)
        self.columns = [f"c{at}" for at in range(len(columns))]
        self._is_whole = not any(part.deleted_rows for part in parts)
        if not self._is_whole:
            load_gone(connection, parts, f"{name}_gone")

    @property
    def rows(self) -> int:
        """Number of live rows."""
        return sum(part.live_rows for part in self._parts)

    def column(self, name: str) -> str:
        """The SQL name of a column; raises InvalidInput where there is none."""
        if name not in self.names:
            raise InvalidInput(f"The rows have no column {name!r} to be told apart by.")
        return self.columns[self.names.index(name)]

    def types(self) -> list[DuckDBPyType]:
        """DuckDB's types of the columns."""
        sql = f"select * from read_parquet({_files(self._parts[:1])})"  # noqa: S608 - quoted paths
        return list(self._connection.sql(sql).types)

    def all(self, columns: Iterable[str], where: str = "true") -> str:
        """A query of these columns, and `place`, of all rows, deleted ones too."""
        chosen = ", ".join([*columns, _PLACE])
        return f"select {chosen} from {self._scan(self._parts)} where {where}"  # noqa: S608 - as above

    def live(self, columns: Iterable[str], where: str = "true") -> str:
        """The same without deleted rows."""
        return self.without_deleted(self.all(columns, where), "place")

    def without_deleted(self, query: str, place: str) -> str:
        """The rows of a query whose place in this relation is live."""
        if self._is_whole:
            return query
        return (
            f"select * from ({query}) anti join {self._name}_gone"  # noqa: S608 - names of ours
            f" on gone_file = {place} >> {ROW_BITS} and gone_row = {place} & {2**ROW_BITS - 1}"
        )

    def at(self, columns: Iterable[str], places: str) -> str:
        """A query of these columns, and `place`, of the rows whose places the query `places` gives."""
        spans = self._connection.execute(
            f"select place >> {ROW_BITS}, min(place), max(place) from ({places}) group by 1"  # noqa: S608 - as above
        ).fetchall()
        reads = [
            # Only the row groups and pages that the places lie in are unpacked.
            f"select {', '.join([*columns, f'file_row_number + {file << ROW_BITS} as place'])}"  # noqa: S608 - as above
            f" from {self._scan(self._parts[file : file + 1])}"
            f" where file_row_number between {first % 2**ROW_BITS} and {last % 2**ROW_BITS}"
            for file, first, last in sorted(spans)
        ]
        if not reads:
            return self.all(columns, "false")
        return f"select * from ({' union all '.join(reads)}) where place in ({places})"  # noqa: S608 - as above

    def _scan(self, parts: Sequence[LocalPart]) -> str:
        return f"read_parquet({_files(parts)}) t({', '.join(self.columns)})"


def column_names(parts: Sequence[LocalPart]) -> list[str]:
    """The names of the columns, in the files' order."""
    with pq.ParquetFile(parts[0].path) as file:
        return [str(name) for name in file.schema_arrow.names]


def equal(left: str, right: str, stored: DuckDBPyType) -> str:
    """SQL that two cells are equal."""
    exact = zip(exact_form(left, stored), exact_form(right, stored), strict=True)
    return " and ".join(f"{one} is not distinct from {other}" for one, other in exact)


def exact_form(value: str, stored: DuckDBPyType) -> list[str]:
    """SQL of what must be equal for two cells to be: DuckDB takes a float's two zeros for one."""
    if stored.id in FLOATS:
        return [value, f"({value} = 0 and signbit({value}))"]
    if _has_floats(stored):
        return [value, f"replace({value}::varchar, '-nan', 'nan')"]
    return [value]


def places(connection: duckdb.DuckDBPyConnection, query: str) -> Places:
    """The places that a query gives, of one column."""
    found = connection.execute(query).fetchnumpy()
    return np.asarray(next(iter(found.values())), np.int64)


def count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """The number of rows of a query."""
    row = connection.execute(f"select count(*) from ({query})").fetchone()  # noqa: S608 - SQL of ours
    assert row is not None
    return int(row[0])


def _has_floats(stored: DuckDBPyType) -> bool:
    if stored.id in FLOATS:
        return True
    if stored.id not in NESTED:
        return False
    return any(
        isinstance(child, DuckDBPyType) and _has_floats(child) for _, child in stored.children
    )


def _files(parts: Sequence[LocalPart]) -> str:
    quoted = ("'" + str(part.path).replace("'", "''") + "'" for part in parts)
    return f"[{', '.join(quoted)}]"
