"""Differences of two tables: by key and without, page by page, and without reading what both share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from base.errors import InvalidInput, QueryTooComplex, TimedOut
from base.tables import ColumnType
from storage.snapshots import diff as diffs
from storage.snapshots.changes import (
    ChangedRow,
    Difference,
    SchemaChange,
    Side,
    is_same,
    schema_changes,
    unshared,
)
from storage.snapshots.diff import Diffs
from storage.snapshots.manifest import LocalPart, Part, StoredFile
from tests.storage import tables

COLUMNS = [("id", ColumnType.INTEGER), ("t", ColumnType.TEXT)]
Row = tuple[int | None, str | None]


@pytest.fixture(scope="module")
def compare() -> Iterator[Diffs]:
    opened = Diffs()
    yield opened
    opened.close()


def side(files: Sequence[LocalPart], columns: Sequence[tuple[str, ColumnType]] = COLUMNS) -> Side:
    """What a manifest says of these files."""
    parts = []
    for file in files:
        deletes = None
        if file.deletes:
            digest = hashlib.sha256(file.deletes.read_bytes()).hexdigest()
            deletes = StoredFile(str(file.deletes), file.deleted_rows, 1, digest)
        digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
        parts.append(Part(str(file.path), file.rows, 1, digest, deletes))
    return Side(tables.schema(columns), tuple(parts), tuple(files))


def stored(folder: Path, rows: Sequence[Row], part_rows: int = 3) -> list[LocalPart]:
    data = pa.table(
        {
            "id": pa.array([row[0] for row in rows], pa.int64()),
            "t": pa.array([row[1] for row in rows], pa.string()),
        }
    )
    return tables.write(folder, data, part_rows=part_rows, batch_rows=part_rows)


def of(folder: Path, columns: dict[str, tuple[pa.Array, ColumnType]]) -> Side:
    """A table of other columns."""
    data = pa.table({name: values for name, (values, _) in columns.items()})
    return side(tables.write(folder, data), [(name, kind) for name, (_, kind) in columns.items()])


async def found(
    compare: Diffs, old: Side, new: Side, key: Sequence[str] = ("id",), *, first: int = 500
) -> Difference:
    return await compare.find(old, new, key, first=first, seconds=30)


def shown(row: ChangedRow) -> tuple[Any, ...]:
    texts = [None if each is None else json.loads(each) for each in (row.key, row.old, row.new)]
    return (row.change.name, *texts, row.columns)


async def test_rows_by_key(compare: Diffs, tmp_path: Path) -> None:
    old = side(stored(tmp_path / "a", [(1, "a"), (2, "b"), (3, None), (4, "d")]))
    new = side(stored(tmp_path / "b", [(5, "e"), (4, "d"), (3, "c"), (1, "a")]))

    difference = await found(compare, old, new)

    assert difference.key == ("id",)
    assert (difference.added, difference.removed, difference.changed) == (1, 1, 1)
    assert [shown(row) for row in difference.rows] == [
        ("ADDED", [5], None, [5, "e"], ()),
        ("CHANGED", [3], [3, None], [3, "c"], ("t",)),
        ("REMOVED", [2], [2, "b"], None, ()),
    ]


async def test_rows_without_a_key_are_a_multiset(compare: Diffs, tmp_path: Path) -> None:
    old = side(stored(tmp_path / "a", [(1, "a"), (1, "a"), (1, "a"), (2, "b"), (None, None)]))
    new = side(stored(tmp_path / "b", [(2, "b"), (2, "b"), (None, None), (1, "a"), (3, "c")]))

    difference = await found(compare, old, new, ())

    assert difference.key == ()
    assert (difference.added, difference.removed, difference.changed) == (2, 2, 0)
    assert [shown(row) for row in difference.rows] == [
        ("ADDED", None, None, [2, "b"], ()),
        ("ADDED", None, None, [3, "c"], ()),
        ("REMOVED", None, [1, "a"], None, ()),
        ("REMOVED", None, [1, "a"], None, ()),
    ]


async def test_a_key_that_is_not_unique_is_none(compare: Diffs, tmp_path: Path) -> None:
    old = side(stored(tmp_path / "a", [(1, "a"), (1, "b")]))
    new = side(stored(tmp_path / "b", [(1, "b"), (1, "c")]))

    difference = await found(compare, old, new)

    assert difference.key == ()
    assert [shown(row)[0] for row in difference.rows] == ["ADDED", "REMOVED"]


async def test_a_key_of_nulls_and_several_columns(compare: Diffs, tmp_path: Path) -> None:
    old = side(stored(tmp_path / "a", [(1, None), (1, "b"), (None, "b")]))
    new = side(stored(tmp_path / "b", [(None, "b"), (1, "b"), (2, None)]))

    difference = await found(compare, old, new, ("id", "t"))

    assert [shown(row)[:2] for row in difference.rows] == [
        ("ADDED", [2, None]),
        ("REMOVED", [1, None]),
    ]


@pytest.mark.parametrize("key", [("id",), ()])
async def test_a_table_that_one_side_does_not_have(
    compare: Diffs, tmp_path: Path, key: tuple[str, ...]
) -> None:
    full, empty = side(stored(tmp_path / "a", [(1, "a"), (2, "b")])), side([])

    came, went = await found(compare, empty, full, key), await found(compare, full, empty, key)

    assert (came.added, came.removed, went.added, went.removed) == (2, 0, 0, 2)
    assert [json.loads(row.new or b"") for row in came.rows] == [[1, "a"], [2, "b"]]
    assert [json.loads(row.old or b"") for row in went.rows] == [[1, "a"], [2, "b"]]
    nothing = await found(compare, empty, empty, key)
    assert (nothing.added, nothing.removed, nothing.rows) == (0, 0, ())


async def test_what_both_share_is_not_read(compare: Diffs, tmp_path: Path) -> None:
    """The shared part is destroyed: whoever read it would fail."""
    shared = stored(tmp_path / "s", [(1, "a"), (2, "b"), (3, "c")])
    old = side([*stored(tmp_path / "a", [(4, "d")]), *shared])
    new = side([*stored(tmp_path / "b", [(4, "e")]), *shared])
    shared[0].path.write_bytes(b"nothing")

    difference = await found(compare, old, new)

    assert [shown(row) for row in difference.rows] == [("CHANGED", [4], [4, "d"], [4, "e"], ("t",))]


def test_tables_of_the_same_bytes_are_the_same(tmp_path: Path) -> None:
    rows: list[Row] = [(number, "a") for number in range(7)]
    one, other = stored(tmp_path / "a", rows), stored(tmp_path / "b", rows)

    assert is_same(side(one).parts, side(other).parts)
    assert not is_same(side(one).parts, side(tables.without(other, [1], tmp_path / "c")).parts)
    assert not is_same(side(one).parts, side(other[:2]).parts)


def test_parts_that_both_have_are_left_out_as_often_as_both_have_them(tmp_path: Path) -> None:
    (one,) = side(stored(tmp_path / "a", [(1, "a")])).parts
    (two,) = side(stored(tmp_path / "b", [(2, "a")])).parts
    (gone,) = side(tables.without(stored(tmp_path / "c", [(2, "a")]), [0], tmp_path / "d")).parts

    assert unshared([one, two, one], [one, gone]) == ([two, one], [gone])
    assert unshared([one, two], [two, one]) == ([], [])


async def test_a_part_with_other_deleted_rows_differs_by_those(
    compare: Diffs, tmp_path: Path
) -> None:
    files = stored(tmp_path / "a", [(number, f"t{number}") for number in range(20)], part_rows=10)
    old = side(tables.without(files, [1, 2, 15], tmp_path / "old"))
    more = stored(tmp_path / "b", [(4, "new"), (90, "x")])
    new = side([*tables.without(files, [2, 4, 15, 16], tmp_path / "new"), *more])

    difference = await found(compare, old, new)

    assert [shown(row) for row in difference.rows] == [
        ("ADDED", [1], None, [1, "t1"], ()),
        ("CHANGED", [4], [4, "t4"], [4, "new"], ("t",)),
        ("ADDED", [90], None, [90, "x"], ()),
        ("REMOVED", [16], [16, "t16"], None, ()),
    ]


@pytest.mark.parametrize(
    ("old", "new", "is_equal"),
    [
        (pa.array([5], pa.int32()), pa.array([5], pa.int64()), True),
        (pa.array([2**64 - 1], pa.uint64()), pa.array([-1], pa.int64()), False),
        (pa.array([5], pa.int64()), pa.array([Decimal("5.00")], pa.decimal128(30, 2)), True),
        (pa.array([2**53 + 1], pa.int64()), pa.array([2.0**53], pa.float64()), False),
        (pa.array([Decimal("0.10")], pa.decimal128(5, 2)), pa.array([0.1], pa.float64()), True),
        (pa.array([0.5], pa.float32()), pa.array([0.5], pa.float64()), True),
        (pa.array([5], pa.int64()), pa.array(["5"]), True),
        (pa.array([5], pa.int64()), pa.array(["05"]), False),
        (pa.array([date(2026, 1, 1)]), pa.array(["2026-01-01"]), True),
        (
            pa.array([date(2026, 1, 1)]),
            pa.array([1767225600000000], pa.timestamp("us")),
            True,
        ),
        (
            pa.array([1767225600000000], pa.timestamp("us")),
            pa.array(["2026-01-01T00:00:00"]),
            True,
        ),
        (
            pa.array([0], pa.timestamp("us")),
            pa.array([0], pa.timestamp("us", "UTC")),
            False,
        ),
        (pa.array([[1, 2]]), pa.array(["[1,2]"]), True),
        (pa.array([b"a"]), pa.array(["YQ=="]), True),
        (pa.array([True]), pa.array(["true"]), True),
        (pa.array([0.0]), pa.array([-0.0]), False),
        (pa.array([float("nan")]), pa.array([float("nan")]), True),
        (pa.array([None], pa.int64()), pa.array([None], pa.string()), True),
    ],
)
@pytest.mark.parametrize("key", [("id",), ()])
async def test_other_types_compare_without_loss(
    compare: Diffs,
    tmp_path: Path,
    old: pa.Array,
    new: pa.Array,
    key: tuple[str, ...],
    *,
    is_equal: bool,
) -> None:
    one, other = (
        of(
            tmp_path / name,
            {"id": (pa.array([1]), ColumnType.INTEGER), "v": (values, ColumnType.UNKNOWN)},
        )
        for name, values in (("a", old), ("b", new))
    )

    difference = await found(compare, one, other, key)

    assert (len(difference.rows) == 0) is is_equal
    if key and not is_equal:
        assert difference.rows[0].columns == ("v",)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (pa.decimal128(38, 2), Decimal("0.00"), Decimal("-0.01")),
        (pa.decimal128(30, 0), Decimal(1), Decimal(2**64)),
        (pa.list_(pa.int64()), None, []),
        (pa.list_(pa.int64()), [], [None]),
        (pa.list_(pa.list_(pa.int64())), [[1], [2]], [[1, 2]]),
        (pa.list_(pa.string()), ["a, b"], ["a", "b"]),
        (pa.list_(pa.decimal128(38, 0)), [Decimal(0)], [Decimal(-1)]),
        (pa.struct([("a", pa.int64())]), None, {"a": None}),
    ],
)
@pytest.mark.parametrize("key", [("id",), ()])
async def test_values_that_only_nearly_are_the_same_differ(
    compare: Diffs, tmp_path: Path, kind: pa.DataType, old: Any, new: Any, key: tuple[str, ...]
) -> None:
    one, other = (
        of(
            tmp_path / name,
            {"id": (pa.array([1]), ColumnType.INTEGER), "v": (values, ColumnType.UNKNOWN)},
        )
        for name, values in (("a", pa.array([old], kind)), ("b", pa.array([new], kind)))
    )

    difference = await found(compare, one, other, key)

    counts = (difference.added, difference.removed, difference.changed)
    assert counts == ((0, 0, 1) if key else (1, 1, 0))


async def test_whole_numbers_of_another_width_differ(compare: Diffs, tmp_path: Path) -> None:
    ids = (pa.array([1, 2]), ColumnType.INTEGER)
    one = of(tmp_path / "a", {"id": ids, "v": (pa.array([0, 5], pa.int32()), ColumnType.INTEGER)})
    other = of(tmp_path / "b", {"id": ids, "v": (pa.array([-1, 5]), ColumnType.INTEGER)})

    assert [shown(row)[1:4] for row in (await found(compare, one, other)).rows] == [
        ([1], [1, 0], [1, -1])
    ]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (pa.array([0.0, 1.5]), pa.array([-0.0, 1.5]), ColumnType.FLOAT),
        (pa.array(["1.0", "2"]), pa.array(["1.00", "2"]), ColumnType.DECIMAL),
    ],
)
async def test_one_key_written_otherwise_is_a_change(
    compare: Diffs, tmp_path: Path, old: pa.Array, new: pa.Array, kind: ColumnType
) -> None:
    one, other = (of(tmp_path / n, {"k": (v, kind)}) for n, v in (("a", old), ("b", new)))

    difference = await found(compare, one, other, ("k",))

    assert difference.key == ("k",)
    assert (difference.added, difference.removed, difference.changed) == (0, 0, 1)
    assert difference.rows[0].columns == ("k",)


async def test_decimals_as_text_compare_as_numbers(compare: Diffs, tmp_path: Path) -> None:
    one = of(tmp_path / "a", {"v": (pa.array([Decimal("1.50")]), ColumnType.DECIMAL)})
    other = of(tmp_path / "b", {"v": (pa.array(["1.5"]), ColumnType.DECIMAL)})

    assert (await found(compare, one, other)).rows == ()


async def test_columns_that_come_and_go_count_as_null(compare: Diffs, tmp_path: Path) -> None:
    ids = (pa.array([1, 2]), ColumnType.INTEGER)
    old = of(tmp_path / "a", {"gone": (pa.array([None, 7]), ColumnType.INTEGER), "id": ids})
    new = of(tmp_path / "b", {"id": ids, "come": (pa.array([None, "x"]), ColumnType.TEXT)})

    difference = await found(compare, old, new)

    assert [column.name for column in difference.columns] == ["id", "come", "gone"]
    assert [shown(row) for row in difference.rows] == [
        ("CHANGED", [2], [2, None, 7], [2, "x", None], ("come", "gone"))
    ]
    assert schema_changes(old.table, new.table) == [
        SchemaChange("come", None, ColumnType.TEXT),
        SchemaChange("gone", ColumnType.INTEGER, None),
    ]


async def test_a_key_column_that_one_side_lacks_is_no_key(compare: Diffs, tmp_path: Path) -> None:
    old = of(tmp_path / "a", {"t": (pa.array(["a"]), ColumnType.TEXT)})
    new = of(
        tmp_path / "b",
        {"id": (pa.array([1]), ColumnType.INTEGER), "t": (pa.array(["a"]), ColumnType.TEXT)},
    )

    difference = await found(compare, old, new)

    assert difference.key == ()
    assert (difference.added, difference.removed) == (1, 1)


def test_a_type_that_changed_is_a_schema_change() -> None:
    old = tables.schema([("a", ColumnType.INTEGER), ("b", ColumnType.DATE)])
    new = tables.schema([("b", ColumnType.DATE), ("a", ColumnType.TEXT)])

    assert schema_changes(old, new) == [SchemaChange("a", ColumnType.INTEGER, ColumnType.TEXT)]


@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("key", [("id",), ()])
async def test_pages_follow_each_other(
    compare: Diffs, tmp_path: Path, first: int, key: tuple[str, ...]
) -> None:
    old = side(stored(tmp_path / "a", [(number, "a") for number in range(7)]))
    new = side(stored(tmp_path / "b", [(number, "b") for number in range(4, 12)]))
    whole = await found(compare, old, new, key)

    rows, after = list[ChangedRow](), None
    while True:
        page = await compare.find(old, new, key, first=first, after=after, seconds=30)
        assert (page.added, page.removed) == (whole.added, whole.removed)
        assert page.has_previous is (after is not None)
        rows += page.rows
        after = page.end_cursor
        if not page.has_next:
            break
        assert len(page.rows) == first

    assert tuple(rows) == whole.rows
    assert len(rows) == (12 if key else 15)


async def test_a_page_of_no_rows_counts(compare: Diffs, tmp_path: Path) -> None:
    old = side(stored(tmp_path / "a", [(1, "a")]))
    new = side(stored(tmp_path / "b", [(2, "a")]))

    difference = await found(compare, old, new, first=0)

    assert (difference.added, difference.removed, difference.rows) == (1, 1, ())
    assert (difference.has_next, difference.end_cursor) == (True, None)


async def test_refusals(compare: Diffs, tmp_path: Path) -> None:
    old = side(stored(tmp_path / "a", [(1, "a"), (2, "b")]))
    new = side(stored(tmp_path / "b", [(3, "a"), (4, "b")]))
    cursor = (await found(compare, old, new, first=1)).end_cursor

    for after in ("nonsense", cursor):
        with pytest.raises(InvalidInput, match="not one of this difference") as refused:
            await compare.find(new, old, ("id",), first=1, after=after, seconds=30)
        assert refused.value.field == "after"
    for first in (-1, 501):
        with pytest.raises(InvalidInput, match="0 to 500 rows") as refused:
            await found(compare, old, new, first=first)
        assert refused.value.field == "first"


async def test_a_page_over_its_bytes_is_refused(compare: Diffs, tmp_path: Path) -> None:
    old = side([])
    new = side(stored(tmp_path / "b", [(number, "x" * 2**20) for number in range(40)]))

    with pytest.raises(QueryTooComplex, match="larger than 32 MiB"):
        await found(compare, old, new)

    assert len((await found(compare, old, new, first=5)).rows) == 5


async def test_a_comparison_past_its_time_is_stopped(compare: Diffs, tmp_path: Path) -> None:
    old = side(stored(tmp_path / "a", [(1, "a")]))

    with pytest.raises(TimedOut, match="Comparing the snapshots took longer than 0 seconds"):
        await compare.find(old, side([]), ("id",), first=1, seconds=0)

    assert (await found(compare, old, side([]))).removed == 1


async def test_a_comparison_beyond_its_memory_is_refused(
    compare: Diffs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Row] = [(number, f"{number}" * 20) for number in range(100_000)]
    old = side(stored(tmp_path / "a", rows, part_rows=50_000))
    new = side(stored(tmp_path / "b", rows[::-1], part_rows=50_000))
    monkeypatch.setattr(diffs, "MEMORY_BYTES", 4 * 1024**2)

    with pytest.raises(QueryTooComplex, match="more memory"):
        await found(compare, old, new)
