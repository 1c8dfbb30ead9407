"""A package of migrations that a test adds to, as if releases had passed."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from textwrap import dedent, indent

INITIAL = Path(__file__).parents[2] / "models" / "migrations" / "0001_initial.py"
MIGRATION = """\
import asyncio

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from models.access import Role


async def wait(apps, editor):
    await asyncio.sleep(60)


class Migration(migrations.Migration):
    dependencies = [("models", "{after}")]
    operations = [
{operations}
    ]
"""


class History:
    """`package` is what `models.migrate.upgrade(migrations=…)` takes; `root` has to be on the import path."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = f"history_{secrets.token_hex(6)}"
        self._folder = root / self.package
        self._folder.mkdir()
        (self._folder / "__init__.py").touch()
        shutil.copy(INITIAL, self._folder)
        self._names = [INITIAL.stem]

    def add(self, name: str, operations: str) -> None:
        """Write the next migration; in `operations`, `ops`, `fields`, `Index`, `Role` and others are at hand."""
        self._names.append(name)
        self.replace_last(operations)

    def replace_last(self, operations: str) -> None:
        """Write the newest migration again, as its author would after it failed."""
        after, name = self._names[-2:]
        text = MIGRATION.format(after=after, operations=indent(dedent(operations), " " * 8))
        (self._folder / f"{name}.py").write_text(text)
