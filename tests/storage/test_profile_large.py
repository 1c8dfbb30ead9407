"""Profiles of many rows: side by side, in little memory, by hashes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from base.tables import ColumnType
from storage.snapshots.manifest import LocalPart
from storage.snapshots.profile import profile
from tests.storage import tables
from tests.storage.test_profile import EXACT, MEMORY_BYTES, counts, profiled


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> LocalPart:
    """A part of a million rows: different texts, skewed numbers with nulls."""
    path = tmp_path_factory.mktemp("million") / "0.parquet"
    duckdb.connect().execute(
        "copy (select md5(i::varchar) as name, case when i % 10 > 0 then (i * i) % 1000003 end as n, "
        f"least(i, 500) as few from range(1000000) t(i)) to '{path}'"
    )
    return LocalPart(path, 1_000_000)


def test_a_million_rows_in_little_memory_are_as_in_much(million: LocalPart, tmp_path: Path) -> None:
    table = tables.schema(
        [("name", ColumnType.TEXT), ("n", ColumnType.INTEGER), ("few", ColumnType.INTEGER)]
    )

    much = profile([million], table, tmp_path, memory_bytes=MEMORY_BYTES)["columns"]
    little = profile([million], table, tmp_path, memory_bytes=1)["columns"]

    assert list(tmp_path.iterdir()) == []
    assert (much[0]["distinct"], much[0]["distinctIsExact"]) == (1_000_000, True)
    for large, small in zip(much, little, strict=True):
        if large["median"] is not None:
            numbers = [each["count"] for each in large["histogram"]]
            assert sum(numbers) == large["count"]
            assert small.pop("method").startswith(
                "The median is within 0.01% of the middle by rank"
            )
            assert small.pop("median") == pytest.approx(large.pop("median"), rel=3e-4)
            assert small.pop("stddev") == pytest.approx(large.pop("stddev"), rel=1e-9)
            assert small.pop("mean") == pytest.approx(large.pop("mean"), rel=1e-12)
            large.pop("method")
        assert small == large


def test_texts_with_few_repeats_are_counted_by_hashes(million: LocalPart, tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    duckdb.connect().execute(
        "copy (select case when i % 100000 = 0 then 'often' else 'x' || i end c "
        f"from range(300000) t(i)) to '{path}'"
    )

    found = profiled(tmp_path, [LocalPart(path, 300_000)], ColumnType.TEXT)

    assert (found["distinct"], found["distinctIsExact"]) == (299_998, False)
    assert found["top"] == counts(("often", 3))
    assert found["method"] == (
        "Distinct and top values count 64-bit hashes: they are wrong only where two values share one;"
        " the rest is exact."
    )


def test_few_texts_of_many_rows_are_counted_by_themselves(tmp_path: Path) -> None:
    path, rows, gone = tmp_path / "0.parquet", 600_000, range(0, 70_000, 7)
    duckdb.connect().execute(
        "copy (select case when i % 10 > 0 then 'say \"' || i % 7 || '\"' end as said, (i % 3)::varchar || '.5' as n, "
        f"null::varchar as nothing from range({rows}) t(i)) to '{path}'"
    )
    table = tables.schema(
        [("said", ColumnType.TEXT), ("n", ColumnType.DECIMAL), ("nothing", ColumnType.TEXT)]
    )
    left = tables.without([LocalPart(path, rows)], gone, tmp_path / "gone")

    said, number, nothing = profile(left, table, tmp_path, memory_bytes=MEMORY_BYTES)["columns"]

    live = [i for i in range(rows) if i not in gone]
    texts = Counter(f'say "{i % 7}"' for i in live if i % 10)
    numbers = Counter(f"{i % 3}.5" for i in live)
    assert (said["count"], said["nulls"]) == (texts.total(), len(live) - texts.total())
    assert (said["distinct"], said["distinctIsExact"], said["method"]) == (7, True, EXACT)
    assert said["top"] == counts(*sorted(texts.items(), key=lambda each: (-each[1], each[0])))
    assert (said["min"], said["max"]) == ('say "0"', 'say "6"')
    assert number["top"] == counts(*sorted(numbers.items(), key=lambda each: (-each[1], each[0])))
    assert number["median"] == 1.5
    assert (nothing["count"], nothing["nulls"], nothing["distinct"]) == (0, len(live), 0)


def test_texts_that_are_few_only_where_it_is_looked_are_many(tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    duckdb.connect().execute(
        "copy (select case when i < 20000 then 'same' else 'x' || i % 15000 end c "
        f"from range(600000) t(i)) to '{path}'"
    )

    found = profiled(tmp_path, [LocalPart(path, 600_000)], ColumnType.TEXT)

    assert (found["count"], found["distinct"], found["distinctIsExact"]) == (600_000, 15_001, False)
    assert found["top"][:1] == counts(("same", 20_000))


def test_frequent_texts_are_found_in_whatever_part_they_are(tmp_path: Path) -> None:
    """Where there are many different ones, also with rows gone, and those that tie in their order."""
    texts = [f"x{at}" for at in range(10_500)] + ["late"] * 4 + ["b", "a"] * 3 + ["gone"] * 5
    parts = tables.write(tmp_path, pa.table({"c": texts}), part_rows=4000, batch_rows=1000)
    gone = [at for at, text in enumerate(texts) if text == "gone"][1:]

    found = profiled(tmp_path, tables.without(parts, gone, tmp_path / "gone"), ColumnType.TEXT)

    assert found["top"] == counts(("late", 4), ("a", 3), ("b", 3))
    assert (found["count"], found["distinct"]) == (10_511, 10_504)
    assert (found["min"], found["max"]) == ("a", "x9999")


def test_large_columns_are_described_side_by_side(tmp_path: Path) -> None:
    """Every type of block, more columns than threads, twice."""
    path = tmp_path / "0.parquet"
    duckdb.connect().execute(
        "copy (select i, -i::double d, i::decimal(12,2) e, (i % 7)::varchar f, date '2020-01-01' + (i % 9)::int g,"
        f" (i::varchar || '.5') h from range(60000) t(i)) to '{path}'"
    )
    kinds = [
        ColumnType.INTEGER,
        ColumnType.FLOAT,
        ColumnType.DECIMAL,
        ColumnType.TEXT,
        ColumnType.DATE,
        ColumnType.DECIMAL,
    ]
    part = LocalPart(path, 60_000)
    table = tables.schema([(name, kind) for name, kind in zip("idefgh", kinds, strict=True)])

    first = profile([part], table, tmp_path, memory_bytes=MEMORY_BYTES)["columns"]

    assert first == profile([part], table, tmp_path, memory_bytes=MEMORY_BYTES)["columns"]
    assert [each["distinct"] for each in first] == [60_000, 60_000, 60_000, 7, 9, 60_000]
    assert [each["mean"] for each in first] == [29_999.5, -29_999.5, 29_999.5, None, None, 30_000.0]
    assert [(each["min"], each["max"]) for each in first] == [
        (0, 59_999),
        (-59_999.0, 0.0),
        ("0.00", "59999.00"),
        ("0", "6"),
        ("2020-01-01", "2020-01-09"),
        ("0.5", "59999.5"),
    ]
