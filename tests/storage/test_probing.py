"""Merging without a database: the same as with one, and as Python says; and what is left to a database."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from base.errors import InvalidInput
from base.tables import ColumnType
from storage.snapshots import probing
from storage.snapshots.manifest import LocalPart
from storage.snapshots.writer import ROW_GROUP_ROWS
from tests.storage import tables
from tests.storage.merging import Row, combined, counts, exact, live, merged, write

PLENTY = 4 * 1024**3
DATABASE = 64 * 1024**2  # too little for new rows in memory
SCHEMA = pa.schema(
    [
        ("k", pa.int64()),
        ("t", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("f", pa.float64()),
        ("d", pa.decimal128(20, 3)),
        ("b", pa.binary()),
        ("day", pa.date32()),
        ("paid", pa.bool_()),
    ]
)
VALUES: list[list[Any]] = [
    [0, -1, 2, 2**63 - 1, -(2**63), None],
    ["", "a", "A", None],
    [None, *(datetime(2026, 1, 1, 0, 0, 0, n, UTC) for n in range(3))],
    [None, 0.0, -0.0, math.nan, 0.1],
    [Decimal("0.001"), Decimal("12345678901234567.890"), None],
    [b"", b"\xff\x00", None],
    [date(1, 1, 1), date(2026, 1, 1), None],
    [True, False, None],
]
ONE: Row = (
    0,
    "",
    datetime(2026, 1, 1, tzinfo=UTC),
    None,
    Decimal("0.001"),
    b"",
    date(1, 1, 1),
    True,
)
# Few values a column, so that rows are equal, nearly equal, or neither.
ROW = st.one_of(
    *(st.tuples(*(st.sampled_from(values[:many]) for values in VALUES)) for many in (1, 2, 6))
)
ROWS = st.lists(ROW, max_size=14)


def table(rows: list[Row]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [[]] * len(SCHEMA)
    return pa.table(
        [pa.array(values, of.type) for values, of in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


@settings(max_examples=40)
@given(
    stored=ROWS,
    gone=st.sets(st.integers(0, 13), max_size=4),
    rounds=st.lists(ROWS, min_size=1, max_size=3),
    key=st.sampled_from([[0], [0, 1], [1], [4, 5], [6, 7, 0], [2]]),
    cursor=st.sampled_from([None, 2, 2]),
)
@example(stored=[ONE], gone=set(), rounds=[[ONE]], key=[2], cursor=2)  # the key is the cursor
@example(stored=[ONE], gone=set(), rounds=[[ONE]], key=[0, 2], cursor=2)
def test_both_ways_do_what_python_says(
    tmp_path_factory: pytest.TempPathFactory,
    stored: list[Row],
    gone: set[int],
    rounds: list[list[Row]],
    key: list[int],
    cursor: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("rounds")
    # What is stored may have a key twice, or none, as a table that was read as a whole has.
    parts = tables.without(write(folder / "stored", table(stored)), sorted(gone), folder / "gone")
    model = [row for at, row in enumerate(stored) if at not in gone]
    for at, drawn in enumerate(rounds):
        rows = [row for row in drawn if None not in [row[each] for each in key]]
        staged = write(folder / f"{at}", table(rows))
        names = [SCHEMA.names[each] for each in key]
        by = None if cursor is None else SCHEMA.names[cursor]
        filled = [part for part in parts if part.live_rows]
        if staged:
            assert probing.run(filled, staged, names, by, None, PLENTY) is not None
            assert probing.run(filled, staged, names, by, None, DATABASE) is None
        _, others = combined(
            parts, staged, folder / f"{at}-slow", key=names, cursor=by, memory_bytes=DATABASE
        )
        done, parts = combined(
            parts, staged, folder / f"{at}-fast", key=names, cursor=by, memory_bytes=PLENTY
        )
        model, expected = merged(model, rows, key, cursor, is_whole=False)
        assert counts(done) == expected
        assert Counter(map(exact, live(parts))) == Counter(map(exact, model))
        assert list(map(exact, live(parts))) == list(map(exact, live(others)))


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(pa.array(range(1000), pa.int64()), id="close together"),
        pytest.param(pa.array([n * 10**12 for n in range(1000)], pa.int64()), id="far apart"),
        pytest.param(pa.array([2**64 - 1000 + n for n in range(1000)], pa.uint64()), id="unsigned"),
        pytest.param(pa.array(range(-500, 500), pa.int16()), id="small"),
        pytest.param(pa.array([f"key {n}" for n in range(1000)]), id="text"),
        pytest.param(pa.array([f"key {n}" for n in range(1000)], pa.large_string()), id="long"),
    ],
)
def test_keys_of_every_type_are_found_in_all_row_groups(tmp_path: Path, keys: pa.Array) -> None:
    rows = 2 * ROW_GROUP_ROWS + 100
    ids = pa.array(range(rows), pa.int64())
    spread = pa.nulls(rows, keys.type)
    # Each 300th row has a key; of the others none has.
    data = pa.table({"k": spread, "v": ids})
    at = [n * 300 for n in range(len(keys))]
    filled = keys.take(
        pa.array([n // 300 if n % 300 == 0 and n < 300_000 else None for n in range(rows)])
    )
    data = data.set_column(0, "k", filled)
    base = tables.write(tmp_path / "old", data, part_rows=rows, batch_rows=65_536)
    new = pa.table({"k": keys.take(pa.array([0, 500, 870])), "v": [0, at[500], -1]})
    staged = write(tmp_path / "new", new)

    assert probing.run(base, staged, ["k"], "v", None, PLENTY) is not None
    done, parts = combined(base, staged, tmp_path / "out", cursor="v", memory_bytes=PLENTY)

    assert counts(done) == (0, 1, 2, 0)
    assert [part.deleted_rows for part in parts] == [*(0 for _ in base[1:]), 1, 2]


def test_stored_keys_at_both_ends_of_the_integers_are_no_trouble(tmp_path: Path) -> None:
    ends = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**63 - 2, 2**63 - 1]
    base = write(tmp_path / "old", pa.table({"k": ends, "v": [0] * 7}))
    for at, key in enumerate(ends):
        staged = write(tmp_path / f"{at}", pa.table({"k": [key, key ^ 4], "v": [1, 1]}))
        done, _ = combined(base, staged, tmp_path / f"{at}-out", memory_bytes=PLENTY)
        assert counts(done) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("new", "key", "cursor", "cursor_type"),
    [
        pytest.param({"k": [1.5]}, ["k"], None, None, id="a float as the key"),
        pytest.param({"k": [1, None]}, ["k"], None, None, id="a row without a key"),
        pytest.param({"k": [1]}, ["no"], None, None, id="no such key"),
        pytest.param({"k": [1]}, ["k"], "no", None, id="no such cursor"),
        pytest.param({"k": [1, 1], "c": [1.0, math.nan]}, ["k"], "c", None, id="cursors with NaN"),
        pytest.param(
            {"k": [1, 1], "c": ["9", "10"]},
            ["k"],
            "c",
            ColumnType.DECIMAL,
            id="cursors of decimals as text",
        ),
        pytest.param({"k": [1], "v": [[1]]}, ["k"], None, None, id="lists to be compared"),
    ],
)
def test_what_arrow_does_not_tell_is_left_to_a_database(
    tmp_path: Path,
    new: dict[str, Any],
    key: list[str],
    cursor: str | None,
    cursor_type: ColumnType | None,
) -> None:
    staged = write(tmp_path / "new", pa.table(new))
    base = write(tmp_path / "old", pa.table(new))

    assert probing.run(base, staged, key, cursor, cursor_type, PLENTY) is None


def test_lists_that_need_not_be_compared_need_no_database(tmp_path: Path) -> None:
    base = write(tmp_path / "old", pa.table({"k": [1, 2], "at": [1, 1], "v": [[1], [2]]}))
    staged = write(tmp_path / "new", pa.table({"k": [1, 3], "at": [2, 2], "v": [[1], [2]]}))

    assert probing.run(base, staged, ["k"], "at", None, PLENTY) is not None
    done, parts = combined(base, staged, tmp_path / "out", cursor="at", memory_bytes=PLENTY)

    assert counts(done) == (1, 1, 0, 0)
    assert live(parts) == [(2, 1, [2]), (1, 2, [1]), (3, 2, [2])]


def test_a_row_without_a_key_is_refused_also_with_plenty_of_memory(tmp_path: Path) -> None:
    staged = write(tmp_path / "new", pa.table({"k": [1, None]}))

    with pytest.raises(InvalidInput, match="1 row has no value in 'k'"):
        combined([], staged, tmp_path / "out", memory_bytes=PLENTY)


@pytest.mark.parametrize(("key", "is_probed"), [("k", True), ("t", False)])
def test_texts_of_many_stored_rows_are_left_to_a_database(
    tmp_path: Path,
    key: str,
    is_probed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    data = pa.table({"k": [1, 2], "t": ["a", "b"]})
    staged, base = write(tmp_path / "new", data), write(tmp_path / "old", data)
    # Only the number of rows is large: it is what is decided by.
    large = [LocalPart(base[0].path, probing.TEXT_KEY_ROWS_MAX + 1)]

    assert probing.run(base, staged, [key], None, None, PLENTY) is not None
    assert (probing.run(large, staged, [key], None, None, PLENTY) is not None) is is_probed
