"""Incremental syncs as clients see them: modes, cursors, restores, drift that is held, rows that are set aside."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from models import Snapshot
from services.platform import Platform
from tests.graph.asking import Asker
from tests.graph.test_mutations import do, refusal
from tests.graph.working import children, work
from tests.services.places import Place, put_upload

__all__ = ["children"]
pytestmark = pytest.mark.usefixtures("children")

SEEN = """query ($id: ID!) { dataSource(id: $id) { status error { message } heldSnapshot { id number drift { column change old new } }
  snapshot { number receipt { rowsRead inserted updated unchanged deleted quarantined balanced cursorFrom cursorTo } }
  table { cursorColumn primaryKey quarantinedRows columns { name type } rows { rows } } } }"""
BY_ID: dict[str, Any] = {
    "name": "t",
    "schema": "public",
    "mode": "MERGE",
    "cursorColumn": "at",
    "primaryKey": ["id"],
}


class Source:
    """A table of a PostgreSQL database, synced by its key."""

    def __init__(self, asker: Asker, url: str) -> None:
        self.asker = asker
        self.url = url
        self.id = ""

    async def run(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def connect(self, place: Place, **table: Any) -> None:
        await self.run(
            "CREATE TABLE t (id int PRIMARY KEY, at int, name text)",
            "INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b')",
        )
        given = {"database": {"engine": "POSTGRESQL", "url": self.url}}
        source = {"name": "s", "connection": given, "tables": [BY_ID | table]}
        done = await do(
            self.asker, "connectDataSources", "dataSources { id }",
            projectId=place.project_id, sources=[source],
        )  # fmt: skip
        self.id = done["dataSources"][0]["id"]
        await work(self.asker.platform)

    async def sync(self, **options: Any) -> None:
        await do(
            self.asker, "syncDataSources", "jobs { id }",
            dataSourceIds=[self.id], options=options,
        )  # fmt: skip
        await work(self.asker.platform)

    async def seen(self) -> Any:
        return (await self.asker.data(SEEN, id=self.id))["dataSource"]

    async def rows(self) -> list[Any]:
        seen = await self.seen()
        assert (seen["status"], seen["error"]) == ("SYNCED", None)
        rows: list[Any] = sorted(seen["table"]["rows"]["rows"])
        return rows


@pytest.fixture
def source(platform: Platform, place: Place, postgres_database: str) -> Source:
    return Source(Asker(platform, place.viewer), postgres_database)


async def test_changed_rows_are_merged_and_the_books_say_so(source: Source, place: Place) -> None:
    await source.connect(place)
    await source.run(
        "UPDATE t SET at = 3, name = 'A' WHERE id = 1", "INSERT INTO t VALUES (3, 3, 'c')"
    )

    await source.sync()

    assert await source.rows() == [[1, 3, "A"], [2, 2, "b"], [3, 3, "c"]]
    seen = await source.seen()
    assert seen["snapshot"]["receipt"] == {
        "rowsRead": 3, "inserted": 1, "updated": 1, "unchanged": 1, "deleted": 0,
        "quarantined": 0, "balanced": True,
        "cursorFrom": {"public.t": "2"}, "cursorTo": {"public.t": "3"},
    }  # fmt: skip
    assert (seen["table"]["cursorColumn"], seen["table"]["primaryKey"]) == ("at", ["id"])


async def test_a_sync_that_is_not_incremental_reads_all_rows_anew(
    source: Source, place: Place
) -> None:
    await source.connect(place)
    await source.run("DELETE FROM t WHERE id = 1")

    await source.sync()
    assert await source.rows() == [[1, 1, "a"], [2, 2, "b"]]
    await source.sync(incremental=False)

    assert await source.rows() == [[2, 2, "b"]]


async def test_deleted_rows_are_found_where_that_is_asked_for(source: Source, place: Place) -> None:
    await source.connect(place, detectDeletes=True)
    await source.run("DELETE FROM t WHERE id = 1")

    await source.sync()

    assert await source.rows() == [[2, 2, "b"]]
    assert (await source.seen())["snapshot"]["receipt"]["deleted"] == 1


async def test_syncs_go_on_from_a_restored_snapshot(source: Source, place: Place) -> None:
    await source.connect(place)
    first = (await Snapshot.all())[0]
    await source.run("INSERT INTO t VALUES (3, 3, 'c'), (4, 4, 'd')")
    await source.sync()
    query = "query ($id: ID!) { dataSource(id: $id) { snapshots { nodes { id number } } } }"
    nodes = (await source.asker.data(query, id=source.id))["dataSource"]["snapshots"]["nodes"]
    assert [node["number"] for node in nodes] == [2, 1]

    await do(source.asker, "restoreSnapshot", "snapshot { id }", id=nodes[1]["id"])
    assert await source.rows() == [[1, 1, "a"], [2, 2, "b"]]
    await source.run("DELETE FROM t WHERE id = 4")
    await source.sync()

    assert await source.rows() == [[1, 1, "a"], [2, 2, "b"], [3, 3, "c"]]
    receipt = (await source.seen())["snapshot"]["receipt"]
    assert (receipt["cursorFrom"], receipt["cursorTo"]) == ({"public.t": "2"}, {"public.t": "3"})
    assert (receipt["inserted"], receipt["unchanged"]) == (1, 1)
    assert first.manifest == (await Snapshot.get(id=first.id)).manifest


async def test_a_cursor_whose_type_changes_in_the_source_goes_on_being_one(
    source: Source, place: Place
) -> None:
    await source.connect(place, lookbackSeconds=0)
    for number, kind in enumerate(("date", "timestamp", "date"), start=3):
        was = "date '2026-01-01' + at" if number == 3 else "at"
        await source.run(f"ALTER TABLE t ALTER at TYPE {kind} USING ({was})::{kind}")
        await source.sync()  # which reads all rows, by another order than before
        await source.run(
            f"INSERT INTO t VALUES ({number}, '2026-02-0{number}', 'n')",
            "UPDATE t SET name = 'not seen' WHERE id = 1",
        )

        await source.sync()

        seen = await source.seen()
        assert (seen["status"], seen["error"]) == ("SYNCED", None)
        receipt = seen["snapshot"]["receipt"]
        assert (receipt["inserted"], receipt["updated"], receipt["rowsRead"]) == (1, 0, 2)
        assert len(await source.rows()) == number
        await source.run("UPDATE t SET name = 'a' WHERE id = 1")


async def test_an_append_keeps_rows_once_whose_column_becomes_a_text(
    source: Source, place: Place
) -> None:
    await source.connect(place, mode="APPEND", primaryKey=None, lookbackSeconds=10)
    await source.run(
        "ALTER TABLE t ADD a timestamptz, ADD b timestamp(3), ADD c date, ADD d float8",
        "UPDATE t SET at = 5, a = '2026-01-01 10:00+02', b = '2026-01-01 10:00:00.5', c = '2026-01-01', d = id",
    )
    await source.sync()
    before = await source.rows()
    await source.run("INSERT INTO t VALUES (3, 6, 'c', 'infinity', '-infinity', 'infinity', 0.5)")

    await source.sync()

    assert await source.rows() == [
        *before,
        [3, 6, "c", "infinity", "-infinity", "infinity", 0.5],
    ]
    receipt = (await source.seen())["snapshot"]["receipt"]
    assert (receipt["rowsRead"], receipt["inserted"]) == (3, 1)


@pytest.mark.parametrize("decision", ["releaseSnapshot", "discardSnapshot"])
async def test_drift_is_held_until_somebody_decides(
    source: Source, place: Place, decision: str
) -> None:
    await source.connect(place)
    await do(source.asker, "updateDataSource", "jobs { id }", id=source.id, driftPolicy="HOLD")
    await source.run("ALTER TABLE t ADD COLUMN more text", "INSERT INTO t VALUES (3, 3, 'c', 'm')")

    await source.sync()

    seen = await source.seen()
    held = seen["heldSnapshot"]
    assert held["drift"] == [{"column": "more", "change": "ADDED", "old": None, "new": "TEXT"}]
    assert (held["number"], seen["snapshot"]["number"]) == (2, 1)
    assert await source.rows() == [[1, 1, "a"], [2, 2, "b"]]
    asked = "snapshot { id }" if decision == "releaseSnapshot" else "dataSource { id }"
    await do(source.asker, decision, asked, id=held["id"])
    after = await source.seen()
    assert after["heldSnapshot"] is None
    if decision == "releaseSnapshot":
        assert await source.rows() == [[1, 1, "a", None], [2, 2, "b", None], [3, 3, "c", "m"]]
    else:
        assert await source.rows() == [[1, 1, "a"], [2, 2, "b"]]


async def test_drift_may_fail_the_sync_and_what_the_user_changes_is_none(
    source: Source, place: Place
) -> None:
    await source.connect(place)
    await do(source.asker, "updateDataSource", "jobs { id }", id=source.id, driftPolicy="FAIL")
    await source.run("ALTER TABLE t ADD COLUMN more text", "INSERT INTO t VALUES (3, 3, 'c', 'm')")

    await source.sync()

    seen = await source.seen()
    assert (seen["status"], seen["snapshot"]["number"]) == ("FAILED", 1)
    assert "'more' is new (TEXT)" in seen["error"]["message"]
    await do(
        source.asker, "updateDataSource", "jobs { id }",
        id=source.id, tables=[BY_ID | {"columns": ["id", "at"]}],
    )  # fmt: skip
    await work(source.asker.platform)
    assert await source.rows() == [[1, 1], [2, 2], [3, 3]]


async def test_rows_that_cannot_be_stored_are_set_aside_and_downloaded(
    platform: Platform, place: Place
) -> None:
    asker = Asker(platform, place.viewer)
    lines = b"".join(b"%d,%d\n" % (n, n) for n in range(30))
    upload = await put_upload(platform, place.project, "n.csv", b"a,b\n" + lines + b"x,1\n")
    file = {"objectKey": upload.object_key, "columnTypes": {"a": "INTEGER"}}
    sources = [
        {"name": "n", "connection": {"file": file}},
        {"name": "strict", "connection": {"file": file}, "quarantineRowsMax": 0},
    ]
    done = await do(
        asker, "connectDataSources", "dataSources { id }",
        projectId=place.project_id, sources=sources,
    )  # fmt: skip
    await work(platform)
    lenient, strict = (each["id"] for each in done["dataSources"])

    seen = (await asker.data(SEEN, id=lenient))["dataSource"]

    receipt = seen["snapshot"]["receipt"]
    assert (receipt["rowsRead"], receipt["inserted"], receipt["quarantined"]) == (31, 30, 1)
    assert seen["table"]["quarantinedRows"] == 1
    link = await do(asker, "presignDataSource", "url", id=lenient, format="QUARANTINE")
    assert "/n.quarantine.ndjson" in link["url"] or "name=n.quarantine.ndjson" in link["url"]
    seen = (await asker.data(SEEN, id=strict))["dataSource"]
    assert (seen["status"], seen["snapshot"]) == ("FAILED", None)
    assert "line 32" in seen["error"]["message"]
    assert await refusal(asker, "presignDataSource", id=strict, format="QUARANTINE") == (
        "CONFLICT", "input.id",
    )  # fmt: skip
