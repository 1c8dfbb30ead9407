"""Snapshots: immutable, committed versions of a source's data."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.jobs import Job
from models.sources import DataSource


class SnapshotStatus(StrEnum):
    """Whether readers see a snapshot. HELD ones wait for a decision: PUBLISHED or DISCARDED, both final."""

    PUBLISHED = "published"
    HELD = "held"
    DISCARDED = "discarded"


class Snapshot(Model):
    """A manifest: readers see only what a committed row of this table names.

    `manifest` is `storage.snapshots.manifest.Manifest.to_json`, `receipt` the sync's books (`workers.receipts`).
    `base_id` is the snapshot that was current when this one was made, `restored_id` the one that it is a copy of.
    It was the current one from `published_at` on; `replaced_at` is kept only where retention took the one after it.
    `generation` is the one of the data source that it was read with.
    A derived one (`is_derived`) is what a script job made of one table of `base_id`. It is never the current one, and
    no sync goes on from it.
    `drift` is a list of `{table, column, change, old, new}`. A link is out there, or a download under way, until
    `pinned_until`. From `removed_at` on nobody sees the snapshot; its row and objects go some time after.
    """

    id = fields.BigIntField(primary_key=True)
    data_source: fields.ForeignKeyRelation[DataSource] = fields.ForeignKeyField(
        "models.DataSource", related_name="snapshots"
    )
    job: fields.ForeignKeyNullableRelation[Job] = fields.ForeignKeyField(
        "models.Job", related_name="snapshots", null=True, on_delete=fields.SET_NULL, db_index=True
    )
    number = fields.IntField()
    status = fields.CharEnumField(
        SnapshotStatus,
        max_length=32,
        default=SnapshotStatus.PUBLISHED,
        db_default=SnapshotStatus.PUBLISHED,
    )
    base_id = fields.BigIntField(null=True)  # no constraints: retention takes what they name
    restored_id = fields.BigIntField(null=True)
    is_derived = fields.BooleanField(default=False, db_default=False)
    drift: Any = fields.JSONField(default=list)
    generation = fields.IntField(default=0, db_default=0)
    pinned_until = fields.DatetimeField(null=True)
    removed_at = fields.DatetimeField(null=True)
    row_count = fields.BigIntField()
    size_bytes = fields.BigIntField()
    created_at = fields.DatetimeField(auto_now_add=True)
    published_at = fields.DatetimeField(auto_now_add=True)
    replaced_at = fields.DatetimeField(null=True)
    manifest: Any = fields.JSONField()  # large, so last: what is before is read without it
    receipt: Any = fields.JSONField()

    class Meta:
        table = "snapshots"
        unique_together = (("data_source", "number"),)
        indexes = (("data_source_id", "published_at", "id"), ("removed_at",))
