"""Datasets: groups of data sources within a project."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.access import User
from models.projects import Project


class Dataset(Model):
    """A group of data sources. Each project has one default dataset, which cannot be deleted."""

    id = fields.BigIntField(primary_key=True)
    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField(
        "models.Project", related_name="datasets"
    )
    creator: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="created_datasets", null=True, on_delete=fields.SET_NULL
    )
    name = fields.CharField(max_length=200)
    description = fields.TextField(null=True)
    is_default = fields.BooleanField(default=False, db_default=False)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)
    deleted_at = fields.DatetimeField(null=True)

    class Meta:
        table = "datasets"
        indexes = (
            ("project_id", "created_at", "id"),
            ("project_id", "name", "id"),
            ("created_at", "id"),
            ("name", "id"),
        )
