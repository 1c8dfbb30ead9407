"""Changing a source, and above all: a stored secret goes nowhere it was not entered for."""

from dataclasses import replace
from typing import Any

import pytest

from base.errors import Conflict, Forbidden, InvalidInput, NotFound
from base.ids import public_id
from models import DataSource, Role
from services import sources, uploads
from services.platform import Platform
from services.sources import ApiGiven, FileGiven, TableGiven, sealing, updating
from services.sources.connections import check
from tests import factories
from tests.services.places import Place, everything, make_place, put_upload, refused
from tests.services.test_connecting import POSTGRES, connect_one
from tests.services.test_selections import selected

NEW_SECRET = "canary-of-updating"
UNNAMED = replace(POSTGRES, password=None)


async def change(
    platform: Platform, place: Place, source: DataSource, **changes: Any
) -> DataSource:
    done = await sources.update(platform, place.viewer, public_id("datasource", source.id), changes)
    return await DataSource.get(id=done.source_pk)


async def secrets_of(platform: Platform, source: DataSource) -> Any:
    return (await sources.connection_of(platform, source)).secrets


async def test_only_what_is_named_changes(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    source = await connect_one(platform, place, POSTGRES, metadata={"a": 1})

    renamed = await change(platform, place, source, name=" new ")

    assert (renamed.name, renamed.metadata, renamed.secrets) == ("new", {"a": 1}, source.secrets)
    assert renamed.updated_at > source.updated_at
    noted = await change(platform, place, source, metadata=None, tables=[TableGiven("t")])
    assert (noted.name, noted.metadata) == ("new", {})
    assert noted.selections == [selected("t")]
    assert (await change(platform, place, source, tables=None)).selections == []
    at_rest = await everything()
    await change(platform, place, source)
    assert await everything() == at_rest


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": None}, "input.name"),
        ({"metadata": {"a": float("nan")}}, "input.metadata"),
        ({"tables": [TableGiven("")]}, "input.tables[0].name"),
        ({"connection": None}, "input.connection"),
        ({"connection": replace(POSTGRES, port=0)}, "input.connection.database.port"),
    ],
)
async def test_bad_changes_are_refused(
    platform: Platform, changes: dict[str, Any], field: str
) -> None:
    place = await make_place()
    source = await connect_one(platform, place, POSTGRES)

    async with refused(InvalidInput, field):
        await change(platform, place, source, **changes)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"host": "evil.example.com"},
        {"port": 5434},
        {"username": "eve"},
        {"database": "other"},
        {"ssl_mode": "disable"},
        {"options": {"connect_timeout": 3}},
        {
            "host": None,
            "port": None,
            "database": None,
            "username": None,
            "url": "postgresql://ada@evil.example.com/shop",
        },
    ],
    ids=lambda each: next(iter(each)),
)
async def test_a_secret_is_not_sent_elsewhere(
    platform: Platform, elsewhere: dict[str, Any]
) -> None:
    place = await make_place()
    source = await connect_one(platform, place, POSTGRES)

    async with refused(InvalidInput, "input.connection.database.password"):
        await change(platform, place, source, connection=replace(UNNAMED, **elsewhere))


async def test_the_same_connection_keeps_its_secret(platform: Platform) -> None:
    place = await make_place()
    source = await connect_one(platform, place, POSTGRES)

    same = await change(platform, place, source, connection=UNNAMED)

    assert await secrets_of(platform, same) == {"password": POSTGRES.password}


async def test_with_its_secret_a_connection_may_change(platform: Platform) -> None:
    place = await make_place()
    source = await connect_one(platform, place, POSTGRES)
    given = replace(POSTGRES, host="new.example.com", password=NEW_SECRET)

    moved = await change(platform, place, source, connection=given)

    assert moved.settings["host"] == "new.example.com"
    assert await secrets_of(platform, moved) == {"password": NEW_SECRET}
    assert NEW_SECRET not in str(await everything())


async def test_a_connection_without_a_secret_may_change(platform: Platform) -> None:
    place = await make_place()
    source = await connect_one(platform, place, UNNAMED)

    moved = await change(
        platform, place, source, connection=replace(UNNAMED, host="new.example.com")
    )

    assert moved.settings["host"] == "new.example.com"
    assert not moved.secrets


API = ApiGiven("https://api.example.com", {"bearer": NEW_SECRET})
OPEN = ApiGiven("https://api.example.com")


async def test_the_credentials_of_an_api_can_be_dropped(platform: Platform) -> None:
    place = await make_place()
    source = await connect_one(platform, place, API)

    async with refused(InvalidInput, "input.connection.api.auth"):
        await change(platform, place, source, connection=OPEN)
    assert await secrets_of(platform, source) == {"bearer": NEW_SECRET}
    opened = await change(platform, place, source, connection=replace(OPEN, dropped=("auth",)))

    assert opened.settings["auth"] is None
    assert opened.secrets is None
    assert await secrets_of(platform, opened) == {}


async def test_headers_are_not_dropped_with_the_credentials(platform: Platform) -> None:
    place = await make_place()
    source = await connect_one(platform, place, replace(API, headers={"X-Tenant": NEW_SECRET}))

    async with refused(InvalidInput, "input.connection.api.auth"):
        await change(platform, place, source, connection=replace(OPEN, dropped=("auth",)))
    async with refused(InvalidInput, "input.connection.api.auth"):
        await change(platform, place, source, connection=replace(OPEN, dropped=("headers",)))
    opened = await change(
        platform, place, source, connection=replace(OPEN, dropped=("auth", "headers"))
    )

    assert (opened.settings["auth"], opened.settings["headers"]) == (None, [])
    assert opened.secrets is None


async def test_a_file_is_replaced_by_another_of_the_project(platform: Platform) -> None:
    place = await make_place()
    old = await put_upload(platform, place.project)
    new = await put_upload(platform, place.project, "new.ndjson", b"{}\n")
    source = await connect_one(platform, place, FileGiven(old.object_key))

    replaced = await change(platform, place, source, connection=FileGiven(new.object_key))

    assert (replaced.kind, replaced.settings["object_key"]) == ("ndjson", new.object_key)
    foreign = await put_upload(platform, (await make_place()).project)
    async with refused(NotFound, "input.connection.file.objectKey"):
        await change(platform, place, source, connection=FileGiven(foreign.object_key))


async def test_a_url_that_is_changed_meanwhile_is_not_put_back(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await make_place()
    url = "https://data.example.com/cities.csv?token="
    source = await connect_one(platform, place, FileGiven(url=f"{url}old"))

    async def overtaken(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(updating, "check", check)
        await change(platform, place, source, connection=FileGiven(url=f"{url}new"))
        return await check(*given, **named)

    monkeypatch.setattr(updating, "check", overtaken)
    with pytest.raises(Conflict, match="just changed"):
        await change(platform, place, source, connection=FileGiven(delimiter=";"))

    now = await DataSource.get(id=source.id)
    assert sealing.unseal(platform.keyring, now) == {"url": f"{url}new"}


async def test_a_file_that_goes_meanwhile_is_not_taken(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await make_place()
    old, new = [await put_upload(platform, place.project) for _ in range(2)]
    source = await connect_one(platform, place, FileGiven(old.object_key))
    last = await connect_one(platform, place, FileGiven(new.object_key))

    async def overtaken(*given: Any, **named: Any) -> Any:
        checked = await check(*given, **named)
        await DataSource.filter(id=last.id).delete()
        await uploads.drop(platform, last, new.object_key)
        return checked

    monkeypatch.setattr(updating, "check", overtaken)
    with pytest.raises(NotFound) as caught:
        await change(platform, place, source, connection=FileGiven(new.object_key))

    assert caught.value.field == "input.connection.file.objectKey"
    assert (await DataSource.get(id=source.id)).settings == source.settings


async def test_a_database_does_not_become_a_file(platform: Platform) -> None:
    place = await make_place()
    upload = await put_upload(platform, place.project)
    source = await connect_one(platform, place, POSTGRES)

    async with refused(Conflict, "input.connection"):
        await change(platform, place, source, connection=FileGiven(upload.object_key))


async def test_strangers_and_lower_roles_change_nothing(platform: Platform) -> None:
    place = await make_place()
    source = await factories.make_source(place.project)
    source_id = public_id("datasource", source.id)
    stranger = (await make_place()).viewer
    low = (await place.member(Role.EXECUTE)).acting(Role.WRITE)

    async with refused(NotFound, "input.id"):
        await sources.update(platform, stranger, source_id, {"name": "x"})
    async with refused(Forbidden, "input.id"):
        await sources.update(platform, low, source_id, {"name": "x"})
