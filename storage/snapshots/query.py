"""Pages of rows of a stored table: columns chosen, filtered, ordered, by cursor, as JSON that DuckDB writes.

Which rows are on a page is found first (by arithmetic where there is neither filter nor order), then just these rows
are read by their position. So a page costs the same at any depth, and a sort reads only the columns that it sorts by.

ORDER. Nulls come last in either direction. Text sorts by code point, NaN as larger than all numbers. Rows that are
equal in all given columns keep the order of the source, which is also the order without any.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from math import ceil
from typing import Any

from base.errors import InvalidInput, QueryTooComplex
from base.tables import TableSchema
from storage.snapshots import cursors
from storage.snapshots.cells import json_cell, json_row
from storage.snapshots.cursors import Key
from storage.snapshots.engine import ENGINE_THREADS, Cursor, Engine, EnginePool
from storage.snapshots.filters import (
    FILTERS_MAX,
    Sql,
    Stored,
    compile_filter,
    sort_key,
    stored_columns,
)
from storage.snapshots.manifest import LocalPart
from storage.snapshots.pages import FIRST_MAX, Page, RowOrder, RowQuery

ORDERS_MAX = 16
PAGE_BYTES_MAX = 32 * 1024**2
_ROWS_AT_ONCE = 128
_PLACE = ("file_index", "file_row_number")
_PARTS_FIRST = 2 * ENGINE_THREADS  # by the matches in these it is told how many more to scan
_MARGIN = 1.2  # to plan a query costs about as much as to scan a part


class Pages:
    """Reads pages. It keeps the tables used last open in its `pool`."""

    def __init__(self) -> None:
        self.pool = EnginePool()

    async def page(
        self,
        parts: Sequence[LocalPart],
        table: TableSchema,
        query: RowQuery,
        *,
        seconds: float,
    ) -> Page:
        """See `storage.snapshots.rows.Rows.page`."""
        _check(table, query)
        filled = [part for part in parts if part.live_rows]
        if not filled:
            return _empty_page(table, query)
        return await self.pool.run(filled, partial(_read_page, table, query), seconds)

    def close(self) -> None:
        """Let go of files and threads."""
        self.pool.close()


def _place(engine: Engine, position: int) -> tuple[int, int]:
    """Part, and row within it, of a position in the table, deleted rows counted."""
    part = bisect_right(engine.starts, position) - 1
    return part, position - engine.starts[part]


def _read_page(table: TableSchema, query: RowQuery, cursor: Cursor) -> Page:
    """Blocking: find the rows of the page, then read them."""
    stored = stored_columns(table, cursor.engine.types)
    by_name = {column.column.name: column for column in stored}
    filters = [
        compile_filter(by_name[f.column], f, f"where[{at}]") for at, f in enumerate(query.where)
    ]
    keys = _keys(query.order_by, by_name)
    mark = _mark(cursor.engine, query.order_by)
    after = (
        None if query.after is None else cursors.decode(query.after, mark, cursor.engine.starts[-1])
    )
    chosen = stored if query.columns is None else [by_name[name] for name in query.columns]
    if filters and not keys:
        texts = _Texts()
        found = _read_matching(cursor, chosen, filters, after, query.first + 1, texts)
        page = found[: query.first]
    else:
        found = _find(cursor, filters, keys, after, query.first + 1)
        page = found[: query.first]
        texts = _read_rows(cursor, chosen, page)
    return Page(
        columns=tuple(column.column for column in chosen),
        rows_json=texts.of(page),
        row_count=len(page),
        has_next=len(found) > query.first,
        has_previous=after is not None,
        start_cursor=cursors.encode(page[0], mark) if page else None,
        end_cursor=cursors.encode(page[-1], mark) if page else None,
        total=_count(cursor, filters) if query.count else None,
    )


def _find(
    cursor: Cursor,
    filters: Sequence[Sql],
    keys: Sequence[Key],
    after: int | None,
    wanted: int,
) -> list[int]:
    """Positions of the first `wanted` rows behind `after`: of a sort, or of all rows."""
    if keys:
        return _find_sorted(cursor, filters, keys, after, wanted)
    return cursor.engine.gone.live_from(0 if after is None else after + 1, wanted)


def _read_matching(
    cursor: Cursor,
    chosen: Sequence[Stored],
    filters: Sequence[Sql],
    after: int | None,
    wanted: int,
    texts: _Texts,
) -> list[int]:
    """Positions of the first matching rows in the order of the source, and their texts, in one go.

    Deleted rows are left out here, since DuckDB's joins keep no order.
    """
    engine, found = cursor.engine, list[int]()
    names = dict.fromkeys([*(c.sql for c in chosen), *_PLACE])
    first = start = 0 if after is None else after + 1
    parts, share = _PARTS_FIRST, 2 if engine.gone.rows else 1
    while start < engine.starts[-1] and len(found) < wanted:
        skipped, row = _place(engine, start)
        behind = [Sql("file_index > 0 or file_row_number >= ?", (row,))] if row else []
        limit = min((wanted - len(found)) * share, 2 * FIRST_MAX)
        # Without ORDER BY the scan keeps the order of files and rows.
        where, parameters = _where([*filters, *behind])
        rows = f"select {', '.join(names)} from {engine.scan} where {where} limit {limit}"  # noqa: S608 - names and numbers of ours
        sql = f"select {_row(chosen)}, {', '.join(_PLACE)} from ({rows})"  # noqa: S608 - as above
        met = list[int]()
        files = engine.files[skipped : skipped + parts]
        for some in cursor.some(sql, [files, *parameters], _ROWS_AT_ONCE):
            rows_met = {engine.starts[part + skipped] + number: text for text, part, number in some}
            met += rows_met
            live = engine.gone.live_of(list(rows_met))
            # More rows are met than a page takes where some of them are deleted.
            taken = live[: max(wanted - 1 - len(found), 0)]
            texts.add([rows_met[position] for position in taken], taken)
            found += live
        if len(met) < limit:
            start = engine.starts[skipped + len(files)]
        else:
            start, share = met[-1] + 1, 2 * share  # many of them were deleted
        parts = _parts_ahead(engine, start - first, len(found), wanted)
    return found[:wanted]


def _parts_ahead(engine: Engine, scanned: int, found: int, wanted: int) -> int:
    """How many parts to scan next, where `scanned` rows had `found` that match.

    DuckDB's threads stop when each of them has met the limit, which for rare rows is long after all have.
    """
    if not found:
        return len(engine.parts)
    part_rows = engine.starts[-1] / len(engine.parts)
    enough = _MARGIN * (wanted - found) * scanned / found / part_rows
    return max(ceil(enough), ENGINE_THREADS)


def _find_sorted(
    cursor: Cursor, filters: Sequence[Sql], keys: Sequence[Key], after: int | None, wanted: int
) -> list[int]:
    engine = cursor.engine
    conditions = [*filters] if after is None else [*filters, _behind(cursor, keys, after)]
    terms = [*(key.order for key in keys), "file_index", "file_row_number"]
    rows = _select(
        cursor,
        f"file_index, file_row_number from {engine.live}",
        engine.files,
        conditions,
        f"order by {', '.join(terms)} limit {wanted}",
    )
    return [engine.starts[part] + row for part, row in rows]


def _behind(cursor: Cursor, keys: Sequence[Key], position: int) -> Sql:
    """The condition that a row sorts behind the one at `position`."""
    engine = cursor.engine
    part, row = _place(engine, position)
    saved = ", ".join(key.saved for key in keys)
    at_row = Sql("file_row_number = ?", (row,))
    values = _select(cursor, f"{saved} from {engine.scan}", [engine.files[part]], [at_row])[0]
    return cursors.behind(keys, values, part, row)


def _count(cursor: Cursor, filters: Sequence[Sql]) -> int:
    engine = cursor.engine
    if not filters:
        return engine.starts[-1] - engine.gone.rows
    rows = _select(cursor, f"count(*) from {engine.live}", engine.files, filters)
    count: int = rows[0][0]
    return count


def _select(
    cursor: Cursor, what: str, files: list[str], conditions: Sequence[Sql], ending: str = ""
) -> list[tuple[Any, ...]]:
    where, parameters = _where(conditions)
    sql = f"select {what} where {where} {ending}"
    return cursor.rows(sql, [files, *parameters])


def _where(conditions: Sequence[Sql]) -> tuple[str, list[Any]]:
    """SQL that all conditions hold, and its parameters."""
    text = " and ".join(f"({condition.text})" for condition in conditions) or "true"
    return text, [value for condition in conditions for value in condition.parameters]


class _Texts:
    """Rows of a page as JSON, by their positions; raises QueryTooComplex when they are more than a page may have."""

    def __init__(self) -> None:
        self._texts: dict[int, bytes] = {}
        self._size_bytes = 0

    def add(self, texts: Sequence[str], positions: Sequence[int]) -> None:
        """Take rows, in any order."""
        cells = [text.encode() for text in texts]
        self._texts.update(zip(positions, cells, strict=True))
        self._size_bytes += sum(map(len, cells))
        if self._size_bytes > PAGE_BYTES_MAX:
            raise QueryTooComplex(
                f"The page is larger than {PAGE_BYTES_MAX // 1024**2} MiB.",
                hint="Ask for fewer rows or columns.",
            )

    def of(self, positions: Sequence[int]) -> bytes:
        """The rows at these positions, in this order, as a JSON array."""
        return b"[" + b",".join(self._texts[position] for position in positions) + b"]"


def _row(chosen: Sequence[Stored]) -> str:
    return json_row([json_cell(c.sql, c.type, c.column.type) for c in chosen], "")


def _read_rows(cursor: Cursor, chosen: Sequence[Stored], positions: Sequence[int]) -> _Texts:
    """The rows at these positions."""
    texts = _Texts()
    if not positions:
        return texts
    engine = cursor.engine
    places = (_place(engine, position) for position in sorted(positions))
    names = ", ".join(dict.fromkeys(column.sql for column in chosen))
    reads, parameters = [], []
    for part, placed in groupby(places, key=lambda place: place[0]):
        rows = [row for _, row in placed]
        reads.append(
            f"select {names}, {engine.starts[part]} + file_row_number as position"  # noqa: S608 - as above
            f" from {engine.scan} where {_at(rows)}"
        )
        parameters.append([engine.files[part]])
    # To materialise the union first is a fifth faster, but took 500 MB for 1,000 scattered rows.
    sql = f"select {_row(chosen)}, position from ({' union all '.join(reads)})"  # noqa: S608 - as above
    for some in cursor.some(sql, parameters, _ROWS_AT_ONCE):
        texts.add([text for text, _ in some], [position for _, position in some])
    return texts


def _at(rows: list[int]) -> str:
    """SQL that picks these rows, sorted, of one part."""
    if rows[-1] - rows[0] + 1 == len(rows):
        return f"file_row_number between {rows[0]} and {rows[-1]}"
    return f"file_row_number in ({', '.join(map(str, rows))})"


def _keys(order_by: Sequence[RowOrder], by_name: dict[str, Stored]) -> list[Key]:
    keys = []
    for at, order in enumerate(order_by):
        sql, kind = sort_key(by_name[order.column], f"orderBy[{at}].column")
        keys.append(Key(sql, kind, order.descending))
    return keys


def _mark(engine: Engine, order_by: Sequence[RowOrder]) -> bytes:
    """What a cursor belongs to, wherever the next page is read: in another process, from another cache."""
    order = [(order.column, order.descending) for order in order_by]
    parts = [part.name or f"{part.path} {part.deletes}" for part in engine.parts]
    return hashlib.sha256(json.dumps([parts, order]).encode()).digest()


def _check(table: TableSchema, query: RowQuery) -> None:
    if not 1 <= query.first <= FIRST_MAX:
        raise InvalidInput(f"A page has 1 to {FIRST_MAX} rows.", field="first")
    if len(query.where) > FILTERS_MAX:
        raise InvalidInput(f"At most {FILTERS_MAX} filters.", field="where")
    if len(query.order_by) > ORDERS_MAX:
        raise InvalidInput(f"At most {ORDERS_MAX} columns to order by.", field="orderBy")
    names = {column.name for column in table.columns}
    named = [(f"columns[{at}]", name) for at, name in enumerate(query.columns or ())]
    named += [(f"where[{at}].column", f.column) for at, f in enumerate(query.where)]
    named += [(f"orderBy[{at}].column", o.column) for at, o in enumerate(query.order_by)]
    for field, name in named:
        if name not in names:
            raise InvalidInput(
                f"Table {table.name!r} has no column {name!r}.",
                hint="Names of columns are exact, upper and lower case included.",
                field=field,
            )
    asked = query.columns
    if asked is not None and (not asked or len(set(asked)) < len(asked)):
        raise InvalidInput("Ask for one to all columns, each once.", field="columns")


def _empty_page(table: TableSchema, query: RowQuery) -> Page:
    by_name = {column.name: column for column in table.columns}
    chosen = table.columns if query.columns is None else [by_name[n] for n in query.columns]
    if query.after is not None:
        raise InvalidInput("The table has no rows, so no cursor is its own.", field="after")
    return Page(tuple(chosen), b"[]", 0, total=0 if query.count else None)
