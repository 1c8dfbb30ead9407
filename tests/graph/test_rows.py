"""Rows of a stored table through the API: exact cells, filters, orders and pages."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from base.ids import public_id
from base.tables import Column, ColumnType, TableSchema
from models import DataSource, Project
from services.platform import Platform
from storage.snapshots.manifest import Manifest, StoredTable
from storage.snapshots.writer import PartWriter
from tests import factories
from tests.graph.asking import Asker

TABLE = TableSchema(
    "t",
    (
        Column("id", ColumnType.INTEGER),
        Column("amount", ColumnType.DECIMAL),
        Column("name", ColumnType.TEXT),
    ),
)
IDS = [1, 2, 2**60 + 1, None]
AMOUNTS = [Decimal("1.50"), None, Decimal("-0.01"), Decimal("12345678901234567890.12")]
NAMES = ["a", "b", 'ä"\\\n', None]
ROWS = [
    [1, "1.50", "a"],
    [2, None, "b"],
    [str(2**60 + 1), "-0.01", 'ä"\\\n'],
    [None, "12345678901234567890.12", None],
]

QUERY = """query ($id: ID!, $first: Int = 50, $after: String, $columns: [String!], $where: [RowFilter!], $orderBy: [RowOrder!]) {
  dataSource(id: $id) { table { rows(first: $first, after: $after, columns: $columns, where: $where, orderBy: $orderBy) {
    columns { name type } rows totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } } }"""


@pytest.fixture
async def source(platform: Platform) -> AsyncIterator[DataSource]:
    """A source whose current snapshot is the table above."""
    made = await factories.make_source()
    batch = pa.RecordBatch.from_pydict(
        {
            "id": pa.array(IDS, pa.int64()),
            "amount": pa.array(AMOUNTS, pa.decimal128(30, 2)),
            "name": pa.array(NAMES, pa.string()),
        }
    )
    writer = PartWriter(platform.store.scratch(), platform.store.adopt, "snapshots/1/1-1")
    finished = (*writer.write(batch), *writer.finish())
    parts = tuple(each.part for each in finished)
    manifest = Manifest((StoredTable(TABLE, parts),)).to_json()
    snapshot = await factories.make_snapshot(made, manifest=manifest)
    await DataSource.filter(id=made.id).update(current_snapshot_id=snapshot.id)
    yield made
    platform.rows.close()


async def ask(platform: Platform, source: DataSource, **arguments: Any) -> dict[str, Any]:
    project = await Project.get(id=source.project_id).prefetch_related("team")  # type: ignore[attr-defined]
    asker = Asker(platform, await factories.make_viewer(project.team))
    return await asker.answer(QUERY, id=public_id("datasource", source.id), **arguments)


async def page(platform: Platform, source: DataSource, **arguments: Any) -> Any:
    answer = await ask(platform, source, **arguments)
    assert "errors" not in answer, answer
    return answer["data"]["dataSource"]["table"]["rows"]


async def test_every_cell_arrives_exactly(platform: Platform, source: DataSource) -> None:
    shown = await page(platform, source)

    assert shown["rows"] == ROWS
    assert shown["totalCount"] == 4
    assert shown["columns"] == [
        {"name": "id", "type": "INTEGER"},
        {"name": "amount", "type": "DECIMAL"},
        {"name": "name", "type": "TEXT"},
    ]


async def test_rows_are_filtered_sorted_and_narrowed(
    platform: Platform, source: DataSource
) -> None:
    where = [{"column": "id", "op": "GE", "value": 2}, {"column": "name", "op": "NOT_NULL"}]
    order = [{"column": "amount", "direction": "DESC"}]

    shown = await page(platform, source, columns=["name", "id"], where=where, orderBy=order)

    assert shown["rows"] == [['ä"\\\n', str(2**60 + 1)], ["b", 2]]
    assert shown["totalCount"] == 2


async def test_a_null_equals_no_value(platform: Platform, source: DataSource) -> None:
    unequal = [{"column": "name", "op": "NE", "value": "a"}]
    named = [*unequal, {"column": "name", "op": "NOT_NULL"}]

    assert (await page(platform, source, where=unequal))["rows"] == ROWS[1:]
    assert (await page(platform, source, where=named))["rows"] == ROWS[1:3]


async def test_pages_of_rows_follow_each_other(platform: Platform, source: DataSource) -> None:
    first = await page(platform, source, first=3)
    second = await page(platform, source, first=3, after=first["pageInfo"]["endCursor"])

    assert (first["rows"], second["rows"]) == (ROWS[:3], ROWS[3:])
    assert first["pageInfo"]["hasNextPage"] is True
    assert first["pageInfo"]["hasPreviousPage"] is False
    assert second["pageInfo"]["hasNextPage"] is False
    assert second["pageInfo"]["hasPreviousPage"] is True


@pytest.mark.parametrize(
    "arguments",
    [
        {"first": -1},
        {"first": 1001},
        {"after": "nonsense"},
        {"columns": ["nope"]},
        {"where": [{"column": "nope", "op": "EQ", "value": 1}]},
        {"where": [{"column": "id", "op": "EQ", "value": {"a": 1}}]},
        {"where": [{"column": "id", "op": "EQ", "value": "1; DROP TABLE users"}]},
        {"orderBy": [{"column": 'id" DESC; --'}]},
    ],
)
async def test_what_makes_no_sense_is_invalid_input(
    platform: Platform, source: DataSource, arguments: dict[str, Any]
) -> None:
    (error,) = (await ask(platform, source, **arguments))["errors"]

    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert error["extensions"]["field"].startswith(next(iter(arguments)))
