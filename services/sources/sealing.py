"""Secrets of connections at rest: sealed for one row, so that a ciphertext copied to another is worthless."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from base.credentials import CiphertextInvalid, Keyring, KeyUnknown
from base.errors import ConnectionFailed
from base.ids import public_id
from models import DataSource
from services.platform import Platform

BATCH_ROWS = 100


def seal(keyring: Keyring, source_pk: int, secrets: Mapping[str, str]) -> str | None:
    """What `DataSource.secrets` keeps; None for no secrets."""
    return keyring.encrypt(secrets, _context(source_pk)) if secrets else None


def unseal(keyring: Keyring, source: DataSource) -> dict[str, str]:
    """The secrets of a source; raises ConnectionFailed where no configured key opens them."""
    if source.secrets is None:
        return {}
    try:
        return keyring.decrypt(source.secrets, _context(source.id))
    except KeyUnknown as error:
        raise ConnectionFailed(
            "The stored secret was encrypted with a key that this server does not have.",
            hint="Put that key back into HEADWATER_SECRET_KEYS, behind the first, or enter the secret again.",
        ) from error
    except CiphertextInvalid as error:
        raise ConnectionFailed(
            "The stored secret is damaged, or belongs to another data source.",
            hint="Enter the secret again.",
        ) from error


async def rotate_secrets(
    platform: Platform, on_progress: Callable[[int], None] | None = None
) -> int:
    """Encrypt every stored secret with the newest key; how many were not yet.

    Row by row, while everything else goes on: interrupted, the next call continues; a secret that changes meanwhile is
    left to whoever changed it. `on_progress` is told the number so far. Raises ConnectionFailed, naming the source, at
    one that no configured key opens.
    """
    done = last = 0
    while True:
        some = (
            DataSource.filter(id__gt=last, secrets__isnull=False).order_by("id").limit(BATCH_ROWS)
        )
        batch = await some.only("id", "secrets")
        if not batch:
            return done
        last = batch[-1].id
        for source in batch:
            done += await _rotate(platform.keyring, source)
        if on_progress is not None:
            on_progress(done)


async def _rotate(keyring: Keyring, source: DataSource) -> int:
    assert source.secrets is not None
    if keyring.is_current(source.secrets):
        return 0
    try:
        sealed = seal(keyring, source.id, unseal(keyring, source))
    except ConnectionFailed as error:
        where = public_id("datasource", source.id)
        raise ConnectionFailed(f"{where}: {error.message}", hint=error.hint) from error
    return await DataSource.filter(id=source.id, secrets=source.secrets).update(secrets=sealed)


def _context(source_pk: int) -> str:
    return f"datasource:{source_pk}:secrets"
