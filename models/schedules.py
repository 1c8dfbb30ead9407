"""Schedules: syncs and script jobs by the clock."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.access import User
from models.jobs import JobKind
from models.projects import Project
from models.sources import DataSource


class Schedule(Model):
    """A cron expression in a time zone, and the job that each tick queues.

    `options` are those of the job: of a sync `{incremental, batch_rows}`, of scripts `{table, steps, reuse}` with the
    scripts' keys, whose bodies are those of the tick. `next_run_ms` is the next tick in milliseconds since 1970 by the
    database's clock; workers move it by compare-and-set in the transaction that queues the job. `error` is
    `{code, message, hint, at}` of the last tick, where it queued nothing.
    """

    id = fields.BigIntField(primary_key=True)
    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField(
        "models.Project", related_name="schedules"
    )
    data_source: fields.ForeignKeyRelation[DataSource] = fields.ForeignKeyField(
        "models.DataSource", related_name="schedules", db_index=True
    )
    creator: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="created_schedules", null=True, on_delete=fields.SET_NULL
    )
    name = fields.CharField(max_length=200)
    kind = fields.CharEnumField(JobKind, max_length=32)
    cron = fields.CharField(max_length=200)
    time_zone = fields.CharField(max_length=64, default="UTC", db_default="UTC")
    options: Any = fields.JSONField(default=dict)
    is_enabled = fields.BooleanField(default=True, db_default=True)
    next_run_ms = fields.BigIntField(db_index=True)
    last_run_at = fields.DatetimeField(null=True)
    last_job_id = fields.BigIntField(null=True)  # no constraint: retention takes jobs
    error: Any = fields.JSONField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)

    class Meta:
        table = "schedules"
        indexes = (("project_id", "created_at", "id"),)
