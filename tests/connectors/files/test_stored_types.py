"""Columns without a value in a read: they stay what they are stored as, and values that come late still count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from base.tables import ColumnType
from connectors.connector import Increment, StoredColumn
from tests.connectors.files.reading import Table, read, write

LATE = 30_000  # rows behind which a value cannot be in the sample
PERSON = pa.struct([("id", pa.int64()), ("tags", pa.list_(pa.string()))])
STORED = {
    "n": StoredColumn(ColumnType.INTEGER, pa.int64()),
    "person": StoredColumn(ColumnType.STRUCT, PERSON),
    "mixed": StoredColumn(ColumnType.JSON, pa.string()),
    "long": StoredColumn(ColumnType.DECIMAL, pa.decimal128(38, 0)),
    "day": StoredColumn(ColumnType.DATE, pa.date32()),
}


def arrow_types(table: Table) -> dict[str, pa.DataType]:
    return {field.name: field.type for field in table.batches[0].data.schema}


def lines(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    if name.endswith(".json"):
        return write(folder / name, json.dumps(rows))
    return write(folder / name, "".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_what_json_has_no_value_of_is_of_the_stored_type(tmp_path: Path, name: str) -> None:
    row = {"id": 1, "n": None, "person": None, "mixed": None, "long": None, "day": None, "x": None}
    table = read(lines(tmp_path, name, row, row), stored=STORED)

    assert [column.type.value for column in table.schema.columns] == [
        "integer",
        "integer",
        "struct",
        "json",
        "decimal",
        "text",  # JSON has no dates
        "text",
    ]
    assert {name: arrow_types(table)[name] for name in ("n", "person", "long")} == {
        name: STORED[name].arrow for name in ("n", "person", "long")
    }
    assert table.rows == [(1, None, None, None, None, None, None)] * 2


@pytest.mark.parametrize("person", [{}, {"id": None}, {"tags": []}])
def test_fields_without_a_value_are_of_the_stored_types(tmp_path: Path, person: Any) -> None:
    table = read(lines(tmp_path, "a.ndjson", {"id": 1, "person": person}), stored=STORED)

    assert arrow_types(table)["person"] == PERSON
    assert table.rows == [(1, {"id": None, "tags": person.get("tags")})]


def test_a_value_of_another_type_that_comes_late_is_kept(tmp_path: Path) -> None:
    rows = [{"id": n, "n": None, "pad": "x" * 40} for n in range(LATE)]
    table = read(lines(tmp_path, "a.ndjson", *rows, {"id": 0, "n": "7a", "pad": ""}), stored=STORED)

    assert (table.column("n").type, table.rows[-1], table.again) == (
        ColumnType.TEXT,
        (0, "7a", ""),
        1,
    )


def test_an_empty_csv_column_is_of_the_stored_type(tmp_path: Path) -> None:
    table = read(write(tmp_path / "a.csv", "id,n,day,x\n1,,,\n2,,,\n"), stored=STORED)

    assert arrow_types(table) == {
        "id": pa.int64(),
        "n": pa.int64(),
        "day": pa.date32(),
        "x": pa.string(),
    }
    assert (table.column("day").type, table.column("day").inference) == (
        ColumnType.DATE,
        "date: there is no value",
    )
    assert table.rows == [(1, None, None, None), (2, None, None, None)]


def test_a_csv_value_that_comes_late_is_kept(tmp_path: Path) -> None:
    body = "id,n\n" + f"{'1' * 40},\n" * (8 * LATE) + "1,x\n"
    table = read(write(tmp_path / "a.csv", body), stored=STORED)

    assert (table.column("n").type, table.rows[-1][1], table.again) == (ColumnType.TEXT, "x", 1)


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_values_of_several_types_are_what_they_are_stored_as(tmp_path: Path, name: str) -> None:
    stored = {
        "code": StoredColumn(ColumnType.TEXT, pa.string()),
        "n": StoredColumn(ColumnType.INTEGER, pa.int64()),
        "price": StoredColumn(ColumnType.FLOAT, pa.float64()),
        "odd": StoredColumn(ColumnType.JSON, pa.string()),
        "at": StoredColumn(ColumnType.LIST, pa.list_(pa.float64())),
        "in": StoredColumn(ColumnType.STRUCT, pa.struct([("a", pa.string())])),
    }
    rows: list[dict[str, Any]] = [
        {"code": "x7", "n": 1, "price": 10, "odd": "x", "at": [1, 2], "in": {"a": 7}},
        {"code": 5, "n": "y", "price": 11, "odd": "y", "at": [], "in": {"a": 0.5}},
        {"code": {"a": 0.10}, "n": None, "price": None, "odd": None, "at": None, "in": {"a": None}},
    ]

    table = read(lines(tmp_path, name, *rows), stored=stored)

    assert [column.type.value for column in table.schema.columns] == [
        "text",
        "text",
        "float",
        "json",
        "list",
        "struct",
    ]
    assert arrow_types(table)["at"] == pa.list_(pa.float64())
    assert table.rows == [
        ("x7", "1", 10.0, '"x"', [1.0, 2.0], {"a": "7"}),
        ("5", "y", 11.0, '"y"', [], {"a": "0.5"}),
        ('{"a":0.1}', None, None, None, None, {"a": None}),
    ]


def test_a_cursor_of_several_types_does_not_become_a_text(tmp_path: Path) -> None:
    """Its values would have another order than those that are stored."""
    stored = {"at": StoredColumn(ColumnType.INTEGER, pa.int64())}
    path = lines(tmp_path, "a.ndjson", {"at": 9}, {"at": "10"})

    table = read(path, stored=stored, increment=Increment("at", "8"))

    assert table.column("at").type is ColumnType.JSON
