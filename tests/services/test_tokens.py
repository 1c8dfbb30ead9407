"""The life of an API token: made within its maker's powers, shown once, used, revoked, expired."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from base.errors import Conflict, Forbidden, InvalidInput, NotFound
from base.ids import public_id
from models import ApiToken, Membership, Role, User
from services import authentication, tokens
from services.access import Viewer
from tests import factories
from tests.services.places import make_place, refused

pytestmark = pytest.mark.usefixtures("database")


async def made(viewer: Viewer, **values: object) -> ApiToken:
    new = await tokens.create(viewer, **{"name": "t", "role": Role.READ} | values)  # type: ignore[arg-type]
    return await ApiToken.get(id=new.pk)


async def test_a_token_signs_its_user_in_until_it_is_revoked() -> None:
    place = await make_place()

    new = await tokens.create(place.viewer, name=" robot ", role=Role.WRITE)

    signed_in = await authentication.authenticate(new.secret)
    assert signed_in is not None
    assert (signed_in.user_id, signed_in.role_max) == (place.viewer.user_id, Role.WRITE)
    assert signed_in.teams == place.viewer.teams
    await tokens.revoke(place.viewer, public_id("token", new.pk))
    assert await authentication.authenticate(new.secret) is None
    await tokens.revoke(place.viewer, public_id("token", new.pk))


async def test_only_a_hash_of_the_secret_is_kept() -> None:
    place = await make_place()

    new = await tokens.create(place.viewer, name="t", role=Role.READ)

    assert new.secret.startswith("hw_")
    assert len(new.secret) == len("hw_") + 43  # 256 bits in base64
    stored = await ApiToken.get(id=new.pk).values()
    assert stored["secret_hash"] == hashlib.sha256(new.secret.encode()).hexdigest()
    assert stored["prefix"] == new.secret[:9]
    assert new.secret not in str(stored)
    assert new.secret not in repr(new)


async def test_every_secret_is_another() -> None:
    assert len({tokens.new_secret() for _ in range(100)}) == 100


async def test_a_token_has_no_higher_role_than_its_maker() -> None:
    place = await make_place(Role.WRITE)

    assert (await made(place.viewer, role=Role.WRITE)).role is Role.WRITE
    async with refused(Forbidden, "input.role"):
        await made(place.viewer, role=Role.ADMIN)


async def test_a_token_has_no_higher_role_than_the_token_that_makes_it() -> None:
    place = await make_place()
    weak = await place.member(Role.ADMIN, role_max=Role.EXECUTE)

    assert (await made(weak, role=Role.EXECUTE)).role is Role.EXECUTE
    async with refused(Forbidden, "input.role"):
        await made(weak, role=Role.WRITE)


async def test_for_a_project_the_role_in_its_team_counts() -> None:
    place = await make_place()
    reader = await place.member(Role.READ)
    await Membership.create(
        user_id=reader.user_id, team=await factories.make_team(), role=Role.ADMIN
    )
    both = (await factories.make_viewer(role=None, user=await User.get(id=reader.user_id))).acting(
        Role.READ
    )

    assert (await made(both, role=Role.ADMIN)).role is Role.ADMIN
    async with refused(Forbidden, "input.role"):
        await made(both, role=Role.WRITE, project_id=place.project_id)


async def test_a_token_is_held_to_its_project() -> None:
    place = await make_place()

    new = await tokens.create(place.viewer, name="t", role=Role.ADMIN, project_id=place.project_id)

    signed_in = await authentication.authenticate(new.secret)
    assert signed_in is not None
    assert signed_in.project_id == place.project.id


async def test_a_held_token_makes_tokens_of_its_project_only() -> None:
    place = await make_place()
    other = await factories.make_project(place.team)
    held = await place.member(Role.ADMIN, project_id=place.project.id)

    assert (await made(held, project_id=place.project_id)).project_id == place.project.id  # type: ignore[attr-defined]
    async with refused(Forbidden, "input.projectId"):
        await made(held)
    async with refused(NotFound, "input.projectId"):
        await made(held, project_id=public_id("project", other.id))


async def test_a_stranger_s_project_is_not_found() -> None:
    place, stranger = await make_place(), (await make_place()).viewer

    async with refused(NotFound, "input.projectId"):
        await made(stranger, project_id=place.project_id)


async def test_a_token_expires() -> None:
    place = await make_place()
    new = await tokens.create(
        place.viewer,
        name="t",
        role=Role.READ,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
    )

    assert await authentication.authenticate(new.secret) is not None
    await ApiToken.all().update(expires_at=datetime.now(UTC))
    authentication.forget()
    assert await authentication.authenticate(new.secret) is None


async def test_a_token_cannot_expire_in_the_past() -> None:
    place = await make_place()

    async with refused(InvalidInput, "input.expiresAt"):
        await made(place.viewer, expires_at=datetime.now(UTC) - timedelta(seconds=1))


async def test_a_token_that_expires_makes_none_that_outlives_it() -> None:
    place = await make_place()
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    own, _ = await factories.make_token(await User.get(id=place.viewer.user_id), expires_at=end)
    viewer = await place.member(Role.ADMIN, token_id=own.id)

    assert (await made(viewer)).expires_at == end
    sooner = end - timedelta(minutes=1)
    assert (await made(viewer, expires_at=sooner)).expires_at == sooner
    async with refused(Forbidden, "input.expiresAt"):
        await made(viewer, expires_at=end + timedelta(seconds=1))


async def test_nobody_else_revokes_a_token() -> None:
    place = await make_place()
    token = await made(place.viewer)
    other = await place.member(Role.ADMIN)

    async with refused(NotFound, "input.id"):
        await tokens.revoke(other, public_id("token", token.id))


async def test_a_weak_token_does_not_revoke_a_strong_one() -> None:
    place = await make_place()
    token = await made(place.viewer, role=Role.ADMIN)
    user = await User.get(id=place.viewer.user_id)
    weak = await factories.make_viewer(role=None, user=user, role_max=Role.READ, needs=Role.READ)

    async with refused(Forbidden, "input.id"):
        await tokens.revoke(weak, public_id("token", token.id))


async def test_a_user_has_a_limited_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    place = await make_place()
    monkeypatch.setattr(tokens, "TOKENS_MAX", 2)
    first = await made(place.viewer)
    await made(place.viewer)

    async with refused(Conflict):
        await made(place.viewer)
    await tokens.revoke(place.viewer, public_id("token", first.id))
    await made(place.viewer)


async def test_the_first_start_is_safe_to_repeat_and_to_do_at_several_places() -> None:
    secret = tokens.new_secret()

    await asyncio.gather(*(tokens.bootstrap(secret) for _ in range(8)))

    signed_in = await authentication.authenticate(secret)
    assert signed_in is not None
    assert (signed_in.username, signed_in.is_staff) == ("admin", True)
    assert (await User.all().count(), await ApiToken.all().count()) == (1, 1)


async def test_a_revoked_first_token_stays_revoked() -> None:
    secret = tokens.new_secret()
    await tokens.bootstrap(secret)
    await ApiToken.all().update(revoked_at=datetime.now(UTC))

    await tokens.bootstrap(secret)

    assert await authentication.authenticate(secret) is None


async def test_an_operator_makes_a_token_for_anybody() -> None:
    new = await tokens.create_for("bob", name="cli", role=Role.WRITE)

    signed_in = await authentication.authenticate(new.secret)
    assert signed_in is not None
    assert (signed_in.username, signed_in.role_max, signed_in.is_staff) == (
        "bob",
        Role.WRITE,
        False,
    )
