"""Data sources: where data comes from, and what became of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.access import User
from models.datasets import Dataset
from models.projects import Project


class DataSourceType(StrEnum):
    """The family of a source."""

    FILE = "file"
    DATABASE = "database"
    API = "api"


class DataSourceStatus(StrEnum):
    """What the last sync came to. Moves only together with a job, in one transaction, once there is a file.

    A source without one is a DRAFT until an update brings it, and never again.
    """

    DRAFT = "draft"
    PENDING = "pending"
    SYNCING = "syncing"
    SYNCED = "synced"
    FAILED = "failed"


class DriftPolicy(StrEnum):
    """What a sync does when a table's columns are not those of its last snapshot."""

    EVOLVE = "evolve"
    HOLD = "hold"
    FAIL = "fail"


class DataSource(Model):
    """A file, database or API that a project reads.

    `settings` is every public part of the connection, `secrets` the sealed rest (`Keyring` envelope, context
    `datasource:<id>:secrets`). `selections` is the list of table selections, empty for all tables. `tables` is the last
    introspection, a list of `TableSchema.to_json`. `error` is `{code, message, hint, at}` of the last failed sync.
    `held_snapshot_id` is the snapshot that waits for a decision, `derived_snapshot_id` the newest that a script made.
    `snapshots_kept` and `snapshots_kept_days` overrule the settings of the same names. `generation` goes up with each
    change of what is read or as what: rows of two generations are never put together.
    """

    id = fields.BigIntField(primary_key=True)
    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField(
        "models.Project", related_name="data_sources"
    )
    dataset: fields.ForeignKeyRelation[Dataset] = fields.ForeignKeyField(
        "models.Dataset", related_name="data_sources"
    )
    creator: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="created_data_sources", null=True, on_delete=fields.SET_NULL
    )
    name = fields.CharField(max_length=200)
    type = fields.CharEnumField(DataSourceType, max_length=32)
    kind = fields.CharField(max_length=32)
    status = fields.CharEnumField(
        DataSourceStatus,
        max_length=32,
        default=DataSourceStatus.PENDING,
        db_default=DataSourceStatus.PENDING,
    )
    scope = fields.CharField(max_length=64, default="user", db_default="user")
    settings: Any = fields.JSONField(default=dict)
    secrets = fields.TextField(null=True)
    selections: Any = fields.JSONField(default=list)
    metadata: Any = fields.JSONField(default=dict)
    tables: Any = fields.JSONField(default=list)
    error: Any = fields.JSONField(null=True)
    current_snapshot_id = fields.BigIntField(null=True)  # no constraint: snapshots point back here
    held_snapshot_id = fields.BigIntField(null=True)  # as above
    derived_snapshot_id = fields.BigIntField(null=True)  # as above
    snapshot_count = fields.IntField(default=0, db_default=0)
    drift_policy = fields.CharEnumField(
        DriftPolicy, max_length=32, default=DriftPolicy.EVOLVE, db_default=DriftPolicy.EVOLVE
    )
    quarantine_rows_max = fields.IntField(default=1_000, db_default=1_000)
    generation = fields.IntField(default=0, db_default=0)
    snapshots_kept = fields.IntField(null=True)
    snapshots_kept_days = fields.IntField(null=True)
    last_synced_at = fields.DatetimeField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)
    deleted_at = fields.DatetimeField(null=True)

    class Meta:
        table = "data_sources"
        indexes = (
            ("project_id", "created_at", "id"),
            ("project_id", "name", "id"),
            ("project_id", "status", "id"),
            ("dataset_id", "created_at", "id"),
            ("dataset_id", "name", "id"),
            ("dataset_id", "status", "id"),
            ("created_at", "id"),
            ("name", "id"),
            ("status", "id"),
        )
