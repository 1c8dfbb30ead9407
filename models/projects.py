"""Projects: what a team works on; soft-deleted, reinstated, or removed for good."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.access import Team, User


class Project(Model):
    """A named body of work of one team."""

    id = fields.BigIntField(primary_key=True)
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField(
        "models.Team", related_name="projects"
    )
    creator: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="created_projects", null=True, on_delete=fields.SET_NULL
    )
    name = fields.CharField(max_length=200)
    description = fields.TextField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)
    deleted_at = fields.DatetimeField(null=True)

    class Meta:
        table = "projects"
        indexes = (
            ("team_id", "created_at", "id"),
            ("team_id", "name", "id"),
            ("created_at", "id"),
            ("name", "id"),
        )
