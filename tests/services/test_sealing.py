"""Secrets at rest: worthless in another row, readable after a change of keys, clear errors where they are not."""

import pytest

from base.credentials import Keyring, generate_key
from base.errors import ConnectionFailed
from base.ids import public_id
from models import DataSource, DataSourceType
from models.database import Database
from services import sources
from services.platform import Platform
from services.sources import sealing
from tests import factories


async def with_secret(platform: Platform, password: str) -> DataSource:
    source = await factories.make_source(
        type=DataSourceType.DATABASE, kind="postgresql", settings={}
    )
    sealed = sealing.seal(platform.keyring, source.id, {"password": password})
    await DataSource.filter(id=source.id).update(secrets=sealed)
    return await DataSource.get(id=source.id)


def with_keys(platform: Platform, *keys: str) -> Platform:
    return Platform(platform.settings, Keyring(keys), platform.store, platform.guard)


async def test_no_secrets_are_kept_as_nothing(platform: Platform) -> None:
    assert sealing.seal(platform.keyring, 1, {}) is None
    assert sealing.unseal(platform.keyring, await factories.make_source()) == {}


async def test_a_secret_that_was_copied_to_another_source_does_not_open(platform: Platform) -> None:
    victim = await with_secret(platform, "canary-of-sealing")
    thief = await with_secret(platform, "own")
    await DataSource.filter(id=thief.id).update(secrets=victim.secrets)

    with pytest.raises(ConnectionFailed, match="damaged"):
        await sources.connection_of(platform, await DataSource.get(id=thief.id))


async def test_a_missing_key_is_named_as_the_reason(platform: Platform) -> None:
    source = await with_secret(platform, "canary-of-sealing")

    with pytest.raises(ConnectionFailed) as caught:
        await sources.connection_of(with_keys(platform, generate_key()), source)

    assert "HEADWATER_SECRET_KEYS" in str(caught.value.hint)


async def test_rotation_reseals_every_secret_with_the_newest_key(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "BATCH_ROWS", 2)
    old, new = generate_key(), generate_key()
    before = with_keys(platform, old)
    made = [await with_secret(before, f"p{n}") for n in range(5)]
    await factories.make_source()
    both, after = with_keys(platform, new, old), with_keys(platform, new)
    told: list[int] = []

    assert await sources.rotate_secrets(both, told.append) == 5

    assert told == [2, 4, 5]
    for number, source in enumerate(made):
        stored = await DataSource.get(id=source.id)
        assert sealing.unseal(after.keyring, stored) == {"password": f"p{number}"}
    assert await sources.rotate_secrets(both) == 0


async def test_rotation_goes_on_where_it_was_interrupted(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "BATCH_ROWS", 2)
    old, new = generate_key(), generate_key()
    for number in range(5):
        await with_secret(with_keys(platform, old), f"p{number}")
    both = with_keys(platform, new, old)

    def stop(done: int) -> None:
        raise KeyboardInterrupt(done)

    with pytest.raises(KeyboardInterrupt):
        await sources.rotate_secrets(both, stop)

    assert await sources.rotate_secrets(both) == 3


async def test_rotation_leaves_a_secret_that_changes_meanwhile(platform: Platform) -> None:
    old, new = generate_key(), generate_key()
    source = await with_secret(with_keys(platform, old), "old")
    both = with_keys(platform, new, old)
    newer = sealing.seal(both.keyring, source.id, {"password": "newer"})
    await DataSource.filter(id=source.id).update(secrets=newer)

    assert await sealing._rotate(both.keyring, source) == 0

    assert (await DataSource.get(id=source.id)).secrets == newer


async def test_rotation_names_the_source_whose_key_is_missing(platform: Platform) -> None:
    source = await with_secret(platform, "canary-of-sealing")

    with pytest.raises(ConnectionFailed, match=public_id("datasource", source.id)):
        await sources.rotate_secrets(with_keys(platform, generate_key()))


async def test_the_database_holds_no_plain_secret(platform: Platform, database: Database) -> None:
    await with_secret(platform, "canary-of-sealing")

    rows = await database.connection.execute_query_dict("SELECT * FROM data_sources")

    assert "canary" not in str(rows)
