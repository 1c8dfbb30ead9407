"""Bringing and removing the scripts of a data source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from base.errors import Conflict, Forbidden, InvalidInput, NotFound, PayloadTooLarge
from models import DataSource, Role, Script
from models.database import transaction
from services import rates, values
from services.access import Viewer, find
from services.platform import Platform
from services.scripts.examining import Text, examine
from services.scripts.keys import own_key, unique_key

BODY_BYTES_MAX = 1024**2
SCRIPTS_MAX = 500  # of one data source
BODY_FIELD = "input.body"
FILE_FIELD = "input.file"
SOURCE_FIELD = "input.dataSourceId"


async def upload(
    platform: Platform,
    viewer: Viewer,
    source_id: str,
    key: str,
    *,
    body: str | None = None,
    chunks: AsyncIterator[bytes] | None = None,
) -> int:
    """Keep a script under a key of its data source, in the place of the one that was there; its row's key.

    It is either a text or a file of UTF-8. It is parsed and never run. Raises InvalidInput, which names the line, for
    what is not a script, PayloadTooLarge and RateLimited. What queued jobs run is what was there when they were made.
    """
    source = await find(viewer, DataSource, source_id, field=SOURCE_FIELD)
    key = own_key(key, "input.key")
    field, text = await _text(body, chunks)
    rates.spend_script(viewer)
    examined = await examine(platform, text, field)
    source_pk: int = source.id
    async with transaction():
        await _hold(source_pk, SOURCE_FIELD)
        return await _put(source_pk, viewer.user_id, key, examined)


async def delete(viewer: Viewer, script_id: str) -> int:
    """Remove a script; its row's key. Jobs that are to run it have their own copy.

    Raises NotFound, and Forbidden for a predefined one, whoever asks.
    """
    script = await find(viewer.acting(Role.READ), Script, script_id, field="input.id")
    if script.data_source_id is None:  # type: ignore[attr-defined]
        raise Forbidden(
            "A predefined script ships with Headwater; nobody removes it.", field="input.id"
        )
    await find(viewer, Script, script_id, field="input.id")
    script_pk: int = script.id
    async with transaction():
        await _hold(script.data_source_id, "input.id")  # type: ignore[attr-defined]
        await Script.filter(id=script_pk).delete()
    return script_pk


async def _text(body: str | None, chunks: AsyncIterator[bytes] | None) -> tuple[str, str]:
    """The input path of the text, and the text."""
    if body is not None and chunks is None:
        if len(body.encode("utf-8", "surrogatepass")) > BODY_BYTES_MAX:
            raise _too_large(BODY_FIELD)
        return BODY_FIELD, values.text(body, BODY_FIELD, chars_max=BODY_BYTES_MAX)
    if chunks is None or body is not None:
        raise InvalidInput("Give the script as `body` or as `file`, one of the two.", field="input")
    content = b""
    async for chunk in chunks:
        content += chunk
        if len(content) > BODY_BYTES_MAX:
            raise _too_large(FILE_FIELD)
    try:
        text = content.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"The file is not UTF-8: see byte {error.start:,}.",
            hint="Save it as UTF-8.",
            field=FILE_FIELD,
        ) from error
    return FILE_FIELD, values.text(text, FILE_FIELD, chars_max=BODY_BYTES_MAX)


def _too_large(field: str) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"A script takes up to {BODY_BYTES_MAX:,} bytes.",
        hint="Make several scripts of it, each a step, or bring its data as a data source.",
        field=field,
    )


async def _hold(source_pk: int, field: str) -> None:
    """Keep the source until the transaction ends: whoever changes its scripts, or makes jobs of them, waits."""
    there = DataSource.filter(id=source_pk, deleted_at=None).select_for_update(no_key=True)
    if await there.only("id").first() is None:
        raise NotFound("There is no such datasource.", hint="It was just cleaned up.", field=field)


async def _put(source_pk: int, user_pk: int, key: str, text: Text) -> int:
    unique = unique_key(source_pk, key)
    known = await Script.filter(unique_key=unique).only("id", "sha256", "contract").first()
    columns: dict[str, Any] = {"body": text.body, "sha256": text.sha256, "contract": text.contract}
    if known is not None:
        if (known.sha256, known.contract) != (text.sha256, text.contract):
            await Script.filter(id=known.id).update(**columns, updated_at=datetime.now(UTC))
        known_pk: int = known.id
        return known_pk
    if await Script.filter(data_source_id=source_pk).count() >= SCRIPTS_MAX:
        raise Conflict(
            f"The data source has {SCRIPTS_MAX:,} scripts, which is the limit.",
            hint="Remove those that are not used any more with `deleteScript`.",
            field="input.key",
        )
    made = await Script.create(
        data_source_id=source_pk, creator_id=user_pk, key=key, unique_key=unique, **columns
    )
    made_pk: int = made.id
    return made_pk
