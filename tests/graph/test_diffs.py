"""Differences of snapshots through the API: tables, columns and rows, page by page, of one's own sources only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import pyarrow as pa
import pytest

from base.ids import public_id
from base.tables import Column, ColumnType, TableSchema
from models import DataSource, Project, Snapshot
from services.platform import Platform
from storage.snapshots.manifest import Manifest, StoredTable
from storage.snapshots.writer import PartWriter
from tests import factories
from tests.graph.asking import Asker

QUERY = """query ($from: ID!, $to: ID!, $table: String, $first: Int = 50, $after: String) {
  snapshotDiff(from: $from, to: $to, table: $table, first: $first, after: $after) {
    tables { name schema change oldRowCount newRowCount } table key
    schemaChanges { column change oldType newType } counts { added removed changed } columns { name }
    rows { change key old new changedColumns } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""

_prefixes = count(1)


@dataclass
class History:
    """A source whose snapshots are made of the tables given."""

    platform: Platform
    source: DataSource
    asker: Asker

    async def snapshot(self, *tables: StoredTable) -> str:
        manifest = Manifest(tables).to_json()
        snapshot = await factories.make_snapshot(self.source, manifest=manifest)
        return public_id("snapshot", snapshot.id)

    def table(
        self,
        rows: Sequence[tuple[Any, Any]],
        *,
        name: str = "t",
        schema: str | None = None,
        amount: ColumnType = ColumnType.INTEGER,
        key: tuple[str, ...] = ("id",),
    ) -> StoredTable:
        kind = {ColumnType.INTEGER: pa.int64(), ColumnType.TEXT: pa.string()}[amount]
        batch = pa.RecordBatch.from_pydict(
            {
                "id": pa.array([row[0] for row in rows], pa.int64()),
                "amount": pa.array([row[1] for row in rows], kind),
            }
        )
        store = self.platform.store
        prefix = f"snapshots/9/{next(_prefixes)}-1"
        with PartWriter(store.scratch(), store.adopt, prefix) as writer:
            finished = (*writer.write(batch), *writer.finish())
        columns = (Column("id", ColumnType.INTEGER), Column("amount", amount))
        parts = tuple(each.part for each in finished)
        return StoredTable(TableSchema(name, columns, schema), parts, key)

    async def diff(self, old: str, new: str, **arguments: Any) -> Any:
        variables = {"from": old, "to": new, **arguments}
        return (await self.asker.data(QUERY, **variables))["snapshotDiff"]

    async def refusal(self, old: str, new: str, **arguments: Any) -> tuple[str, str | None]:
        variables = {"from": old, "to": new, **arguments}
        return await self.asker.code(QUERY, **variables)


@pytest.fixture
async def history(platform: Platform) -> AsyncIterator[History]:
    source = await factories.make_source()
    project = await Project.get(id=source.project_id).prefetch_related("team")  # type: ignore[attr-defined]
    yield History(platform, source, Asker(platform, await factories.make_viewer(project.team)))
    platform.rows.close()


async def test_rows_columns_and_tables(history: History) -> None:
    same = history.table([(7, 7)], name="same")
    old = await history.snapshot(
        history.table([(1, 10), (2, 20), (2**60, 30)]), same, history.table([(1, 1)], name="gone")
    )
    new = await history.snapshot(
        history.table([(2, "20"), (2**60, "31"), (4, "x")], amount=ColumnType.TEXT),
        same,
        history.table([], name="come", schema="s"),
    )

    shown = await history.diff(old, new, table="t")

    page = shown.pop("pageInfo")
    assert (page["hasNextPage"], page["hasPreviousPage"]) == (False, False)
    assert shown == {
        "tables": [
            table("t", "CHANGED", 3, 3),
            table("same", "UNCHANGED", 1, 1),
            table("come", "ADDED", None, 0) | {"schema": "s"},
            table("gone", "REMOVED", 1, None),
        ],
        "table": "t",
        "key": ["id"],
        "schemaChanges": [
            {"column": "amount", "change": "CHANGED", "oldType": "INTEGER", "newType": "TEXT"}
        ],
        "counts": {"added": 1, "removed": 1, "changed": 1},
        "columns": [{"name": "id"}, {"name": "amount"}],
        "rows": [
            row("CHANGED", [str(2**60)], [str(2**60), 30], [str(2**60), "31"], ["amount"]),
            row("ADDED", [4], None, [4, "x"]),
            row("REMOVED", [1], [1, 10], None),
        ],
    }


async def test_a_table_of_one_snapshot_came_or_went_with_its_rows(history: History) -> None:
    with_it = await history.snapshot(history.table([(1, 1), (2, 2)]))
    without = await history.snapshot()

    came, went = await history.diff(without, with_it), await history.diff(with_it, without)

    assert came["tables"] == [table("t", "ADDED", None, 2)]
    assert came["counts"] == {"added": 2, "removed": 0, "changed": 0}
    assert [each["new"] for each in came["rows"]] == [[1, 1], [2, 2]]
    assert went["tables"] == [table("t", "REMOVED", 2, None)]
    assert went["counts"] == {"added": 0, "removed": 2, "changed": 0}
    assert (came["schemaChanges"], went["schemaChanges"]) == ([], [])


async def test_of_several_tables_one_has_to_be_named(history: History) -> None:
    both = await history.snapshot(
        history.table([(1, 1)], name="t", schema="a"), history.table([(2, 2)], name="t", schema="b")
    )

    shown = await history.diff(both, both)

    assert (shown["table"], shown["key"], shown["counts"], shown["rows"]) == (None, [], None, [])
    assert [each["change"] for each in shown["tables"]] == ["UNCHANGED", "UNCHANGED"]
    assert (await history.diff(both, both, table="b.t"))["table"] == "b.t"
    for name in ("t", "c.t", ""):
        assert await history.refusal(both, both, table=name) == ("INVALID_INPUT", "table")


async def test_without_a_key_rows_are_added_and_removed(history: History) -> None:
    old = await history.snapshot(history.table([(1, 1), (1, 1)], key=()))
    new = await history.snapshot(history.table([(1, 1), (1, 2)], key=()))

    shown = await history.diff(old, new)

    assert shown["key"] == []
    assert shown["counts"] == {"added": 1, "removed": 1, "changed": 0}
    assert shown["rows"] == [row("ADDED", None, None, [1, 2]), row("REMOVED", None, [1, 1], None)]


async def test_the_primary_key_is_the_key_where_the_sync_had_none(history: History) -> None:
    ids = []
    for amount in (1, 2):
        stored = history.table([(1, amount)], key=())
        columns = (Column("id", ColumnType.INTEGER, primary_key=True), stored.table.columns[1])
        keyed = StoredTable(stored.table.with_columns(columns), stored.parts)
        ids.append(await history.snapshot(keyed))

    shown = await history.diff(*ids)

    assert (shown["key"], shown["counts"]["changed"]) == (["id"], 1)


async def test_pages_follow_each_other(history: History) -> None:
    old = await history.snapshot(history.table([(number, 0) for number in range(5)]))
    new = await history.snapshot(history.table([(number, 1) for number in range(3, 8)]))
    whole = (await history.diff(old, new))["rows"]

    rows, after = [], None
    while True:
        page = await history.diff(old, new, first=3, after=after)
        rows += page["rows"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert rows == whole
    assert len(rows) == 8


async def test_refusals_name_the_argument(history: History, platform: Platform) -> None:
    own = await history.snapshot(history.table([(1, 1)]))
    other = await history.snapshot(history.table([(2, 2)]))
    foreign = public_id("snapshot", (await factories.make_snapshot(manifest={"tables": []})).id)
    project = await Project.get(id=history.source.project_id)  # type: ignore[attr-defined]
    beside = await factories.make_source(project)
    sibling = public_id(
        "snapshot", (await factories.make_snapshot(beside, manifest={"tables": []})).id
    )

    assert await history.refusal(foreign, own) == ("NOT_FOUND", "from")
    assert await history.refusal(own, foreign) == ("NOT_FOUND", "to")
    assert await history.refusal(own, "datasource-x") == ("NOT_FOUND", "to")
    assert await history.refusal(own, sibling) == ("INVALID_INPUT", "to")
    assert await history.refusal(own, other, first=-1) == ("INVALID_INPUT", "first")
    assert await history.refusal(own, other, first=501) == ("INVALID_INPUT", "first")
    assert await history.refusal(own, other, after="x") == ("INVALID_INPUT", "after")


async def test_what_is_not_asked_for_is_not_compared(history: History) -> None:
    stored = history.table([(1, 1)])
    old, new = await history.snapshot(stored), await history.snapshot(history.table([(2, 2)]))
    for part in stored.parts:
        await history.platform.store.delete(part.key)

    shown = await history.asker.data(
        "query ($from: ID!, $to: ID!) { snapshotDiff(from: $from, to: $to) { tables { change } columns { name } } }",
        **{"from": old, "to": new},
    )

    assert shown["snapshotDiff"]["tables"] == [{"change": "CHANGED"}]
    assert await Snapshot.all().count() == 2


def table(name: str, change: str, old: int | None, new: int | None) -> dict[str, Any]:
    return {
        "name": name,
        "schema": None,
        "change": change,
        "oldRowCount": old,
        "newRowCount": new,
    }


def row(change: str, key: Any, old: Any, new: Any, changed: Sequence[str] = ()) -> dict[str, Any]:
    return {"change": change, "key": key, "old": old, "new": new, "changedColumns": list(changed)}
