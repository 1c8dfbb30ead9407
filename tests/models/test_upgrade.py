"""A later migration changes what it says and nothing else: no row, index, constraint or reference is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tortoise.exceptions import IntegrityError, OperationalError

import models.database
from models import (
    ApiToken,
    IdempotencyKey,
    JobKind,
    JobLog,
    JobStep,
    Role,
    Schedule,
    Script,
    ScriptContract,
    Team,
    migrate,
)
from models.database import Database
from tests.factories import (
    make_job,
    make_membership,
    make_part_upload,
    make_snapshot,
    make_source,
    make_upload,
)
from tests.models import schema
from tests.models.history import History

CHANGES = """
    ops.AlterField("User", "username", fields.CharField(unique=True, max_length=199)),
    ops.AlterField("Membership", "role", fields.CharEnumField(enum_type=Role, description="", max_length=64)),
    ops.AddField("Project", "colour", fields.CharField(null=True, max_length=20, db_index=True)),
    ops.AddField("Project", "reviewer", fields.ForeignKeyField(
        "models.User", null=True, db_index=True, on_delete=fields.SET_NULL, related_name="reviewed")),
    ops.AddField("Job", "weight", fields.IntField(default=1, db_default=1)),
    ops.AlterField("Job", "trace_id", fields.CharField(null=True, max_length=64, db_index=True)),
    ops.RemoveField("Dataset", "creator"),
    ops.RenameField("Dataset", "description", "summary"),
    ops.RemoveField("Upload", "sha256"),
    ops.AddConstraint("Upload", UniqueConstraint(fields=("project", "file_name"))),
    ops.RemoveConstraint("JobStep", fields=["job", "position"]),
    ops.AddIndex("JobLog", Index(fields=["level"])),
    ops.AlterField("Snapshot", "number", fields.IntField(db_index=True)),
"""


async def _fill() -> None:
    """At least one row in every table, and in some tables a deleted one with the highest id."""
    membership = await make_membership()
    source = await make_source(creator=membership.user)
    job = await make_job(source, trace_id="trace")
    await make_snapshot(source, job=job)
    await make_upload(await source.project)
    await make_part_upload(await source.project)
    script = await Script.create(
        data_source=source, key="a.py", unique_key="1/a.py", contract=ScriptContract.GLOBAL,
        sha256="0" * 64, body="df = df",
    )  # fmt: skip
    await Schedule.create(
        project=await source.project, data_source=source, name="s", kind=JobKind.SYNC,
        cron="0 4 * * *", next_run_ms=1,
    )  # fmt: skip
    await JobStep.create(job=job, key="people", exec_order=0, position=0, script=script)
    await JobLog.create(job=job, level="INFO", message="it's; a log line")
    await IdempotencyKey.create(
        user=membership.user, operation="x", key="k", fingerprint="f", result={"ids": [1]}
    )
    await ApiToken.create(
        user=membership.user, name="t", prefix="hw_", secret_hash="h", role=Role.READ
    )
    await (await make_membership()).user.delete()


async def _rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    tables = await schema.read(database)
    run = database.connection.execute_query_dict
    return {name: await run(f'SELECT * FROM "{name}" ORDER BY id') for name in tables}


async def test_a_later_migration_keeps_every_row_and_changes_only_what_it_says(
    empty_url: str, history: History
) -> None:
    await migrate.upgrade(empty_url, migrations=history.package)
    async with models.database.open(empty_url) as database:
        await _fill()
        before, rows = await schema.read(database), await _rows(database)
    history.add("0002_changes", CHANGES)

    assert await migrate.upgrade(empty_url, migrations=history.package) == ["0002_changes"]

    async with models.database.open(empty_url) as database:
        assert await schema.read(database) == _changed(before, database.dialect)
        assert [table for table in rows if not rows[table]] == []
        assert await _rows(database) == _changed_rows(rows)


def _changed(before: schema.Schema, dialect: str) -> schema.Schema:
    integer = "INT" if dialect == "sqlite" else "integer"
    long_integer = "BIGINT" if dialect == "sqlite" else "bigint"
    changed = dict(before)
    changed["users"] = before["users"].with_columns(username=("VARCHAR(199)", False, None))
    changed["memberships"] = before["memberships"].with_columns(role=("VARCHAR(64)", False, None))
    changed["projects"] = replace(
        before["projects"].with_columns(
            colour=("VARCHAR(20)", True, None), reviewer_id=(long_integer, True, None)
        ),
        indexes=before["projects"].indexes | {(False, ("colour",)), (False, ("reviewer_id",))},
        keys=before["projects"].keys | {("reviewer_id", "users", "SET NULL")},
    )
    changed["jobs"] = replace(
        before["jobs"].with_columns(weight=(integer, False, "1")),
        indexes=before["jobs"].indexes | {(False, ("trace_id",))},
    )
    datasets = before["datasets"]
    changed["datasets"] = replace(
        datasets.without_columns("creator_id", "description").with_columns(
            summary=datasets.columns["description"]
        ),
        keys=datasets.keys - {("creator_id", "users", "SET NULL")},
    )
    uploads = before["uploads"].without_columns("sha256")
    changed["uploads"] = replace(
        uploads, indexes=uploads.indexes | {(True, ("project_id", "file_name"))}
    )
    steps, logs, snapshots = before["job_steps"], before["job_logs"], before["snapshots"]
    changed["job_steps"] = replace(steps, indexes=steps.indexes - {(True, ("job_id", "position"))})
    changed["job_logs"] = replace(logs, indexes=logs.indexes | {(False, ("level",))})
    changed["snapshots"] = replace(snapshots, indexes=snapshots.indexes | {(False, ("number",))})
    return changed


def _changed_rows(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    changed = {table: [dict(row) for row in found] for table, found in rows.items()}
    for project in changed["projects"]:
        project |= {"colour": None, "reviewer_id": None}
    for job in changed["jobs"]:
        job["weight"] = 1
    for dataset in changed["datasets"]:
        del dataset["creator_id"]
        dataset["summary"] = dataset.pop("description")
    for upload in changed["uploads"]:
        del upload["sha256"]
    return changed


ADDED = """
    ops.AlterField("Team", "name", fields.CharField(max_length=200, unique=True)),
    ops.AlterField("Job", "trace_id", fields.CharField(null=True, max_length=64, db_index=True)),
    ops.AddConstraint("Upload", UniqueConstraint(fields=("project", "file_name"))),
    ops.AddConstraint("Upload", CheckConstraint(name="not_negative", check="size_bytes >= 0")),
    ops.AddIndex("JobLog", Index(fields=["level"], name="by_level")),
    ops.AddField("User", "nick", fields.CharField(null=True, max_length=9, unique=True)),
"""
TAKEN_AWAY = """
    ops.AlterField("Team", "name", fields.CharField(max_length=200)),
    ops.AlterField("Job", "trace_id", fields.CharField(null=True, max_length=64)),
    ops.RemoveConstraint("Upload", fields=["project", "file_name"]),
    ops.RemoveConstraint("Upload", name="not_negative"),
    ops.RemoveIndex("JobLog", name="by_level"),
    ops.RemoveField("User", "nick"),
"""


async def test_what_one_migration_adds_a_later_one_can_take_away(
    empty_url: str, history: History
) -> None:
    await migrate.upgrade(empty_url, migrations=history.package)
    async with models.database.open(empty_url) as database:
        await _fill()
        before = await schema.read(database), await _rows(database)
    history.add("0002_added", ADDED)
    await migrate.upgrade(empty_url, migrations=history.package)
    async with models.database.open(empty_url) as database:
        added = await schema.read(database)
        for statement in (
            "UPDATE uploads SET size_bytes = -1",
            "INSERT INTO teams (name, created_at) SELECT name, created_at FROM teams",
        ):
            with pytest.raises((IntegrityError, OperationalError)):
                await database.connection.execute_query(statement)
    history.add("0003_taken_away", TAKEN_AWAY)

    await migrate.upgrade(empty_url, migrations=history.package)

    assert (True, ("nick",)) in added["users"].indexes
    assert (True, ("project_id", "file_name")) in added["uploads"].indexes
    async with models.database.open(empty_url) as database:
        assert (await schema.read(database), await _rows(database)) == before


async def test_removing_a_constraint_that_is_not_there_is_an_error(
    sqlite_url: str, history: History
) -> None:
    history.add(
        "0002_constraint", 'ops.AddConstraint("User", UniqueConstraint(fields=("email",))),'
    )
    history.add("0003_index", """ops.RunSQL("DROP INDEX uid_users_email_133a6f"),""")
    history.add("0004_constraint", 'ops.RemoveConstraint("User", fields=["email"]),')

    with pytest.raises(LookupError, match="users has no unique constraint on"):
        await migrate.upgrade(sqlite_url, migrations=history.package)


async def test_the_id_of_a_deleted_row_is_not_given_out_again_after_a_rebuild(
    empty_url: str, history: History
) -> None:
    await migrate.upgrade(empty_url, migrations=history.package)
    async with models.database.open(empty_url):
        await Team.create(name="first")
        gone = await Team.create(name="gone")
        await gone.delete()
    history.add("0002_wider", 'ops.AlterField("Team", "name", fields.CharField(max_length=300)),')

    await migrate.upgrade(empty_url, migrations=history.package)

    async with models.database.open(empty_url):
        assert (await Team.create(name="next")).id == gone.id + 1


async def test_a_failing_migration_undoes_those_before_it(empty_url: str, history: History) -> None:
    await migrate.upgrade(empty_url, migrations=history.package)
    async with models.database.open(empty_url) as database:
        await _fill()
        before = await schema.read(database), await _rows(database)
    history.add("0002_changes", CHANGES)
    history.add("0003_broken", 'ops.RunSQL("UPDATE users SET no_such_column = 1"),')

    with pytest.raises(OperationalError, match="no_such_column"):
        await migrate.upgrade(empty_url, migrations=history.package)

    async with models.database.open(empty_url) as database:
        assert (await schema.read(database), await _rows(database)) == before
        assert await migrate.is_current()


async def test_a_first_upgrade_that_fails_leaves_an_empty_database(
    empty_url: str, history: History
) -> None:
    history.add("0002_broken", 'ops.RunSQL("UPDATE users SET no_such_column = 1"),')

    with pytest.raises(OperationalError, match="no_such_column"):
        await migrate.upgrade(empty_url, migrations=history.package)

    async with models.database.open(empty_url) as database:
        assert await schema.read(database) == {}
        assert not await migrate.is_current()


async def test_a_migration_that_would_orphan_rows_is_undone(
    sqlite_template: Any, history: History, tmp_path: Any
) -> None:
    url = f"sqlite:///{tmp_path / 'headwater.db'}"
    await migrate.upgrade(url, migrations=history.package)
    async with models.database.open(url):
        await make_membership()
    history.add("0002_careless", 'ops.RunSQL("DELETE FROM users"),')

    with pytest.raises(migrate.ForeignKeysBroken, match=r"1 rows .* memberships → users"):
        await migrate.upgrade(url, migrations=history.package)

    async with models.database.open(url) as database:
        assert [len(found) for found in (await _rows(database)).values() if found] == [1, 1, 1]


async def test_a_schema_of_a_newer_release_is_refused(empty_url: str, history: History) -> None:
    history.add("0002_future", 'ops.AlterField("Team", "name", fields.CharField(max_length=300)),')
    await migrate.upgrade(empty_url, migrations=history.package)

    with pytest.raises(migrate.SchemaTooNew, match="0002_future"):
        await migrate.upgrade(empty_url)

    async with models.database.open(empty_url):
        assert not await migrate.is_current()


async def test_an_upgrade_says_what_it_does_and_does_it_once(empty_url: str) -> None:
    said: list[str] = []

    assert await migrate.upgrade(empty_url, said.append) == ["0001_initial"]
    assert await migrate.upgrade(empty_url, said.append) == []
    assert said == ["applying 0001_initial"]
    async with models.database.open(empty_url):
        assert await migrate.is_current()
