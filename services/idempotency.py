"""Idempotency keys: a request that is sent again has one effect, and gets the first one's answer."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from tortoise.exceptions import IntegrityError

from base.errors import Conflict
from models import IdempotencyKey
from models.database import transaction
from services import values
from services.access import Viewer
from services.platform import Platform

FIELD = "input.idempotencyKey"
T = TypeVar("T")
Result = dict[str, Any]


async def once(
    platform: Platform,
    viewer: Viewer,
    operation: str,
    key: str | None,
    given: Any,
    *,
    prepare: Callable[[], Awaitable[T]],
    commit: Callable[[T], Awaitable[Result]],
) -> Result:
    """Do the work once for this user, operation and key; a repetition gets the result of the first time.

    `prepare` checks and reads; `commit` writes, in a transaction that also keeps its result (ids, as JSON). Whoever
    comes second while the first is at it waits for that. `given` is the input, of dataclasses and plain values: with
    the same key it has to be the same, else Conflict. The caller has checked what the viewer may do, every time.
    """
    if key is None:
        prepared = await prepare()
        async with transaction():
            return await commit(prepared)
    key = check_key(key)
    fingerprint = _fingerprint(platform, given)
    known = await _known(viewer, operation, key)
    if known is not None:
        return _answer(known, fingerprint)
    prepared = await prepare()
    async with transaction():
        row = await _take(viewer, operation, key, fingerprint)
        if row is not None:
            row.result = await commit(prepared)
            await row.save(update_fields=["result"])
            result: Result = row.result
            return result
    known = await _known(viewer, operation, key)
    if known is None:  # the first one's key expired at this very moment
        raise Conflict("The same request was just being answered; send it again.", field=FIELD)
    return _answer(known, fingerprint)


def check_key(key: str) -> str:
    """A key as it is kept; raises InvalidInput. `once` does it, after what is done before it."""
    return values.name(key, FIELD, chars_max=values.KEY_CHARS_MAX)


async def _known(viewer: Viewer, operation: str, key: str) -> IdempotencyKey | None:
    return await IdempotencyKey.get_or_none(user_id=viewer.user_id, operation=operation, key=key)


async def _take(
    viewer: Viewer, operation: str, key: str, fingerprint: str
) -> IdempotencyKey | None:
    """Insert the key, after waiting for a transaction that is about to; None where that one has committed it."""
    try:
        async with transaction():  # a savepoint: the refusal must not end the transaction around it
            return await IdempotencyKey.create(
                user_id=viewer.user_id, operation=operation, key=key, fingerprint=fingerprint
            )
    except IntegrityError:
        return None


def _answer(known: IdempotencyKey, fingerprint: str) -> Result:
    if not hmac.compare_digest(known.fingerprint, fingerprint):
        raise Conflict(
            "This idempotency key was used with another input.",
            hint="Use a new key for a new request.",
            field=FIELD,
        )
    result: Result = known.result
    return result


def _fingerprint(platform: Platform, given: Any) -> str:
    """A keyed hash: the input may hold a password, which a plain hash would let others guess at."""
    body = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
    return hmac.new(platform.keyring.signing_key, body, hashlib.sha256).hexdigest()
