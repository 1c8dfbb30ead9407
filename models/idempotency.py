"""Idempotency keys: the answer that a repeated request gets again."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.access import User


class IdempotencyKey(Model):
    """One key of one user for one operation: `fingerprint` is the input's SHA-256, `result` the ids of the answer."""

    id = fields.BigIntField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="idempotency_keys"
    )
    operation = fields.CharField(max_length=64)
    key = fields.CharField(max_length=200)
    fingerprint = fields.CharField(max_length=64)
    result: Any = fields.JSONField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "idempotency_keys"
        unique_together = (("user", "operation", "key"),)
