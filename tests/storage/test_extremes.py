"""The ends of texts from the footers of parts: only where what a footer says is the whole truth."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from storage.snapshots.extremes import Extremes
from storage.snapshots.manifest import LocalPart
from tests.storage import tables


def test_ends_over_parts_in_the_order_of_bytes(tmp_path: Path) -> None:
    texts = ["b", None, "", "Z", "é", "😀", "\uffff", "a"]
    parts = tables.write(tmp_path, pa.table({"n": range(8), "t": texts}), part_rows=2, batch_rows=2)

    assert len(parts) == 4
    assert Extremes(parts).texts(1) == ("", "😀")
    sql = "select min(t), max(t) from (select unnest($1) t)"
    assert duckdb.connect().execute(sql, [texts]).fetchall() == [("", "😀")]


def test_parts_without_a_value_have_no_ends(tmp_path: Path) -> None:
    some = pa.table({"t": pa.array([None, None, "x", None], pa.string())})
    none = pa.table({"t": pa.array([None, None], pa.string())})

    assert Extremes(tables.write(tmp_path / "a", some, part_rows=2, batch_rows=2)).texts(0) == (
        "x",
        "x",
    )
    assert Extremes(tables.write(tmp_path / "b", none)).texts(0) is None


def test_rows_that_are_gone_may_be_the_ends(tmp_path: Path) -> None:
    parts = tables.write(tmp_path, pa.table({"t": ["a", "b"]}))

    assert Extremes(tables.without(parts, [0], tmp_path / "gone")).texts(0) is None


def test_long_texts_are_not_kept_in_footers(tmp_path: Path) -> None:
    parts = tables.write(tmp_path, pa.table({"t": ["a", "z" * 10_000]}))

    assert Extremes(parts).texts(0) is None


def test_another_writer_may_have_cut_them(tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    duckdb.sql(f"copy (select 'a' t) to '{path}'")

    assert Extremes([LocalPart(path, 1)]).texts(0) is None


@pytest.mark.parametrize("at", [0, 2])
def test_a_field_of_a_struct_is_not_a_column_of_that_name(tmp_path: Path, at: int) -> None:
    data = pa.table({"a.b": ["x"], "a": [{"b": "y"}], "c": ["z"]})

    found = Extremes(tables.write(tmp_path, data)).texts(at)

    assert found == (None if at == 0 else ("z", "z"))
