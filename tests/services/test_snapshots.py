"""Rows and links of stored tables: who gets them, and every way in which they can be refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unsupported,
)
from base.ids import public_id
from base.tables import Column, ColumnType, TableSchema
from models import DataSource, DataSourceType, Project, Role, Snapshot
from services import snapshots
from services.access import Viewer
from services.platform import Platform
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import Manifest, StoredTable
from storage.snapshots.writer import PartWriter
from tests import factories


@pytest.fixture
async def platform(platform: Platform) -> AsyncIterator[Platform]:
    yield platform
    platform.rows.close()


def stored_table(
    platform: Platform, prefix: str, name: str = "people", schema: str | None = None, rows: int = 10
) -> StoredTable:
    """A table of `rows` rows in parts of four."""
    with PartWriter(
        platform.store.scratch(), platform.store.adopt, f"{prefix}/{schema}-{name}", part_rows=4
    ) as writer:
        finished = []
        for start in range(0, rows, 4):
            numbers = list(range(start, min(start + 4, rows)))
            batch = pa.record_batch({"n": numbers, "name": [f"name {n}" for n in numbers]})
            finished += writer.write(batch)
        finished += writer.finish()
    columns = (Column("n", ColumnType.INTEGER), Column("name", ColumnType.TEXT))
    return StoredTable(TableSchema(name, columns, schema), tuple(each.part for each in finished))


async def synced(
    platform: Platform, source: DataSource, *tables: StoredTable, current: bool = True
) -> Snapshot:
    manifest = Manifest(tables or (stored_table(platform, f"snapshots/{source.id}/1-1"),))
    snapshot = await factories.make_snapshot(
        source, manifest=manifest.to_json(), row_count=manifest.row_count
    )
    if current:
        source.current_snapshot_id = snapshot.id
        await source.save()
    return snapshot


async def someone(project: Project, role: Role = Role.READ) -> Viewer:
    team = await project.team
    return (await factories.make_viewer(team, role)).acting(Role.READ)


def source_id(source: DataSource) -> str:
    return public_id("datasource", source.id)


def snapshot_id(snapshot: Snapshot) -> str:
    return public_id("snapshot", snapshot.id)


async def exported(platform: Platform, snapshot: Snapshot, kind: ExportFormat) -> bytes:
    chunks = await snapshots.export(platform, snapshot_id(snapshot), 0, kind)
    return b"".join([chunk async for chunk in chunks])


async def test_rows_are_filtered_ordered_and_paged(platform: Platform) -> None:
    stored = stored_table(platform, "snapshots/1/1-1")
    asked: dict[str, Any] = {
        "where": [("n", "ge", 3)],
        "order_by": [("n", True)],
        "columns": ["name"],
        "first": 4,
    }

    page = await snapshots.rows(platform, stored, **asked, count=True)
    rest = await snapshots.rows(platform, stored, **asked, after=page.end_cursor)

    assert orjson.loads(page.rows_json) == [["name 9"], ["name 8"], ["name 7"], ["name 6"]]
    assert (page.total, page.has_next, page.has_previous) == (7, True, False)
    assert orjson.loads(rest.rows_json) == [["name 5"], ["name 4"], ["name 3"]]
    assert (rest.total, rest.has_next, rest.has_previous) == (None, False, True)


async def test_rows_of_a_missing_part_are_not_found(platform: Platform) -> None:
    stored = stored_table(platform, "snapshots/1/1-1")
    await platform.store.delete(stored.parts[1].key)

    with pytest.raises(NotFound, match="'people' are no longer stored: its snapshot was removed"):
        await snapshots.rows(platform, stored, first=1)


async def test_the_original_is_linked_to_with_its_own_name(platform: Platform) -> None:
    upload = await factories.make_upload(file_name="Büro\r\n/2026.csv")
    source = await factories.make_source(
        await upload.project, settings={"object_key": upload.object_key}
    )

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a,b\n"

    await platform.store.put(upload.object_key, chunks(), bytes_max=10)
    viewer = await someone(await upload.project)

    before = int(datetime.now(UTC).timestamp())
    link = await snapshots.presign(platform, viewer, source_id(source), expires_in=60)
    after = int(datetime.now(UTC).timestamp())

    assert link.url.startswith(f"http://127.0.0.1:8000/files/{upload.object_key}?")
    assert "name=B%C3%BCro_2026.csv&" in link.url
    assert f"holder={source_id(source)}" in link.url
    assert before + 60 <= link.expires_at.timestamp() <= after + 60


async def test_a_table_in_one_part_is_linked_to_as_it_is(platform: Platform) -> None:
    source = await factories.make_source(name="People")
    stored = stored_table(platform, f"snapshots/{source.id}/1-1", rows=4)
    await synced(platform, source, stored)
    viewer = await someone(await source.project)

    link = await snapshots.presign(platform, viewer, source_id(source), format=ExportFormat.PARQUET)

    assert f"/files/{stored.parts[0].key}?name=People.parquet&" in link.url


async def test_a_name_that_says_its_format_says_it_once(platform: Platform) -> None:
    source = await factories.make_source(name="people.csv")
    await synced(platform, source, stored_table(platform, f"snapshots/{source.id}/1-1"))
    viewer = await someone(await source.project)

    csv = await snapshots.presign(platform, viewer, source_id(source), format=ExportFormat.CSV)
    jsonl = await snapshots.presign(platform, viewer, source_id(source), format=ExportFormat.JSONL)

    assert "name=people.csv&" in csv.url
    assert "name=people.csv.jsonl&" in jsonl.url


@pytest.mark.parametrize("kind", [ExportFormat.CSV, ExportFormat.JSONL, ExportFormat.PARQUET])
async def test_tables_are_exported_under_a_signed_link(
    platform: Platform, kind: ExportFormat
) -> None:
    source = await factories.make_source(name="People")
    snapshot = await synced(platform, source)
    viewer = await someone(await source.project)

    link = await snapshots.presign(platform, viewer, source_id(source), format=kind)
    body = await exported(platform, snapshot, kind)

    assert f"/exports/{snapshot_id(snapshot)}?table=0&format={kind}&name=People.{kind}" in link.url
    names = [f"name {n}" for n in range(10)]
    if kind is ExportFormat.PARQUET:
        assert pq.read_table(pa.BufferReader(body))["name"].to_pylist() == names
    elif kind is ExportFormat.CSV:
        assert body.decode().split("\r\n")[1:-1] == [f"{n},name {n}" for n in range(10)]
    else:
        assert [orjson.loads(line)["name"] for line in body.splitlines()] == names


async def test_one_of_several_tables_has_to_be_named(platform: Platform) -> None:
    source = await factories.make_source(name="Shop", type=DataSourceType.DATABASE, settings={})
    prefix = f"snapshots/{source.id}/1-1"
    snapshot = await synced(
        platform,
        source,
        stored_table(platform, prefix, "orders", "eu"),
        stored_table(platform, prefix, "orders", "us"),
        stored_table(platform, prefix, "people", "eu"),
    )
    viewer = await someone(await source.project)

    async def presign(table: str | None) -> str:
        link = await snapshots.presign(
            platform, viewer, source_id(source), format=ExportFormat.CSV, table=table
        )
        return link.url

    assert f"{snapshot_id(snapshot)}?table=2&format=csv&name=people.csv" in await presign("people")
    assert "?table=1&format=csv&name=orders.csv" in await presign("us.orders")
    for table, message, hint in (
        (None, "'Shop' has 3 tables: say which in `table`.", "It has orders, orders, people."),
        (
            "orders",
            "'Shop' has several tables 'orders': put the schema before the name.",
            "It has eu.orders, us.orders, eu.people.",
        ),
        ("nobody", "'Shop' has no table 'nobody'.", "It has orders, orders, people."),
    ):
        with pytest.raises(InvalidInput) as caught:
            await presign(table)
        assert (caught.value.message, caught.value.hint) == (message, hint)
        assert caught.value.field == "input.table"


async def test_an_older_snapshot_can_be_asked_for(platform: Platform) -> None:
    source = await factories.make_source()
    old = await synced(platform, source)
    await synced(platform, source, stored_table(platform, f"snapshots/{source.id}/2-1"))
    viewer = await someone(await source.project)

    link = await snapshots.presign(
        platform,
        viewer,
        source_id(source),
        format=ExportFormat.CSV,
        snapshot_id=snapshot_id(old),
    )

    assert snapshot_id(old) in link.url


async def test_what_a_viewer_may_not_see_is_not_found(platform: Platform) -> None:
    source = await factories.make_source()
    await synced(platform, source)
    other = await factories.make_source()
    foreign = await synced(platform, other)
    sibling = await factories.make_source(await source.project)
    of_sibling = await synced(platform, sibling)
    viewer = await someone(await source.project)
    csv = ExportFormat.CSV

    with pytest.raises(NotFound) as caught:
        await snapshots.presign(platform, viewer, source_id(other), format=csv)
    assert caught.value.field == "input.id"
    for snapshot in (foreign, of_sibling):
        with pytest.raises(NotFound) as caught:
            await snapshots.presign(
                platform,
                viewer,
                source_id(source),
                format=csv,
                snapshot_id=snapshot_id(snapshot),
            )
        assert caught.value.field == "input.snapshotId"
    with pytest.raises(Unauthenticated):
        await snapshots.presign(platform, None, source_id(source), format=csv)
    writing = viewer.acting(Role.WRITE)
    with pytest.raises(Forbidden):
        await snapshots.presign(platform, writing, source_id(source), format=csv)


REFUSED: list[tuple[Callable[[dict[str, Any]], dict[str, Any]], type[Exception], str, str]] = [
    (lambda _: {"expires_in": 59}, InvalidInput, "input.expiresIn", "60 to 604800 seconds"),
    (lambda _: {"expires_in": 604_801}, InvalidInput, "input.expiresIn", "60 to 604800 seconds"),
    (lambda _: {}, Unsupported, "input.format", "CSV, PARQUET or JSONL"),
    (lambda _: {"table": "people"}, InvalidInput, "input.table", "it has no table"),
    (lambda ids: {"snapshot_id": ids["snapshot"]}, InvalidInput, "input.snapshotId", "no snapshot"),
]


@pytest.mark.parametrize(("change", "error", "field", "text"), REFUSED)
async def test_what_cannot_be_linked_to_is_refused_with_a_reason(
    platform: Platform,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    error: type[Exception],
    field: str,
    text: str,
) -> None:
    source = await factories.make_source(type=DataSourceType.DATABASE, kind="postgresql")
    snapshot = await synced(platform, source)
    viewer = await someone(await source.project)

    with pytest.raises(error) as caught:
        await snapshots.presign(
            platform, viewer, source_id(source), **change({"snapshot": snapshot_id(snapshot)})
        )

    assert getattr(caught.value, "field", None) == field
    assert text in f"{caught.value} {getattr(caught.value, 'hint', '')}"


async def test_a_source_that_was_never_synced_has_no_export(platform: Platform) -> None:
    source = await factories.make_source(name="New")
    viewer = await someone(await source.project)

    with pytest.raises(Conflict, match="'New' has no snapshot yet") as caught:
        await snapshots.presign(platform, viewer, source_id(source), format=ExportFormat.CSV)

    assert caught.value.hint == "Sync it with `syncDataSources` first."


async def test_an_original_that_is_gone_is_not_found(platform: Platform) -> None:
    upload = await factories.make_upload()
    source = await factories.make_source(
        await upload.project, settings={"object_key": upload.object_key}
    )
    viewer = await someone(await source.project)

    with pytest.raises(NotFound, match="no longer stored"):
        await snapshots.presign(platform, viewer, source_id(source))


async def test_links_die_with_their_source_and_its_project(platform: Platform) -> None:
    source = await factories.make_source()
    snapshot = await synced(platform, source)
    project = await source.project
    now = datetime.now(UTC)

    assert await snapshots.is_alive(source_id(source))
    assert await exported(platform, snapshot, ExportFormat.CSV)
    await Project.filter(id=project.id).update(deleted_at=now)
    assert not await snapshots.is_alive(source_id(source))
    await Project.filter(id=project.id).update(deleted_at=None)
    await DataSource.filter(id=source.id).update(deleted_at=now)
    assert not await snapshots.is_alive(source_id(source))
    with pytest.raises(NotFound):
        await exported(platform, snapshot, ExportFormat.CSV)
    for unknown in ("", "datasource-x", public_id("datasource", 10**6)):
        assert not await snapshots.is_alive(unknown)
