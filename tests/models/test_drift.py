"""The migrations and the models describe the same schema."""

from __future__ import annotations

from tortoise import Model
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector

import models
from models import database as databases
from models import migrate
from tests.models import schema


async def test_migrated_and_generated_schemas_do_not_differ(empty_url: str) -> None:
    await migrate.upgrade(empty_url)
    async with databases.open(empty_url) as database:
        migrated = await schema.read(database)
        await schema.drop(database)
        assert await schema.read(database) == {}
        await database.context.generate_schemas()
        generated = await schema.read(database)

    assert len(generated) == len(_model_classes())
    assert migrated == generated


async def test_there_is_no_migration_left_to_make() -> None:
    settings = databases.config("sqlite:///unused")
    async with TortoiseContext() as context:
        await context.init(config=settings, init_connections=False)
        assert context.apps is not None
        missing = await MigrationAutodetector(context.apps, settings["apps"]).changes()

    assert [writer.as_string() for writer in missing] == []


async def test_the_first_migration_is_all_there_is_and_known_by_name() -> None:
    assert sorted(migrate.migration_names()) == ["0001_initial"]


def test_every_module_of_models_is_configured() -> None:
    assert {model.__module__ for model in _model_classes()} == set(databases.MODULES)


def _model_classes() -> list[type[Model]]:
    exported = [getattr(models, name) for name in models.__all__]
    return [what for what in exported if isinstance(what, type) and issubclass(what, Model)]
