"""APPEND: which staged rows are stored already, found by the equality of whole rows, counting equal ones."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import numpy as np
from duckdb.sqltypes import DuckDBPyType

from storage.snapshots.relations import Outcome, Places, Relation, count, exact_form, places


def run(
    connection: duckdb.DuckDBPyConnection,
    base: Relation,
    staged: Relation,
    cursor: str | None,
    forms: Mapping[str, str],
) -> Outcome:
    """Of n equal stored and m equal staged rows min(n, m) staged ones go; the others are inserted.

    `forms` is SQL of what makes cells equal, by the names of columns for which they are not enough themselves.
    """
    nothing = np.empty(0, np.int64)
    if not base.rows or not staged.rows:
        return Outcome(nothing, nothing, staged.rows, 0, 0, 0)
    types = staged.types()
    columns = zip(staged.columns, staged.names, strict=True)
    whole = f"hash({', '.join(forms.get(name, column) for column, name in columns)}) as h"
    connection.execute(f"create table staged_hashes as {staged.live([whole])}")
    near = base.live(
        [whole], _window(connection, staged, types, None if cursor in forms else cursor)
    )
    connection.execute(
        f"create table near as select * from ({near}) where h in (select h from staged_hashes)"  # noqa: S608 - SQL of ours
    )
    if not count(connection, "select 1 from near"):
        return Outcome(nothing, nothing, staged.rows, 0, 0, 0)
    dropped = _dropped(connection, base, staged, types, forms)
    unchanged = len(dropped)
    return Outcome(nothing, dropped, staged.rows - unchanged, 0, unchanged, 0)


def _window(
    connection: duckdb.DuckDBPyConnection,
    staged: Relation,
    types: list[DuckDBPyType],
    cursor: str | None,
) -> str:
    """SQL that a stored row's cursor is one that a staged row may have: it spares reading what is older."""
    if cursor is None:
        return "true"
    column = staged.column(cursor)
    stored = types[staged.columns.index(column)]
    if stored.id == "blob":
        return "true"
    ends = f"min({column})::varchar, max({column})::varchar"
    row = connection.execute(f"select {ends} from ({staged.live([column])})").fetchone()  # noqa: S608 - SQL of ours
    if row is None or row[0] is None:
        return f"{column} is null"
    low, high = (f"'{_quoted(end)}'::{stored}" for end in row)
    return f"({column} between {low} and {high} or {column} is null)"


def _dropped(
    connection: duckdb.DuckDBPyConnection,
    base: Relation,
    staged: Relation,
    types: list[DuckDBPyType],
    known: Mapping[str, str],
) -> Places:
    """Places of staged rows that are stored. Rows of equal hashes are compared cell by cell."""
    forms = [
        form
        for column, name, stored in zip(staged.columns, staged.names, types, strict=True)
        for form in ([known[name]] if name in known else exact_form(column, stored))
    ]
    named = ", ".join(f"{form} as e{at}" for at, form in enumerate(forms))
    exact = ", ".join(f"e{at}" for at in range(len(forms)))
    have = base.at(base.columns, "select place from near")
    connection.execute(
        f"create table have as select {named}, count(*) as n from ({have}) group by {exact}"  # noqa: S608 - SQL of ours
    )
    met = "select place from staged_hashes where h in (select h from near)"
    numbered = f"row_number() over (partition by {', '.join(forms)} order by place) as nth"
    candidates = staged.at(staged.columns, met)
    same = " and ".join(f"s.e{at} is not distinct from b.e{at}" for at in range(len(forms)))
    return places(
        connection,
        f"select s.place from (select place, {named}, {numbered} from ({candidates})) s"  # noqa: S608 - SQL of ours
        f" join have b on {same} where s.nth <= b.n",
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")
