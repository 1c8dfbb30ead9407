"""Jobs: the one truth about background work. A broker message only says "look"."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.access import User
from models.projects import Project
from models.scripts import Script
from models.sources import DataSource


class JobKind(StrEnum):
    """What a job does."""

    SYNC = "sync"
    SCRIPT = "script"
    CLEANUP = "cleanup"
    EXPORT = "export"  # of the contract; nothing queues one, since exports are generated while they are sent


class JobStatus(StrEnum):
    """QUEUED → RUNNING (→ CANCELLING) → one of the three terminal states, which are final."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the job is over."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class Job(Model):
    """A unit of background work, claimed by lease and fenced.

    Times ending in `_ms` are milliseconds since 1970 by the database's clock, the only one that decides. `active_key`
    is unique while the job is not terminal and null after it: it keeps a second sync of one source out. `checkpoint` is
    what a next attempt needs to go on after the last durable batch. `error` is `{code, message, hint, at}`.

    `revision` goes up with every change that somebody may watch, at `changed_ms`. A script job reads the snapshot
    `input_snapshot_id`, which retention leaves alone while the job is active; `memo_key` is the hash of all that its
    result depends on, and `reused` says that it took the result of an earlier one. A job with a `parent` does one
    partition of that one's work, and is shown nowhere else.
    """

    id = fields.BigIntField(primary_key=True)
    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField(
        "models.Project", related_name="jobs"
    )
    data_source: fields.ForeignKeyNullableRelation[DataSource] = fields.ForeignKeyField(
        "models.DataSource", related_name="jobs", null=True
    )
    creator: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="created_jobs", null=True, on_delete=fields.SET_NULL
    )
    parent: fields.ForeignKeyNullableRelation[Job] = fields.ForeignKeyField(
        "models.Job", related_name="partitions", null=True, db_index=True
    )
    kind = fields.CharEnumField(JobKind, max_length=32)
    status = fields.CharEnumField(
        JobStatus, max_length=32, default=JobStatus.QUEUED, db_default=JobStatus.QUEUED
    )
    active_key = fields.CharField(max_length=100, null=True, unique=True)
    options: Any = fields.JSONField(default=dict)
    trace_id = fields.CharField(max_length=64, null=True)

    attempts = fields.IntField(default=0, db_default=0)
    # both since the last progress: transient failures, and attempts that ended without a word
    failures = fields.IntField(default=0, db_default=0)
    deaths = fields.IntField(default=0, db_default=0)
    fence = fields.BigIntField(default=0, db_default=0)
    worker = fields.CharField(max_length=100, null=True)
    priority = fields.IntField(default=0, db_default=0)
    run_after_ms = fields.BigIntField(default=0, db_default=0)
    lease_until_ms = fields.BigIntField(default=0, db_default=0)
    woken_at_ms = fields.BigIntField(default=0, db_default=0)
    cancel_requested = fields.BooleanField(default=False, db_default=False)
    revision = fields.BigIntField(default=0, db_default=0)
    changed_ms = fields.BigIntField(default=0, db_default=0, db_index=True)

    input_snapshot_id = fields.BigIntField(null=True)  # no constraint, as with `snapshot_id`
    memo_key = fields.CharField(max_length=64, null=True, db_index=True)
    reused = fields.BooleanField(default=False, db_default=False)

    rows_done = fields.BigIntField(default=0, db_default=0)
    rows_total = fields.BigIntField(null=True)
    bytes_done = fields.BigIntField(default=0, db_default=0)
    progress_message = fields.TextField(null=True)
    progress_at = fields.DatetimeField(null=True)
    checkpoint: Any = fields.JSONField(null=True)
    error: Any = fields.JSONField(null=True)
    snapshot_id = fields.BigIntField(null=True)  # what it committed

    created_at = fields.DatetimeField(auto_now_add=True)
    started_at = fields.DatetimeField(null=True)
    finished_at = fields.DatetimeField(null=True)

    class Meta:
        table = "jobs"
        indexes = (
            ("status", "run_after_ms", "id"),
            ("project_id", "created_at", "id"),
            ("data_source_id", "created_at", "id"),
            ("created_at", "id"),
        )


class JobStep(Model):
    """One step of a job; a sync has one per table. `error` is `{code, message, hint, at}`.

    Steps run in the order of `position`, which is that of `exec_order` and, where that is the same, of the input.
    A script step holds the `body` that it runs, with its `sha256`: `script` may be changed or deleted meanwhile.
    """

    id = fields.BigIntField(primary_key=True)
    job: fields.ForeignKeyRelation[Job] = fields.ForeignKeyField("models.Job", related_name="steps")
    key = fields.CharField(max_length=300)
    exec_order = fields.IntField()
    position = fields.IntField()
    script: fields.ForeignKeyNullableRelation[Script] = fields.ForeignKeyField(
        "models.Script", related_name="steps", null=True, on_delete=fields.SET_NULL, db_index=True
    )
    sha256 = fields.CharField(max_length=64, null=True)
    parameters: Any = fields.JSONField(default=dict)
    status = fields.CharEnumField(
        JobStatus, max_length=32, default=JobStatus.QUEUED, db_default=JobStatus.QUEUED
    )
    rows_in = fields.BigIntField(null=True)
    rows_out = fields.BigIntField(null=True)
    error: Any = fields.JSONField(null=True)
    started_at = fields.DatetimeField(null=True)
    finished_at = fields.DatetimeField(null=True)
    body = fields.TextField(null=True)  # large, so last: what is before is read without it

    class Meta:
        table = "job_steps"
        unique_together = (("job", "position"),)


class JobLog(Model):
    """One line of a job's log."""

    id = fields.BigIntField(primary_key=True)
    job: fields.ForeignKeyRelation[Job] = fields.ForeignKeyField("models.Job", related_name="logs")
    at = fields.DatetimeField(auto_now_add=True)
    level = fields.CharField(max_length=16)
    message = fields.TextField()
    step = fields.CharField(max_length=300, null=True)

    class Meta:
        table = "job_logs"
        indexes = (("job_id", "id"),)
