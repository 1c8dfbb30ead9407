"""Uploads: files that users brought, before and after a source takes them."""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model

from models.access import User
from models.projects import Project


class Upload(Model):
    """A complete file in the object store. Its key is made by the server; the user's file name is only shown."""

    id = fields.BigIntField(primary_key=True)
    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField(
        "models.Project", related_name="uploads", db_index=True
    )
    creator: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="uploads", null=True, on_delete=fields.SET_NULL
    )
    object_key = fields.CharField(max_length=300, unique=True)
    file_name = fields.CharField(max_length=255)
    size_bytes = fields.BigIntField()
    sha256 = fields.CharField(max_length=64)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "uploads"


class PartUpload(Model):
    """A file that is being uploaded in parts, straight to the object store.

    `part_bytes` is the size of every part but the last. `store_id` is the store's own name for it (S3's upload id).
    `upload` is the finished file; until then the parts go when it expires.
    """

    id = fields.BigIntField(primary_key=True)
    project: fields.ForeignKeyRelation[Project] = fields.ForeignKeyField(
        "models.Project", related_name="part_uploads", db_index=True
    )
    creator: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="part_uploads", null=True, on_delete=fields.SET_NULL
    )
    object_key = fields.CharField(max_length=300, unique=True)
    file_name = fields.CharField(max_length=255)
    size_bytes = fields.BigIntField()
    part_bytes = fields.BigIntField()
    store_id = fields.CharField(max_length=1_000, null=True)
    upload: fields.ForeignKeyNullableRelation[Upload] = fields.ForeignKeyField(
        "models.Upload", related_name="part_uploads", null=True, on_delete=fields.SET_NULL
    )
    created_at = fields.DatetimeField(auto_now_add=True)
    expires_at = fields.DatetimeField(db_index=True)

    class Meta:
        table = "part_uploads"
