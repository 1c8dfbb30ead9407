"""Pages of rows: against the same thing computed in plain Python, and at their limits."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import InvalidInput
from base.tables import ColumnType, TableSchema
from storage.snapshots.manifest import LocalPart
from storage.snapshots.pages import Page, RowFilter, RowOp, RowOrder, RowQuery
from storage.snapshots.rows import Rows
from tests.storage import tables

COLUMNS = [
    ("n", ColumnType.INTEGER),
    ("big", ColumnType.INTEGER),
    ("f", ColumnType.FLOAT),
    ("d", ColumnType.DECIMAL),
    ("digits", ColumnType.DECIMAL),
    ("t", ColumnType.TEXT),
    ("at", ColumnType.TIMESTAMP_TZ),
    ("ok", ColumnType.BOOLEAN),
]
TABLE = tables.schema(COLUMNS)
TEXTS = ["", "a", "A", "ab", "ba", "é", "'; drop table t; --", "%", "_", '"', "😀", "z\n"]
DIGITS = ["0", "0.10", "0.1", "-0.25", "1e3", "999", "-12345678901234567890123456789012345678901.5"]
DIGITS += ["-12345678901234567890123456789012345678901.4", "NaN", "Infinity", "-Infinity", "00.100"]
FLOATS = [0.0, 0.1, -1.5, 1e300, -1e-300, 2.0**60, math.nan, math.inf, -math.inf]
MOMENTS = [datetime(2026, 1, day, 12, 30, 0, day, UTC) for day in range(1, 6)]


def data_of(rows: int, seed: int) -> pa.Table:
    pick = random.Random(seed)

    def column(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array([pick.choice([None, *values]) for _ in range(rows)], kind)

    return pa.table(
        {
            "n": column(list(range(-3, 4)), pa.int32()),
            "big": column([2**53 - 1, 2**53, 2**63 - 1, -(2**63), 0], pa.int64()),
            "f": column(FLOATS, pa.float64()),
            "d": column([Decimal("1.50"), Decimal("-9999.99"), Decimal(0)], pa.decimal128(6, 2)),
            "digits": column(DIGITS, pa.string()),
            "t": column(TEXTS, pa.string()),
            "at": column(MOMENTS, pa.timestamp("us", "UTC")),
            "ok": column([True, False], pa.bool_()),
        }
    )


@pytest.fixture(scope="module")
def rows() -> Iterator[Rows]:
    opened = Rows()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[LocalPart], pa.Table]:
    data = data_of(700, seed=1)
    return tables.write(tmp_path_factory.mktemp("stored"), data), data


async def pages(
    rows: Rows, parts: list[LocalPart], asked: RowQuery, table: TableSchema = TABLE
) -> AsyncIterator[Page]:
    """All pages, forward by their cursors."""
    while True:
        page = await rows.page(parts, table, asked)
        yield page
        if not page.has_next:
            return
        asked = replace(asked, after=page.end_cursor)


# ── the model: the same in plain Python ──────────────────────────────────────────────────────────────────────────


def number(value: Any) -> tuple[int, Any]:
    """Numbers with NaN above all."""
    special = Decimal(str(value)).is_nan()
    return (1, 0) if special else (0, Decimal(str(value)) if isinstance(value, str) else value)


def sortable(column: str, value: Any) -> Any:
    if column in {"f", "digits"}:
        return number(value)
    return value.encode() if column == "t" else value


def matches(row: dict[str, Any], condition: RowFilter, against: Any) -> bool:
    value = row[condition.column]
    if condition.op is RowOp.IS_NULL:
        return value is None
    if condition.op is RowOp.NOT_NULL:
        return value is not None
    if value is None:
        return condition.op is RowOp.NE
    have = sortable(condition.column, value)
    if condition.op is RowOp.IN:
        return any(have == sortable(condition.column, each) for each in against)
    if condition.op in {RowOp.CONTAINS, RowOp.STARTS_WITH}:
        return against in value if condition.op is RowOp.CONTAINS else value.startswith(against)
    want = sortable(condition.column, against)
    return bool(
        {
            RowOp.EQ: have == want,
            RowOp.NE: have != want,
            RowOp.LT: have < want,
            RowOp.LE: have <= want,
            RowOp.GT: have > want,
            RowOp.GE: have >= want,
        }[condition.op]
    )


def expected_order(
    rows: list[int], model: list[dict[str, Any]], order: list[RowOrder]
) -> list[int]:
    for each in reversed(order):
        name = each.column
        filled = [at for at in rows if model[at][name] is not None]
        nulls = [at for at in rows if model[at][name] is None]
        # Python's sort is stable in both directions, as ours is.
        filled.sort(key=lambda at: sortable(name, model[at][name]), reverse=each.descending)
        rows = filled + nulls
    return rows


COMPARE = [RowOp.EQ, RowOp.NE, RowOp.LT, RowOp.LE, RowOp.GT, RowOp.GE]
# For each column: what a client may send, and what it means to the model.
VALUES: dict[str, list[tuple[Any, Any]]] = {
    "n": [(2, 2), ("-1", -1), (2.5, 2.5), (10**12, 10**12), (-(10**40), -(10**40)), ("1e1", 10)],
    "big": [(2**53, 2**53), (str(2**63 - 1), 2**63 - 1), (2**63, 2**63), (str(-(2**63)), -(2**63))],
    "f": [
        (0.1, 0.1),
        ("NaN", math.nan),
        ("-Infinity", -math.inf),
        (2**60, 2.0**60),
        ("1e300", 1e300),
    ],
    "d": [
        ("1.5", Decimal("1.5")),
        (0, 0),
        ("1.505", Decimal("1.505")),
        (10**9, 10**9),
        (-0.001, -0.001),
    ],
    "digits": [(text, text) for text in DIGITS if text != "00.100"]
    + [(0.1, "0.1"), (1000, "1000")],
    "t": [(text, text) for text in TEXTS],
    "at": [(MOMENTS[2].isoformat(), MOMENTS[2]), ("2026-01-02T13:30:00.000002+01:00", MOMENTS[1])],
}


@st.composite
def conditions(draw: st.DrawFn) -> tuple[RowFilter, Any]:
    column = draw(st.sampled_from([*VALUES, "ok"]))
    if column == "ok":
        sent = draw(st.booleans())
        return RowFilter("ok", draw(st.sampled_from([RowOp.EQ, RowOp.NE])), sent), sent
    ops = [*COMPARE, RowOp.IN, RowOp.IS_NULL, RowOp.NOT_NULL]
    op = draw(st.sampled_from(ops + ([RowOp.CONTAINS, RowOp.STARTS_WITH] if column == "t" else [])))
    if op in {RowOp.IS_NULL, RowOp.NOT_NULL}:
        return RowFilter(column, op), None
    if op is RowOp.IN:
        chosen = draw(st.lists(st.sampled_from(VALUES[column]), max_size=4))
        return RowFilter(column, op, [sent for sent, _ in chosen]), [meant for _, meant in chosen]
    sent, meant = draw(st.sampled_from(VALUES[column]))
    return RowFilter(column, op, sent), meant


ORDERS = st.lists(
    st.builds(RowOrder, st.sampled_from([name for name, _ in COLUMNS]), st.booleans()),
    max_size=3,
    unique_by=lambda order: order.column,
)


@settings(
    max_examples=60,
)
@given(
    where=st.lists(conditions(), max_size=2),
    order=ORDERS,
    first=st.integers(150, 1000),
    small=st.integers(1, 40),
)
def test_pages_forward_are_what_python_says(
    rows: Rows,
    stored: tuple[list[LocalPart], pa.Table],
    where: list[tuple[RowFilter, Any]],
    order: list[RowOrder],
    first: int,
    small: int,
) -> None:
    parts, data = stored
    model = data.to_pylist()
    kept = [
        at
        for at, row in enumerate(model)
        if all(matches(row, each, value) for each, value in where)
    ]
    asked = RowQuery(
        where=[each for each, _ in where],
        order_by=order,
        first=small if len(kept) < 5 * small else first,
        count=True,
    )
    asked_rows = replace(asked, columns=["n", "t"])

    async def read() -> list[list[Any]]:
        found: list[list[Any]] = []
        async for page in pages(rows, parts, asked_rows):
            cells = orjson.loads(page.rows_json)
            assert len(cells) == page.row_count <= asked.first
            assert page.total == len(kept)
            assert page.has_previous is bool(found)
            found += cells
        return found

    wanted = [[model[at]["n"], model[at]["t"]] for at in expected_order(kept, model, order)]
    assert asyncio.run(read()) == wanted


async def test_pages_without_order_follow_the_source(
    rows: Rows, stored: tuple[list[LocalPart], pa.Table]
) -> None:
    parts, data = stored

    got = [
        (page.row_count, orjson.loads(page.rows_json))
        async for page in pages(rows, parts, RowQuery(columns=["t"], first=300))
    ]

    assert [count for count, _ in got] == [300, 300, 100]
    assert [cell for _, cells in got for (cell,) in cells] == data["t"].to_pylist()


async def test_a_sort_keeps_equal_rows_in_order_over_parts(rows: Rows, tmp_path: Path) -> None:
    data = pa.table({"key": [n % 3 for n in range(2000)], "n": list(range(2000))})
    parts = tables.write(tmp_path, data)
    table = tables.schema([("key", ColumnType.INTEGER), ("n", ColumnType.INTEGER)])

    asked = RowQuery(order_by=[RowOrder("key", descending=True)], first=333)
    got = [
        row
        async for page in pages(rows, parts, asked, table)
        for row in orjson.loads(page.rows_json)
    ]

    assert got == [[key, n] for key in (2, 1, 0) for n in range(2000) if n % 3 == key]


GONE = [0, 1, 255, 256, 257, *range(300, 500, 3), 698, 699]


@settings(
    max_examples=40,
)
@given(
    gone=st.one_of(st.just(set(GONE)), st.sets(st.integers(0, 699))),
    where=st.lists(conditions(), max_size=1),
    order=ORDERS,
    first=st.integers(40, 400),
)
def test_deleted_rows_are_on_no_page_and_in_no_count(
    rows: Rows,
    stored: tuple[list[LocalPart], pa.Table],
    tmp_path_factory: pytest.TempPathFactory,
    gone: set[int],
    where: list[tuple[RowFilter, Any]],
    order: list[RowOrder],
    first: int,
) -> None:
    parts, data = stored
    left = tables.without(parts, sorted(gone), tmp_path_factory.mktemp("gone"))
    model = data.to_pylist()
    kept = [
        at
        for at, row in enumerate(model)
        if at not in gone and all(matches(row, each, value) for each, value in where)
    ]
    asked = RowQuery(where=[each for each, _ in where], order_by=order, first=first, count=True)

    async def read() -> list[list[Any]]:
        found: list[list[Any]] = []
        async for page in pages(rows, left, replace(asked, columns=["n", "t"])):
            assert page.total == len(kept)
            assert page.has_previous is bool(found)
            found += orjson.loads(page.rows_json)
        return found

    wanted = [[model[at]["n"], model[at]["t"]] for at in expected_order(kept, model, order)]
    assert asyncio.run(read()) == wanted


async def test_columns_come_as_asked(rows: Rows, stored: tuple[list[LocalPart], pa.Table]) -> None:
    page = await rows.page(stored[0], TABLE, RowQuery(columns=["ok", "n"], first=1))

    assert [column.name for column in page.columns] == ["ok", "n"]
    assert page.columns[1] is TABLE.columns[0]
    assert orjson.loads(page.rows_json) == [[stored[1]["ok"][0].as_py(), stored[1]["n"][0].as_py()]]


async def test_an_empty_table_has_an_empty_page(rows: Rows) -> None:
    page = await rows.page([], TABLE, RowQuery(columns=["t"], count=True))

    assert page == Page((TABLE.columns[5],), b"[]", 0, total=0)


NAMES = [
    '"; drop table t; --',
    "a'b",
    "c0",
    "file_row_number",
    "file_index",
    "filename",
    "A",
    "a",
    "",
]


async def test_names_of_columns_are_never_sql(rows: Rows, tmp_path: Path) -> None:
    data = pa.table([pa.array([at, 10 + at, 20 + at]) for at in range(len(NAMES))], names=NAMES)
    parts = tables.write(tmp_path / "a'b [c]*?", data, part_rows=2, batch_rows=1)
    table = tables.schema([(name, ColumnType.INTEGER) for name in NAMES])

    for at, name in enumerate(NAMES):
        asked = RowQuery(
            columns=[name],
            where=[RowFilter(name, RowOp.GE, 10 + at)],
            order_by=[RowOrder(name, descending=True)],
            first=1,
        )
        got = [
            row
            async for page in pages(rows, parts, asked, table)
            for row in orjson.loads(page.rows_json)
        ]
        assert got == [[20 + at], [10 + at]]


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"first": 0}, "first", "1 to 1000"),
    ({"first": 1001}, "first", "1 to 1000"),
    ({"columns": []}, "columns", "one to all"),
    ({"columns": ["n", "N"]}, "columns[1]", "no column 'N'"),
    ({"columns": ["n"] * 9}, "columns", "each once"),
    ({"columns": ["n", "n"]}, "columns", "each once"),
    ({"where": [RowFilter("x", RowOp.EQ, 1)]}, "where[0].column", "no column 'x'"),
    ({"order_by": [RowOrder("n; drop table t")]}, "orderBy[0].column", "no column"),
    (
        {"where": [RowFilter("n", RowOp.EQ, True)]},
        "where[0].value",
        "INTEGER compares with a number",
    ),
    ({"where": [RowFilter("n", RowOp.EQ, "x")]}, "where[0].value", "a number"),
    ({"where": [RowFilter("n", RowOp.EQ, {"a": 1})]}, "where[0].value", "a number"),
    ({"where": [RowFilter("n", RowOp.EQ, "1e9999")]}, "where[0].value", "a number"),
    ({"where": [RowFilter("n", RowOp.EQ, "0 or 1=1")]}, "where[0].value", "a number"),
    ({"where": [RowFilter("n", RowOp.EQ, "\u0661")]}, "where[0].value", "a number"),
    ({"where": [RowFilter("n", RowOp.EQ)]}, "where[0].value", "EQ needs a value"),
    ({"where": [RowFilter("n", RowOp.IN, 1)]}, "where[0].value", "IN needs a value"),
    ({"where": [RowFilter("n", RowOp.IN, [1, None])]}, "where[0].value", "IN needs a value"),
    ({"where": [RowFilter("n", RowOp.IN, [0] * 1001)]}, "where[0].value", "at most 1000"),
    ({"where": [RowFilter("n", RowOp.IS_NULL, False)]}, "where[0].value", "takes no value"),
    ({"where": [RowFilter("n", RowOp.CONTAINS, "1")]}, "where[0].op", "has no CONTAINS"),
    ({"where": [RowFilter("ok", RowOp.LT, True)]}, "where[0].op", "has no LT"),
    ({"where": [RowFilter("ok", RowOp.EQ, 1)]}, "where[0].value", "true or false"),
    ({"where": [RowFilter("t", RowOp.EQ, 1)]}, "where[0].value", "TEXT compares with a string"),
    ({"where": [RowFilter("t", RowOp.EQ, "\ud800")]}, "where[0].value", "a string"),
    ({"where": [RowFilter("f", RowOp.EQ, "nan")]}, "where[0].value", '"NaN"'),
    ({"where": [RowFilter("at", RowOp.EQ, "2026-01-01T00:00:00")]}, "where[0].value", "zone"),
    ({"where": [RowFilter("at", RowOp.EQ, "yesterday")]}, "where[0].value", "2026-01-31T23:59:59Z"),
    ({"where": [RowFilter("n", RowOp.EQ, 1)] * 51}, "where", "At most 50"),
    ({"order_by": [RowOrder("n")] * 17}, "orderBy", "At most 16"),
    ({"after": ""}, "after", "not a cursor"),
    ({"after": "ü"}, "after", "not a cursor"),
    ({"after": "x" * 23}, "after", "another snapshot"),
]


@pytest.mark.parametrize(("change", "field", "message"), BAD, ids=lambda value: str(value)[:40])
async def test_bad_questions_say_what_is_wrong(
    rows: Rows,
    stored: tuple[list[LocalPart], pa.Table],
    change: dict[str, Any],
    field: str,
    message: str,
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await rows.page(stored[0], TABLE, replace(RowQuery(), **change))

    assert caught.value.field == field
    assert message in f"{caught.value.message} {caught.value.hint}"


async def test_cursors_belong_to_a_table_and_an_order(
    rows: Rows, stored: tuple[list[LocalPart], pa.Table], tmp_path: Path
) -> None:
    parts, data = stored
    other = tables.write(tmp_path, data)
    asked = RowQuery(order_by=[RowOrder("n")], first=10)
    cursor = (await rows.page(parts, TABLE, asked)).end_cursor

    assert (await rows.page(parts, TABLE, replace(asked, first=5, after=cursor))).row_count == 5
    for changed, where in (
        (replace(asked, order_by=[RowOrder("n", descending=True)]), parts),
        (replace(asked, order_by=[]), parts),
        (asked, other),
        (asked, parts[:1]),
    ):
        with pytest.raises(InvalidInput, match="another snapshot, table or order"):
            await rows.page(where, TABLE, replace(changed, after=cursor))


async def test_deleted_rows_do_not_count_for_the_size_of_a_page(rows: Rows, tmp_path: Path) -> None:
    data = pa.table({"n": range(2000), "t": [f"{n} " * 4_000 for n in range(2000)]})
    parts = tables.write(tmp_path, data, part_rows=2000, batch_rows=2000)
    left = tables.without(parts, list(range(0, 2000, 500)), tmp_path / "gone")
    table = tables.schema([("n", ColumnType.INTEGER), ("t", ColumnType.TEXT)])
    asked = RowQuery(first=1000, where=[RowFilter("n", RowOp.GE, 0)])

    got = [page.row_count async for page in pages(rows, left, asked, table)]

    assert got == [1000, 996]


async def test_nested_columns_answer_null_questions_only(rows: Rows, tmp_path: Path) -> None:
    data = pa.table({"list": [[1], None], "json": ["{}", None]})
    parts = tables.write(tmp_path, data)
    table = tables.schema([("list", ColumnType.LIST), ("json", ColumnType.JSON)])

    for name in ("list", "json"):
        page = await rows.page(
            parts, table, RowQuery(where=[RowFilter(name, RowOp.NOT_NULL)], count=True)
        )
        assert (page.total, page.rows_json) == (1, b"[[[1],{}]]")
        with pytest.raises(InvalidInput, match="has no EQ") as caught:
            await rows.page(parts, table, RowQuery(where=[RowFilter(name, RowOp.EQ, "x")]))
        assert caught.value.hint == "It has IS_NULL, NOT_NULL."
        with pytest.raises(InvalidInput, match="no order"):
            await rows.page(parts, table, RowQuery(order_by=[RowOrder(name)]))
