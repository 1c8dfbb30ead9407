"""The scripts that ship with Headwater, kept as rows so that jobs find them as they find any other."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tortoise.exceptions import IntegrityError

from base.errors import PlatformError
from models import Script
from models.database import transaction
from services.platform import Platform
from services.scripts.examining import Text, examine, hash_of
from services.scripts.keys import PREDEFINED, unique_key

FOLDER = Path(__file__).parent / "predefined"

_log = logging.getLogger(__name__)


async def install_predefined(platform: Platform, folder: Path = FOLDER) -> int:
    """Bring the rows of the predefined scripts to what this release ships, in a folder; how many were not yet so.

    What is there already costs one statement. Several processes may do it at once. A script that cannot be looked at
    is left out with a word in the log: a server without it is better than no server.
    """
    shipped = _shipped(folder)
    there = await Script.filter(data_source_id=None).only("id", "key", "sha256")
    known = {script.key: script.sha256 for script in there}
    gone = [script.id for script in there if script.key not in shipped]
    new = {key: body for key, body in shipped.items() if known.get(key) != hash_of(body)}
    texts = await asyncio.gather(*(_examined(platform, key, body) for key, body in new.items()))
    changed = 0
    for key, text in zip(new, texts, strict=True):
        if text is not None:
            await _put(key, text)
            changed += 1
    for script_pk in gone:  # each for itself: a new job may hold one and wait for another
        changed += await Script.filter(id=script_pk, data_source_id=None).delete()
    return changed


async def _examined(platform: Platform, key: str, body: str) -> Text | None:
    try:
        return await examine(platform, body, "body")
    except PlatformError as error:
        _log.error("the predefined script %s is not installed: %s", key, error.message)
        return None


def _shipped(folder: Path) -> dict[str, str]:
    """Bodies by key; those of files named `_…` are none."""
    return {
        PREDEFINED + file.stem: file.read_text(encoding="utf-8")
        for file in sorted(folder.glob("*.py"))
        if not file.stem.startswith("_")
    }


async def _put(key: str, text: Text) -> None:
    unique = unique_key(0, key)
    columns: dict[str, Any] = {"body": text.body, "sha256": text.sha256, "contract": text.contract}
    row = Script.filter(unique_key=unique)
    if await row.update(**columns, updated_at=datetime.now(UTC)):
        return
    try:
        async with transaction():
            await Script.create(key=key, unique_key=unique, **columns)
    except IntegrityError:
        await row.update(**columns, updated_at=datetime.now(UTC))  # another process was first
