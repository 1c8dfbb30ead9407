"""One statement a level, however many rows there are; nothing is read that is not selected."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from base.tables import TableSchema
from graph.context import Context
from graph.schema import schema
from graph.serialized import dumps
from models import DataSource, Job, JobLog, JobStatus, JobStep, Team
from models.database import Database
from services.platform import Platform
from storage.snapshots.manifest import Manifest, StoredTable
from tests import factories
from tests.graph.asking import Asker, statements

BOOKS: dict[str, Any] = {
    **dict.fromkeys(("rows_read", "inserted", "updated", "unchanged", "deleted", "quarantined"), 0),
    "balanced": True,
    "cursor_from": None,
    "cursor_to": None,
    "files": [],
}
MANIFEST = Manifest((StoredTable(TableSchema("t", ()), ()),)).to_json()


async def grow(team: Team, sources: int) -> None:
    """Sources in several datasets and projects, each with snapshots, jobs, steps and logs."""
    user = await factories.make_user()
    for _ in range(2):
        project = await factories.make_project(team, creator=user)
        dataset = await factories.make_dataset(project, creator=user)
        for index in range(sources // 2):
            source = await factories.make_source(
                project, dataset, creator=user, tables=[TableSchema("found", ()).to_json()]
            )
            job = await factories.make_job(source, status=JobStatus.SUCCEEDED)
            await factories.make_schedule(source, creator=user, last_job_id=job.id)
            script = await factories.make_script(source)
            await JobStep.create(job=job, key="t", exec_order=1, position=1, script=script)
            await JobLog.create(job=job, level="info", message="m", at=datetime.now(UTC))
            if index % 2:
                snapshot = await factories.make_snapshot(
                    source, job=job, manifest=MANIFEST, receipt=BOOKS
                )
                restored = await factories.make_snapshot(
                    source,
                    base_id=snapshot.id,
                    restored_id=snapshot.id,
                    manifest=MANIFEST,
                    receipt=BOOKS,
                )
                derived = await factories.make_snapshot(
                    source, is_derived=True, base_id=snapshot.id, manifest=MANIFEST, receipt=BOOKS
                )
                await Job.filter(id=job.id).update(input_snapshot_id=snapshot.id)
                await DataSource.filter(id=source.id).update(
                    current_snapshot_id=snapshot.id,
                    held_snapshot_id=restored.id,
                    derived_snapshot_id=derived.id,
                )


CHILDREN = """{ dataSources(first: 100) { totalCount pageInfo { endCursor } nodes {
  id pk name type status scope metadata createdAt error { code } connection { kind settings }
  creator { username } dataset { name statusCounts { synced } } project { name }
  tables { name } table { name columns { name } } snapshot { number tables { name } receipt { rowsRead } }
  snapshots(first: 2) { totalCount nodes { number status drift { column } base { number } restoredFrom { number } } }
  heldSnapshot { number } derivedSnapshot { number derivedFrom { number } } scripts { key sha256 }
  schedules(first: 2) { nodes { name nextRunAt work { sync { incremental } } lastJob { status } creator { username } } }
  jobs(first: 2) { nodes { status reused inputSnapshot { number } steps { key script { key } }
    logs(first: 5) { lines { message } } } } } } }"""


async def test_a_hundred_sources_with_all_their_children_take_as_many_statements_as_four(
    platform: Platform, database: Database
) -> None:
    small, large = await factories.make_team(), await factories.make_team()
    await grow(small, 4)
    await grow(large, 100)

    counts = []
    for team, number in ((small, 4), (large, 100)):
        asker = Asker(platform, await factories.make_viewer(team))
        async with statements(database) as sent:
            page = (await asker.data(CHILDREN))["dataSources"]
        assert len(page["nodes"]) == page["totalCount"] == number
        assert all(node["jobs"]["nodes"][0]["steps"][0]["key"] == "t" for node in page["nodes"])
        assert sum(node["snapshot"] is not None for node in page["nodes"]) == number // 2
        counts.append(len(sent))

    assert counts == [25, 25]


async def test_graphql_cores_own_executor_gives_the_same_answer(platform: Platform) -> None:
    team = await factories.make_team()
    await grow(team, 6)
    viewer = await factories.make_viewer(team)

    stock = await schema.execute(CHILDREN, context_value=Context(viewer, platform))

    assert stock.errors is None
    ours = await Asker(platform, viewer).data(CHILDREN)
    assert orjson.loads(dumps(stock.data)) == ours


NESTED = """{ projects(first: 10) { nodes { name datasets(first: 5) { nodes { name
  dataSources(first: 5) { nodes { name jobs(first: 1) { nodes { status } } } } } } } } }"""


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("{ viewer { username } }", 1),
        ("{ projects { nodes { name } } }", 1),
        ("{ projects { totalCount } }", 1),
        ("{ projects { totalCount nodes { name } pageInfo { hasNextPage } } }", 2),
        ("{ dataSources { nodes { name } } }", 1),
        (
            "{ dataSources { nodes { dataset { name } } edges { node { dataset { id } project { id } } } } }",
            3,
        ),
        ("{ a: projects { nodes { name } } b: projects { nodes { name } } }", 2),
        (NESTED, 4),
        ("{ schedules { nodes { name work { job { steps { key } } } lastError { code } } } }", 1),
        ("{ projects { nodes { schedules { totalCount nodes { dataSource { name } } } } } }", 4),
        ("{ defaultProject { name } }", 2),
        ('{ user(username: "nobody") { username } }', 1),
        ('{ projects { nodes { team { name member(username: "nobody") { role } } } } }', 3),
    ],
)
async def test_a_level_is_a_statement(
    platform: Platform, database: Database, query: str, number: int
) -> None:
    team = await factories.make_team()
    await grow(team, 4)
    asker = Asker(platform, await factories.make_viewer(team))

    async with statements(database) as sent:
        await asker.data(query)

    assert len(sent) == number, sent


async def test_only_selected_columns_are_read(platform: Platform, database: Database) -> None:
    team = await factories.make_team()
    await grow(team, 2)
    asker = Asker(platform, await factories.make_viewer(team))

    async with statements(database) as sent:
        await asker.data("{ dataSources { nodes { name } } }")

    (statement,) = sent
    columns: Any = statement.partition(" FROM ")[0]
    assert columns.partition("SELECT ")[2] == '"id", "name"'
