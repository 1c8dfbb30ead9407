"""How a data source is connected, as readers see it, and the file that is stored of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson
import strawberry

import models
from graph.scalars import JSON
from graph.serialized import Serialized
from models import rows
from models.rows import In, Pick


@strawberry.type(
    description="How a data source is connected: every public setting, and no secret, ever."
)
class ConnectionInfo:
    """Made of a `ConnectionRow`."""

    kind: str = strawberry.field(
        description="The connector: csv, xlsx, postgresql, mysql, sqlite, … (`serverInfo.connectionKinds`)."
    )
    settings: JSON = strawberry.field(description="The public settings, by name.")
    has_secret: bool = strawberry.field(
        description="Whether a password or another secret is kept with it, encrypted."
    )


class ConnectionRow(NamedTuple):
    """What a `ConnectionInfo` is made of."""

    kind: str
    settings: Serialized
    has_secret: bool


def connection_row(kind: str, settings: Serialized, secret: bool | None) -> ConnectionRow:  # noqa: FBT001 - as the row has it
    """What a `ConnectionInfo` is made of; `secret` is what `is_there` gave, None without one."""
    return ConnectionRow(kind, settings, bool(secret))


def is_there(_sealed: str) -> bool:
    """That there is a secret: the sealed text itself goes no further."""
    return True


class Original(NamedTuple):
    """A source's file as it was brought or fetched."""

    object_key: str
    file_name: str | None


def _original(settings: str | bytes) -> Original | None:
    read = orjson.loads(settings)
    key = read.get("object_key")
    return Original(key, read.get("file_name")) if key else None


def file_name_of(original: Original | None) -> str | None:
    """The name of a source's file, None without a file."""
    return original.file_name if original else None


ORIGINAL = Pick("original", "settings", _original)


async def sizes_of(keys: Sequence[str]) -> Mapping[str, int]:
    """The sizes of stored files, by object key."""
    asked = In("object_key", sorted(set(keys)))
    found = await rows.select(models.Upload, ("object_key", "size_bytes"), asked)
    return {upload.object_key: upload.size_bytes for upload in found}
