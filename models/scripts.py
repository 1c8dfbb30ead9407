"""Scripts: Python that users run over the tables of a source."""

from __future__ import annotations

from enum import StrEnum

from tortoise import fields
from tortoise.models import Model

from models.access import User
from models.sources import DataSource


class ScriptContract(StrEnum):
    """How a script is called, told apart by what it defines (`workers.sandbox.contracts`)."""

    DATAFRAME = "dataframe"  # def run(df) or run(df, context)
    BATCHES = "batches"  # def run_batches(batches) or run_batches(batches, context)
    GLOBAL = "global"  # finds a global `df` and leaves its result in it


class Script(Model):
    """A script of a source, or without one a predefined script that ships with Headwater (its key begins `local:`).

    `unique_key` is `<data source id>/<key>`, for predefined ones `/<key>`: a unique pair with a null would not be one.
    """

    id = fields.BigIntField(primary_key=True)
    data_source: fields.ForeignKeyNullableRelation[DataSource] = fields.ForeignKeyField(
        "models.DataSource", related_name="scripts", null=True, db_index=True
    )
    creator: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="created_scripts", null=True, on_delete=fields.SET_NULL
    )
    key = fields.CharField(max_length=300)
    unique_key = fields.CharField(max_length=330, unique=True)
    contract = fields.CharEnumField(ScriptContract, max_length=32)
    sha256 = fields.CharField(max_length=64)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now=True)
    body = fields.TextField()  # large, so last: what is before is read without it

    class Meta:
        table = "scripts"
