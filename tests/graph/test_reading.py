"""What the types show: values, relations, filters, and null for what is not there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.ids import public_id
from base.tables import Column, ColumnType, TableSchema
from models import (
    DataSource,
    DataSourceStatus,
    DataSourceType,
    JobLog,
    JobStatus,
    JobStep,
    Project,
    Role,
    Snapshot,
    User,
)
from services.platform import Platform
from storage.snapshots.manifest import Manifest, Part, StoredTable
from tests import factories
from tests.graph.asking import Asker

AT = datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)
ERROR = {"code": "CONNECTION_FAILED", "message": "No answer.", "hint": "Try.", "at": AT.isoformat()}
PEOPLE = TableSchema(
    "people",
    (
        Column("id", ColumnType.INTEGER, "bigint", nullable=False, primary_key=True),
        Column("name", ColumnType.TEXT, inference="text: 2 values"),
    ),
    schema="public",
    row_estimate=7,
    cursor_column="id",
)
PART = Part("snapshots/1/1-1/0.parquet", 5, 100, "ab" * 32)
MANIFEST = Manifest((StoredTable(PEOPLE, (PART, PART)),))
FILE = {"table": "public.people", "rows": 5, "size_bytes": 100, "sha256": "ab" * 32}
BOOKS = {
    "rows_read": 10,
    "inserted": 9,
    "updated": 0,
    "unchanged": 0,
    "deleted": 2,
    "quarantined": 1,
    "balanced": True,
    "cursor_from": None,
    "cursor_to": {"id": 7},
    "files": [FILE, FILE],
}


async def member(source: DataSource, role: Role = Role.READ) -> Any:
    project = await Project.get(id=source.project_id).prefetch_related("team")  # type: ignore[attr-defined]
    return await factories.make_viewer(project.team, role)


async def test_a_data_source_shows_what_is_public_of_it(platform: Platform) -> None:
    ada = await factories.make_user("ada")
    source = await factories.make_source(
        name="s",
        creator=ada,
        type=DataSourceType.DATABASE,
        kind="postgresql",
        status=DataSourceStatus.FAILED,
        scope="mine",
        settings={"host": "db", "port": 5432},
        secrets="sealed-canary",
        metadata={"tags": ["a", None, 1.5]},
        error=ERROR,
        last_synced_at=AT,
    )
    await DataSource.filter(id=source.id).update(created_at=AT, updated_at=AT)
    query = """query ($id: ID!) { dataSource(id: $id) {
      id pk name type status scope error { code message hint at } connection { kind settings hasSecret }
      metadata createdAt updatedAt lastSyncedAt creator { username } dataset { pk } project { pk } } }"""
    asker = Asker(platform, await member(source))

    answer = await asker.answer(query, id=public_id("datasource", source.id))

    moment = "2026-03-04T05:06:07.891Z"
    assert answer["data"]["dataSource"] == {
        "id": public_id("datasource", source.id),
        "pk": source.id,
        "name": "s",
        "type": "DATABASE",
        "status": "FAILED",
        "scope": "mine",
        "error": ERROR | {"at": moment},
        "connection": {
            "kind": "postgresql",
            "settings": {"host": "db", "port": 5432},
            "hasSecret": True,
        },
        "metadata": {"tags": ["a", None, 1.5]},
        "createdAt": moment,
        "updatedAt": moment,
        "lastSyncedAt": moment,
        "creator": {"username": "ada"},
        "dataset": {"pk": source.dataset_id},  # type: ignore[attr-defined]
        "project": {"pk": source.project_id},  # type: ignore[attr-defined]
    }
    assert "canary" not in str(answer)


TABLES = """query ($id: ID!) { dataSource(id: $id) { tables {
  name schema rowCount sizeBytes primaryKey cursorColumn
  columns { name type nativeType nullable primaryKey inference } } } }"""
COLUMNS = [
    {
        "name": "id",
        "type": "INTEGER",
        "nativeType": "bigint",
        "nullable": False,
        "primaryKey": True,
        "inference": None,
    },
    {
        "name": "name",
        "type": "TEXT",
        "nativeType": None,
        "nullable": True,
        "primaryKey": False,
        "inference": "text: 2 values",
    },
]


async def test_tables_are_those_of_the_current_snapshot_else_those_found(
    platform: Platform,
) -> None:
    source = await factories.make_source(tables=[PEOPLE.to_json()])
    asker = Asker(platform, await member(source))
    public = public_id("datasource", source.id)
    table = {
        "name": "people",
        "schema": "public",
        "rowCount": 7,
        "sizeBytes": None,
        "primaryKey": ["id"],
        "cursorColumn": "id",
        "columns": COLUMNS,
    }

    before = await asker.data(TABLES, id=public)
    snapshot = await factories.make_snapshot(source, manifest=MANIFEST.to_json())
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    after = await asker.data(TABLES, id=public)

    assert before["dataSource"]["tables"] == [table]
    assert after["dataSource"]["tables"] == [table | {"rowCount": 10, "sizeBytes": 200}]


async def test_one_table_needs_no_name_and_an_unknown_one_is_null(platform: Platform) -> None:
    other = TableSchema("other", ())
    one = await factories.make_source(tables=[PEOPLE.to_json()])
    two = await factories.make_source(tables=[PEOPLE.to_json(), other.to_json()])
    none = await factories.make_source()
    query = (
        "query ($id: ID!, $name: String) { dataSource(id: $id) { table(name: $name) { name } } }"
    )

    async def table(source: DataSource, name: str | None = None) -> Any:
        asker = Asker(platform, await member(source))
        answer = await asker.answer(query, id=public_id("datasource", source.id), name=name)
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        return answer["data"]["dataSource"]["table"]

    assert await table(one) == await table(two, "people") == {"name": "people"}
    assert await table(two, "other") == {"name": "other"}
    assert await table(one, "nope") is None
    assert await table(none) is None
    assert await table(two) == "INVALID_INPUT"


async def test_tables_of_the_same_name_are_told_apart_by_their_schemas(platform: Platform) -> None:
    other = TableSchema("people", (), schema="archive")
    source = await factories.make_source(tables=[PEOPLE.to_json(), other.to_json()])
    asker = Asker(platform, await member(source))
    query = "query ($id: ID!, $name: String) { dataSource(id: $id) { table(name: $name) { name schema } } }"

    async def table(name: str) -> Any:
        answer = await asker.data(query, id=public_id("datasource", source.id), name=name)
        return answer["dataSource"]["table"]

    assert await table("public.people") == {"name": "people", "schema": "public"}
    assert await table("archive.people") == {"name": "people", "schema": "archive"}
    assert await table("nope.people") is None

    answer = await asker.answer(query, id=public_id("datasource", source.id), name="people")
    (error,) = answer["errors"]
    assert error["message"] == "There are several tables 'people': put the schema before the name."
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert error["extensions"]["hint"] == "There is public.people, archive.people."


async def test_rows_of_a_table_that_was_never_synced_are_a_conflict(platform: Platform) -> None:
    source = await factories.make_source(tables=[PEOPLE.to_json()])
    asker = Asker(platform, await member(source))
    query = "query ($id: ID!) { dataSource(id: $id) { table { rows { rows } } } }"

    assert (await asker.code(query, id=public_id("datasource", source.id)))[0] == "CONFLICT"


async def test_a_snapshot_shows_its_books(platform: Platform) -> None:
    source = await factories.make_source()
    job = await factories.make_job(source, status=JobStatus.SUCCEEDED)
    snapshot = await factories.make_snapshot(
        source, job=job, row_count=10, size_bytes=200, manifest=MANIFEST.to_json(), receipt=BOOKS
    )
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    query = """query ($id: ID!) { dataSource(id: $id) { snapshot {
      id number rowCount sizeBytes dataSource { pk } job { pk } tables { name rowCount }
      receipt { rowsRead inserted updated unchanged deleted quarantined balanced cursorFrom cursorTo
        files { table rows sizeBytes sha256 } } } } }"""
    asker = Asker(platform, await member(source))

    shown = (await asker.data(query, id=public_id("datasource", source.id)))["dataSource"][
        "snapshot"
    ]

    file = {"table": "public.people", "rows": 5, "sizeBytes": 100, "sha256": "ab" * 32}
    assert shown == {
        "id": public_id("snapshot", snapshot.id),
        "number": 1,
        "rowCount": 10,
        "sizeBytes": 200,
        "dataSource": {"pk": source.id},
        "job": {"pk": job.id},
        "tables": [{"name": "people", "rowCount": 10}],
        "receipt": {
            "rowsRead": 10,
            "inserted": 9,
            "updated": 0,
            "unchanged": 0,
            "deleted": 2,
            "quarantined": 1,
            "balanced": True,
            "cursorFrom": None,
            "cursorTo": {"id": 7},
            "files": [file, file],
        },
    }


async def test_a_snapshot_is_found_by_id_by_time_or_as_the_current_one(platform: Platform) -> None:
    source = await factories.make_source()
    made = [await factories.make_snapshot(source) for _ in range(3)]
    for index, snapshot in enumerate(made):
        await Snapshot.filter(id=snapshot.id).update(published_at=AT + timedelta(days=index))
    await DataSource.filter(id=source.id).update(current_snapshot_id=made[2].id)
    foreign = await factories.make_snapshot()
    asker = Asker(platform, await member(source))
    query = """query ($id: ID!, $snapshot: ID, $asOf: DateTime) {
      dataSource(id: $id) { snapshot(id: $snapshot, asOf: $asOf) { number } } }"""
    public = public_id("datasource", source.id)

    async def number(**arguments: Any) -> int | None:
        shown = (await asker.data(query, id=public, **arguments))["dataSource"]["snapshot"]
        return None if shown is None else shown["number"]

    def iso(days: float) -> str:
        return (AT + timedelta(days=days)).isoformat()

    assert await number() == 3
    assert await number(snapshot=public_id("snapshot", made[0].id)) == 1
    assert await number(snapshot=public_id("snapshot", foreign.id)) is None
    assert await number(snapshot=public_id("job", made[0].id)) is None
    assert await number(snapshot="nonsense") is None
    assert [await number(asOf=iso(days)) for days in (-0.5, 0, 0.5, 1, 9)] == [None, 1, 1, 2, 3]
    both = {"snapshot": public_id("snapshot", made[0].id), "asOf": iso(0)}
    assert await asker.code(query, id=public, **both) == ("INVALID_INPUT", "asOf")


async def test_snapshots_and_jobs_are_newest_first(platform: Platform) -> None:
    source = await factories.make_source()
    for _ in range(3):
        await factories.make_snapshot(source)
    jobs = [await factories.make_job(source, status=JobStatus.FAILED) for _ in range(3)]
    query = """query ($id: ID!) { dataSource(id: $id) {
      snapshots(first: 2) { nodes { number } totalCount pageInfo { hasNextPage } }
      jobs(first: 2, filter: {status: [FAILED]}) { nodes { pk } totalCount }
      none: jobs(filter: {status: [QUEUED]}) { totalCount } } }"""
    asker = Asker(platform, await member(source))

    shown = (await asker.data(query, id=public_id("datasource", source.id)))["dataSource"]

    assert shown == {
        "snapshots": {
            "nodes": [{"number": 3}, {"number": 2}],
            "totalCount": 3,
            "pageInfo": {"hasNextPage": True},
        },
        "jobs": {"nodes": [{"pk": jobs[2].id}, {"pk": jobs[1].id}], "totalCount": 3},
        "none": {"totalCount": 0},
    }


async def test_a_job_shows_its_progress_steps_and_log(platform: Platform) -> None:
    source = await factories.make_source()
    snapshot = await factories.make_snapshot(source)
    job = await factories.make_job(
        source,
        status=JobStatus.RUNNING,
        attempts=2,
        rows_done=50,
        rows_total=200,
        bytes_done=7,
        progress_message="people",
        progress_at=AT,
        started_at=AT,
        error=ERROR,
        snapshot_id=snapshot.id,
    )
    for order in (2, 1):
        await JobStep.create(
            job=job,
            key=f"t{order}",
            exec_order=order,
            position=order,
            rows_in=order,
            error=ERROR if order == 2 else None,
        )
    for index in range(3):
        await JobLog.create(job=job, level="info", message=f"line {index}", step="t1")
    query = """query ($id: ID!, $after: String) { job(id: $id) {
      id pk kind status attempts startedAt finishedAt project { pk } dataSource { pk } snapshot { number }
      progress { fraction rowsDone rowsTotal bytesDone message updatedAt } error { code }
      steps { key execOrder status rowsIn rowsOut error { code } }
      logs(first: 2, after: $after) { lines { level message step } pageInfo { hasNextPage endCursor } } } }"""
    asker = Asker(platform, await member(source))
    public = public_id("job", job.id)

    shown = (await asker.data(query, id=public))["job"]
    rest = await asker.data(query, id=public, after=shown["logs"]["pageInfo"].pop("endCursor"))

    moment = "2026-03-04T05:06:07.891Z"
    step = {"status": "QUEUED", "rowsOut": None}
    assert shown == {
        "id": public,
        "pk": job.id,
        "kind": "SYNC",
        "status": "RUNNING",
        "attempts": 2,
        "startedAt": moment,
        "finishedAt": None,
        "project": {"pk": source.project_id},  # type: ignore[attr-defined]
        "dataSource": {"pk": source.id},
        "snapshot": {"number": 1},
        "progress": {
            "fraction": 0.25,
            "rowsDone": 50,
            "rowsTotal": 200,
            "bytesDone": 7,
            "message": "people",
            "updatedAt": moment,
        },
        "error": {"code": "CONNECTION_FAILED"},
        "steps": [
            step | {"key": "t1", "execOrder": 1, "rowsIn": 1, "error": None},
            step
            | {"key": "t2", "execOrder": 2, "rowsIn": 2, "error": {"code": "CONNECTION_FAILED"}},
        ],
        "logs": {
            "lines": [
                {"level": "info", "message": f"line {index}", "step": "t1"} for index in (0, 1)
            ],
            "pageInfo": {"hasNextPage": True},
        },
    }
    assert rest["job"]["logs"]["lines"] == [{"level": "info", "message": "line 2", "step": "t1"}]


@pytest.mark.parametrize(
    ("status", "done", "total", "fraction"),
    [
        (JobStatus.QUEUED, 0, None, None),
        (JobStatus.RUNNING, 5, None, None),
        (JobStatus.RUNNING, 5, 0, None),
        (JobStatus.RUNNING, 30, 20, 1.0),
        (JobStatus.SUCCEEDED, 5, None, 1.0),
        (JobStatus.FAILED, 5, 20, 0.25),
    ],
)
async def test_a_fraction_is_told_only_where_the_whole_is_known(
    platform: Platform, status: JobStatus, done: int, total: int | None, fraction: float | None
) -> None:
    source = await factories.make_source()
    job = await factories.make_job(source, status=status, rows_done=done, rows_total=total)
    asker = Asker(platform, await member(source))
    query = "query ($id: ID!) { job(id: $id) { progress { fraction } } }"

    shown = await asker.data(query, id=public_id("job", job.id))

    assert shown["job"]["progress"]["fraction"] == fraction


async def test_a_dataset_counts_its_sources_by_state(platform: Platform) -> None:
    project = await factories.make_project()
    full = await factories.make_dataset(project)
    await factories.make_dataset(project)
    for status in ("failed", "failed", "synced", "pending"):
        source = await factories.make_source(project, full, status=status)
    await DataSource.filter(id=source.id).update(deleted_at=AT)
    viewer = await factories.make_viewer(await project.team)
    query = "{ datasets { nodes { statusCounts { pending syncing synced failed } } } }"

    shown = (await Asker(platform, viewer).data(query))["datasets"]["nodes"]

    none = {"pending": 0, "syncing": 0, "synced": 0, "failed": 0}
    assert [each["statusCounts"] for each in shown] == [none | {"synced": 1, "failed": 2}, none]


async def test_the_viewer_sees_teams_and_own_tokens(platform: Platform) -> None:
    user = await factories.make_user("ada", email="ada@example.org")
    team = await factories.make_team("Analytics")
    viewer = await factories.make_viewer(team, Role.WRITE, user=user)
    colleague = await factories.make_user("bob")
    await factories.make_membership(colleague, team, Role.READ)
    project = await factories.make_project(team)
    await factories.make_token(user, Role.READ, name="old", revoked_at=AT)
    await factories.make_token(user, Role.READ, name="one", project=project, expires_at=AT)
    await factories.make_token(colleague, name="his")
    query = """{ viewer { id username email isStaff tokens { name role expiresAt lastUsedAt project { pk } }
      teams { role user { username } team { name members { role user { username tokens { name } } } } } } }"""

    shown = (await Asker(platform, viewer).data(query))["viewer"]

    token = {
        "name": "one",
        "role": "READ",
        "expiresAt": "2026-03-04T05:06:07.891Z",
        "lastUsedAt": None,
        "project": {"pk": project.id},
    }
    members = [
        {"role": "WRITE", "user": {"username": "ada", "tokens": [{"name": "one"}]}},
        {"role": "READ", "user": {"username": "bob", "tokens": []}},
    ]
    assert shown == {
        "id": public_id("user", user.id),
        "username": "ada",
        "email": "ada@example.org",
        "isStaff": False,
        "tokens": [token],
        "teams": [
            {
                "role": "WRITE",
                "user": {"username": "ada"},
                "team": {"name": "Analytics", "members": members},
            }
        ],
    }


async def test_server_info_needs_no_token_and_tells_the_truth(platform: Platform) -> None:
    query = "{ serverInfo { version sandbox limits connectionKinds fileExtensions } }"

    shown = (await Asker(platform, None).data(query))["serverInfo"]

    assert shown["sandbox"].startswith("strict: ")
    assert shown["limits"]["uploadBytesMax"] == platform.settings.upload_bytes_max
    assert shown["limits"]["pageRowsMax"] == 200
    scripts = (
        "scriptSecondsMax",
        "scriptMemoryBytesMax",
        "scriptOutputBytesMax",
        "scriptLogBytesMax",
    )
    kept = {"snapshotsKept": 20, "snapshotsKeptDays": 30, "jobLogsKeptDays": 30, "jobsKeptDays": 90}
    assert set(scripts) <= shown["limits"].keys()
    assert {name: shown["limits"].get(name) for name in kept} == kept
    assert {"csv", "postgresql", "mysql", "sqlite"} <= set(shown["connectionKinds"])
    assert {".csv", ".xlsx", ".parquet"} <= set(shown["fileExtensions"])
    assert await User.all().count() == 0
