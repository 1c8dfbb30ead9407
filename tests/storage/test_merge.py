"""What new rows do to stored ones: against the same thing in plain Python, and case by case."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import InvalidInput
from base.tables import ColumnType
from storage.snapshots import vectors
from storage.snapshots.manifest import LocalPart
from storage.snapshots.modes import SyncMode
from tests.storage.merging import Row, combined, counts, exact, live, merged, write

SCHEMA = pa.schema(
    [
        ("k", pa.int64()),
        ("t", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("f", pa.float64()),
        ("d", pa.decimal128(20, 3)),
        ("l", pa.list_(pa.float64())),
        ("s", pa.struct([("a", pa.int32()), ("b", pa.string())])),
        ("b", pa.binary()),
    ]
)
MOMENTS = [None, *(datetime(2026, 1, 1, 0, 0, 0, n, UTC) for n in range(3))]
VALUES: list[list[Any]] = [
    [None, "", "a", "A", "a ", "é"],
    MOMENTS,
    [None, 0.0, -0.0, math.nan, math.inf, 0.1],
    [None, Decimal("0.001"), Decimal("12345678901234567.890")],
    [None, [], [None], [0.0], [-0.0], [math.nan, 1.0]],
    [None, {"a": None, "b": None}, {"a": 1, "b": "x"}],
    [None, b"", b"\x00", b"\xff\x00"],
]
# ruff: noqa: DTZ001 - timestamps without a zone are stored too
# Few values a column, so that rows are equal, nearly equal, or neither.
ROW = st.one_of(
    st.tuples(st.integers(0, 8), *(st.sampled_from(values) for values in VALUES)),
    st.tuples(st.integers(0, 3), *(st.sampled_from(values[:2]) for values in VALUES)),
)
ROUNDS = st.lists(st.lists(ROW, max_size=12), min_size=1, max_size=4)
PROPERTY = settings(
    max_examples=25,
)


def table(rows: Sequence[Row]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [[]] * len(SCHEMA)
    return pa.table(
        [pa.array(values, of.type) for values, of in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


@PROPERTY
@given(
    rounds=ROUNDS,
    key=st.sampled_from([[0], [0, 1]]),
    cursor=st.sampled_from([None, 2]),
    is_whole=st.booleans(),
)
def test_merging_round_after_round_is_what_python_says(
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[list[Row]],
    key: list[int],
    cursor: int | None,
    is_whole: bool,  # noqa: FBT001 - drawn by name
) -> None:
    folder = tmp_path_factory.mktemp("rounds")
    parts: list[LocalPart] = []
    model: list[Row] = []
    for at, drawn in enumerate(rounds):
        rows = [row for row in drawn if None not in [row[each] for each in key]]
        done, parts = combined(
            parts,
            write(folder / f"{at}", table(rows)),
            folder / f"{at}-out",
            key=[SCHEMA.names[each] for each in key],
            cursor=None if cursor is None else SCHEMA.names[cursor],
            is_whole=is_whole,
        )
        model, expected = merged(model, rows, key, cursor, is_whole=is_whole)
        assert counts(done) == expected
        assert Counter(map(exact, live(parts))) == Counter(map(exact, model))


@PROPERTY
@given(rounds=ROUNDS, cursor=st.sampled_from([None, "at", "t", "d"]))
def test_appending_round_after_round_counts_equal_rows(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[Row]], cursor: str | None
) -> None:
    folder = tmp_path_factory.mktemp("rounds")
    parts: list[LocalPart] = []
    model: Counter[Row] = Counter()
    for at, rows in enumerate(rounds):
        staged = write(folder / f"{at}", table(rows))
        done, parts = combined(
            parts, staged, folder / f"{at}-out", mode=SyncMode.APPEND, key=(), cursor=cursor
        )
        read = Counter(map(exact, rows))
        unchanged = (model & read).total()
        model |= read
        assert counts(done) == (len(rows) - unchanged, 0, unchanged, 0)
        assert Counter(map(exact, live(parts))) == model


# ── case by case ─────────────────────────────────────────────────────────────────────────────────────────────────


def pair(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> tuple[list[LocalPart], ...]:
    return write(folder / "old", pa.table(old)), write(folder / "new", pa.table(new))


def test_changed_new_and_equal_rows_are_told_apart(tmp_path: Path) -> None:
    base, staged = pair(
        tmp_path,
        {"k": list(range(10)), "v": list("abcdefghij")},
        {"k": [3, 4, 7, 10], "v": ["d", "E", "H", "k"]},
    )

    done, parts = combined(base, staged, tmp_path / "out")

    assert counts(done) == (1, 2, 1, 0)
    assert [(vector.part, vectors.read(vector.path).tolist()) for vector in done.vectors] == [
        (0, [4]),
        (1, [2]),
        (2, [0]),
    ]
    stayed = [(0, "a"), (1, "b"), (2, "c"), (3, "d"), (5, "f"), (6, "g"), (8, "i"), (9, "j")]
    assert live(parts) == [*stayed, (4, "E"), (7, "H"), (10, "k")]


def test_a_row_that_changed_back_is_an_update_and_its_old_version_stays_gone(
    tmp_path: Path,
) -> None:
    parts: list[LocalPart] = []
    for at, value in enumerate("aba"):
        staged = write(tmp_path / f"{at}", pa.table({"k": [1], "v": [value]}))
        done, parts = combined(parts, staged, tmp_path / f"{at}-out")

    assert counts(done) == (0, 1, 0, 0)
    assert [part.live_rows for part in parts] == [0, 0, 1]


def test_the_newest_version_by_cursor_wins_then_the_last_read(tmp_path: Path) -> None:
    staged = write(
        tmp_path / "new",
        pa.table(
            {
                "k": [1, 1, 1, 2, 2, 3, 3, 4],
                "at": [2, 3, 1, 5, 5, None, 0, None],
                "v": list("abcdefgh"),
            }
        ),
    )

    done, parts = combined([], staged, tmp_path / "out", cursor="at")

    assert counts(done) == (4, 0, 4, 0)
    assert live(parts) == [(1, 3, "b"), (2, 5, "e"), (3, 0, "g"), (4, None, "h")]


def test_a_decimal_cursor_kept_as_text_is_ordered_as_a_number(tmp_path: Path) -> None:
    data = pa.table({"k": [1, 1, 2, 2], "at": ["10", "9", "-10", "-9"]})
    staged = write(tmp_path / "new", data)

    _, numbers = combined(
        [], staged, tmp_path / "numbers", cursor="at", cursor_type=ColumnType.DECIMAL
    )
    _, texts = combined([], staged, tmp_path / "texts", cursor="at", cursor_type=ColumnType.TEXT)

    assert live(numbers) == [(1, "10"), (2, "-9")]
    assert live(texts) == [(1, "9"), (2, "-9")]


@pytest.mark.parametrize("cursor", [None, "at"])
@pytest.mark.parametrize("how", ["part", "whole", "keys"])
def test_decimal_keys_kept_as_text_are_equal_as_numbers(
    tmp_path: Path, how: str, cursor: str | None
) -> None:
    """A source may change how many zeros a decimal ends with, which leaves it the same key."""
    base, staged = pair(
        tmp_path,
        {"at": [1] * 4, "k": ["1.0", "2.50", "NaN", "-3"], "v": ["a", "b", "c", "d"]},
        {"at": [1] * 3, "k": ["1.00", "2.50", "-3.0"], "v": ["A", "b", "d"]},
    )
    known = write(tmp_path / "keys", pa.table({"k": ["1", "2.5", "-3.000"]}))

    done, parts = combined(
        base,
        staged,
        tmp_path / "out",
        cursor=cursor,
        keys=known if how == "keys" else None,
        is_whole=how == "whole",
        decimals=["k"],
    )

    rows = [(1, "2.50", "b"), (1, "NaN", "c"), (1, "1.00", "A"), (1, "-3.0", "d")]
    assert live(parts) == [row for row in rows if how == "part" or row[1] != "NaN"]
    assert counts(done) == (0, 2, 1, 0 if how == "part" else 1)


@pytest.mark.parametrize("cursor", [None, "at"])
def test_rows_with_the_same_cursor_are_compared_cell_by_cell(
    tmp_path: Path, cursor: str | None
) -> None:
    base, staged = pair(
        tmp_path,
        {"k": [1, 2, 3, 4], "at": [7, 7, None, 7], "v": ["a", "b", "c", None]},
        {"k": [1, 2, 3, 4], "at": [7, 7, None, 7], "v": ["a", "B", "c", None]},
    )

    done, parts = combined(base, staged, tmp_path / "out", cursor=cursor)

    assert counts(done) == (0, 1, 3, 0)
    assert live(parts) == [(1, 7, "a"), (3, None, "c"), (4, 7, None), (2, 7, "B")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(pa.array([0.0]), pa.array([-0.0]), id="zeros"),
        pytest.param(pa.array([[0.0]]), pa.array([[-0.0]]), id="zeros in a list"),
        pytest.param(pa.array(["a"]), pa.array(["a "]), id="a space at the end"),
        pytest.param(pa.array(["a"]), pa.array(["A"]), id="case"),
        pytest.param(pa.array(["\u00e9"]), pa.array(["e\u0301"]), id="form of a letter"),
        pytest.param(pa.array([""]), pa.array([None], pa.string()), id="empty and none"),
        pytest.param(
            pa.array([{"a": None}], pa.struct([("a", pa.int8())])),
            pa.array([None], pa.struct([("a", pa.int8())])),
            id="struct of nothing and none",
        ),
        pytest.param(pa.array([[1, None]]), pa.array([[1]]), id="a null at the end of a list"),
        pytest.param(
            pa.array([Decimal("99999999999999999999999999999999999.998")]),
            pa.array([Decimal("99999999999999999999999999999999999.999")]),
            id="38 digits",
        ),
        pytest.param(
            pa.array([1], pa.timestamp("us", "UTC")),
            pa.array([2], pa.timestamp("us", "UTC")),
            id="a microsecond",
        ),
        pytest.param(pa.array([b"\x00"]), pa.array([b"\x00\x00"]), id="bytes"),
        pytest.param(pa.array([2**53]), pa.array([2**53 + 1]), id="large integers"),
        pytest.param(pa.array([date(1, 1, 1)]), pa.array([date(1, 1, 2)]), id="days long ago"),
    ],
)
@pytest.mark.parametrize("mode", [SyncMode.APPEND, SyncMode.MERGE])
def test_cells_that_differ_at_all_differ(
    tmp_path: Path, old: pa.Array, new: pa.Array, mode: SyncMode
) -> None:
    base, staged = pair(tmp_path, {"k": [1], "v": old}, {"k": [1], "v": new})
    again = write(tmp_path / "again", pa.table({"k": [1], "v": new}))

    done, parts = combined(base, staged, tmp_path / "out", mode=mode)
    repeated, _ = combined(parts, again, tmp_path / "repeated", mode=mode)

    assert counts(done) == ((0, 1, 0, 0) if mode is SyncMode.MERGE else (1, 0, 0, 0))
    assert counts(repeated) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    "keys",
    [
        ["a", "A", "a ", " a", "\u00e9", "e\u0301", "a\x00", ""],
        [Decimal("1.000"), Decimal("1.001"), Decimal("-1.000")],
        [datetime(2026, 1, 1, microsecond=n) for n in range(3)],
        [b"", b"\x00", b"a", b"A"],
    ],
    ids=["text", "decimals", "timestamps", "bytes"],
)
def test_keys_that_differ_at_all_are_other_rows(tmp_path: Path, keys: list[Any]) -> None:
    base, staged = pair(
        tmp_path,
        {"k": keys[:-1], "v": [0] * (len(keys) - 1)},
        {"k": keys[::-1], "v": [1] * len(keys)},
    )

    done, parts = combined(base, staged, tmp_path / "out")

    assert counts(done) == (1, len(keys) - 1, 0, 0)
    assert live(parts) == [(key, 1) for key in reversed(keys)]


def test_float_keys_take_both_zeros_and_every_nan_for_one(tmp_path: Path) -> None:
    base, staged = pair(
        tmp_path, {"k": [0.0, math.nan], "v": [1, 1]}, {"k": [-0.0, -math.nan], "v": [1, 2]}
    )

    done, _ = combined(base, staged, tmp_path / "out")

    assert counts(done) == (0, 2, 0, 0)


def test_the_other_zero_of_a_key_is_an_update_also_where_the_cursor_is_the_same(
    tmp_path: Path,
) -> None:
    base, staged = pair(
        tmp_path,
        {"k": [0.0, math.nan], "c": [1, 1], "v": [1, 1]},
        {"k": [-0.0, -math.nan], "c": [1, 1], "v": [1, 1]},
    )

    done, _ = combined(base, staged, tmp_path / "out", cursor="c")

    assert counts(done) == (0, 1, 1, 0)


def test_composite_keys_match_in_all_columns(tmp_path: Path) -> None:
    base, staged = pair(
        tmp_path,
        {"k": [1, 1, 2], "l": ["x", "y", "x"], "v": [0, 0, 0]},
        {"k": [1, 2], "l": ["y", "y"], "v": [1, 1]},
    )

    done, parts = combined(base, staged, tmp_path / "out", key=["k", "l"])

    assert counts(done) == (1, 1, 0, 0)
    assert live(parts) == [(1, "x", 0), (2, "x", 0), (1, "y", 1), (2, "y", 1)]


def test_rows_without_a_key_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    base, staged = pair(
        tmp_path,
        {"k": [1], "l": ["x"]},
        {"k": [1, 2, 3], "l": ["x", None, None]},
    )

    with pytest.raises(InvalidInput, match="2 rows have no value in 'l', a column of the key"):
        combined(base, staged, tmp_path / "out", key=["k", "l"])

    assert list((tmp_path / "out").iterdir()) == []


def test_a_key_that_is_no_column_is_refused(tmp_path: Path) -> None:
    base, staged = pair(tmp_path, {"k": [1]}, {"k": [1]})

    with pytest.raises(InvalidInput, match="no column 'K'"):
        combined(base, staged, tmp_path / "out", key=["K"])


def test_when_all_was_read_what_was_not_is_deleted(tmp_path: Path) -> None:
    base, staged = pair(
        tmp_path, {"k": list(range(12)), "v": [0] * 12}, {"k": [11, 3, 20], "v": [0, 1, 1]}
    )

    done, parts = combined(base, staged, tmp_path / "out", is_whole=True)
    none, emptied = combined(parts, [], tmp_path / "none", is_whole=True)

    assert counts(done) == (1, 1, 1, 10)
    assert live(parts) == [(11, 0), (3, 1), (20, 1)]
    assert counts(none) == (0, 0, 0, 3)
    assert live(emptied) == []


def test_the_key_set_tells_what_was_deleted(tmp_path: Path) -> None:
    base, staged = pair(
        tmp_path,
        {"k": [1, 2, 3, 4, 5], "l": ["x"] * 5, "v": [0] * 5},
        {"k": [2, 6, 7], "l": ["x"] * 3, "v": [1, 1, 1]},
    )
    # The key set may have its columns in another order; 7 went between the two readings.
    known = write(
        tmp_path / "keys", pa.table({"l": ["x", "x", "x", "y"], "k": [1, 2, 6, 4]}), part_rows=2
    )

    done, parts = combined(base, staged, tmp_path / "out", key=["k", "l"], keys=known)
    none, emptied = combined(parts, [], tmp_path / "none", key=["k", "l"], keys=[])

    assert counts(done) == (2, 1, 0, 4)
    assert live(parts) == [(1, "x", 0), (2, "x", 1), (6, "x", 1)]
    assert counts(none) == (0, 0, 0, 3)
    assert live(emptied) == []


def test_a_key_stored_twice_is_stored_once_after_a_merge(tmp_path: Path) -> None:
    base, staged = pair(
        tmp_path,
        {"k": [1, 1, 2, 2, 2], "v": [0, 1, 0, 0, 1]},
        {"k": [1, 2], "v": [2, 0]},
    )

    done, parts = combined(base, staged, tmp_path / "out")

    assert counts(done) == (0, 1, 1, 3)
    assert live(parts) == [(2, 0), (1, 2)]


def test_empty_sides_are_no_trouble(tmp_path: Path) -> None:
    staged = write(tmp_path / "new", pa.table({"k": [1, 2]}))

    for mode in SyncMode:
        first, parts = combined([], staged, tmp_path / f"{mode}-first", mode=mode)
        nothing, _ = combined(parts, [], tmp_path / f"{mode}-nothing", mode=mode)
        neither, _ = combined([], [], tmp_path / f"{mode}-neither", mode=mode)

        assert counts(first) == (2, 0, 0, 0)
        assert counts(nothing) == counts(neither) == (0, 0, 0, 0)
        assert first.vectors == nothing.vectors == ()
