"""Sessions: what their tokens say, how long they live, that nobody else makes one, and that they end with the API token."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from base.credentials import Keyring, generate_key
from base.errors import Forbidden, InvalidInput, Unauthenticated
from models import ApiToken, Role, User
from server.auth import ContextFactory
from services import authentication, sessions, tokens
from services.access import Viewer
from services.platform import Platform
from services.sessions import Session
from tests import factories
from tests.services.places import Place, make_place, refused

EXPIRED = "The session has expired."
UNKNOWN = "The API token is unknown, expired or revoked."


async def signed_in(place: Place, **values: Any) -> Viewer:
    """The place's viewer, by a new API token."""
    _, secret = await factories.make_token(await User.get(id=place.viewer.user_id), **values)
    viewer = await authentication.authenticate(secret)
    assert viewer is not None
    return viewer.acting(Role.READ)


async def sent(platform: Platform, credential: str) -> Viewer:
    """Whom a request with this credential is from."""
    context = await ContextFactory(platform).of(f"Bearer {credential}")
    assert context.viewer is not None
    return context.viewer


async def refusal(platform: Platform, credential: str) -> str | None:
    """Why a request with this credential is refused; None where it is not."""
    try:
        await ContextFactory(platform).of(f"Bearer {credential}")
    except Unauthenticated as error:
        return error.message
    return None


def said(token: str) -> dict[str, Any]:
    """The claims, as anybody can read them."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def forged(platform: Platform, token: str, *, keyring: Keyring | None = None, **claims: Any) -> str:
    """The token with other claims, None for without, and a good signature of the server's or another key."""
    (key, *_) = (keyring or platform.keyring).keys_for("sessions")
    kept = {name: value for name, value in (said(token) | claims).items() if value is not None}
    return jwt.encode(kept, key, "HS256", sort_headers=True)


@pytest.fixture
async def viewer(place: Place) -> Viewer:
    return await signed_in(place)


@pytest.fixture
async def session(platform: Platform, viewer: Viewer) -> Session:
    return await sessions.create(platform.keyring, viewer)


@pytest.fixture
async def place(platform: Platform) -> Place:
    return await make_place()


async def test_the_tokens_say_whose_they_are_and_until_when(
    platform: Platform, viewer: Viewer
) -> None:
    before = int(time.time())

    made = await sessions.create(
        platform.keyring, viewer, expires_in=60, refresh_expires_in=2_592_000
    )

    after = int(time.time())
    first, lasting = said(made.access_token), said(made.refresh_token)
    assert [each.pop("jtt") for each in (first, lasting)] == ["access", "refresh"]
    assert len({each.pop("jti") for each in (first, lasting)}) == 2
    assert all(before <= each["iat"] <= after for each in (first, lasting))
    assert before + 60 <= first["exp"] <= after + 60
    assert before + 2_592_000 <= lasting["exp"] <= after + 2_592_000
    assert made.expires_at == datetime.fromtimestamp(first["exp"], UTC)
    assert made.refresh_expires_at == datetime.fromtimestamp(lasting["exp"], UTC)
    owner = {"upk": viewer.user_id, "tok": viewer.token_id}
    assert [each | {"iat": 0, "exp": 0} for each in (first, lasting)] == [
        owner | {"iat": 0, "exp": 0}
    ] * 2
    assert jwt.get_unverified_header(made.access_token) == {"alg": "HS256", "typ": "JWT"}
    assert made.access_token not in repr(made)
    assert made.refresh_token not in repr(made)


async def test_a_session_signs_in_as_the_api_token(
    platform: Platform, viewer: Viewer, session: Session
) -> None:
    found = await sent(platform, session.access_token)

    assert found == replace(viewer, needs=None, session_ends_at=session.expires_at)


@pytest.mark.parametrize("seconds", [-1, 0, 59, 2_592_001])
async def test_life_times_have_limits(
    platform: Platform, viewer: Viewer, session: Session, seconds: int
) -> None:
    keyring = platform.keyring

    async with refused(InvalidInput, "input.expiresIn"):
        await sessions.create(keyring, viewer, expires_in=seconds)
    async with refused(InvalidInput, "input.refreshExpiresIn"):
        await sessions.create(keyring, viewer, refresh_expires_in=seconds)
    async with refused(InvalidInput, "input.expiresIn"):
        await sessions.refresh(keyring, session.refresh_token, expires_in=seconds)


async def test_a_session_ends_with_its_api_token(platform: Platform, place: Place) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=120)
    viewer = await signed_in(place, expires_at=end)

    made = await sessions.create(platform.keyring, viewer, expires_in=600)

    assert (made.expires_at, made.refresh_expires_at) == (end, end)
    again = await sessions.refresh(platform.keyring, made.refresh_token, expires_in=600)
    assert again.expires_at == end
    await ApiToken.filter(id=viewer.token_id).update(expires_at=datetime.now(UTC))
    authentication.forget()
    assert await refusal(platform, made.access_token) == UNKNOWN
    with pytest.raises(Unauthenticated):
        await sessions.refresh(platform.keyring, made.refresh_token)


async def test_a_revoked_api_token_ends_both(
    platform: Platform, place: Place, session: Session
) -> None:
    assert (await sent(platform, session.access_token)).user_id == place.viewer.user_id
    user = await User.get(id=place.viewer.user_id)
    strong = await factories.make_viewer(role=None, user=user, needs=Role.READ)

    await tokens.revoke(strong, str(said(session.access_token)["tok"]))

    assert await refusal(platform, session.access_token) == UNKNOWN
    with pytest.raises(Unauthenticated):
        await sessions.refresh(platform.keyring, session.refresh_token)


async def test_who_is_gone_is_not_signed_in(
    platform: Platform, place: Place, session: Session
) -> None:
    await (await User.get(id=place.viewer.user_id)).delete()
    authentication.forget()

    assert await refusal(platform, session.access_token) == UNKNOWN
    with pytest.raises(Unauthenticated):
        await sessions.refresh(platform.keyring, session.refresh_token)


async def test_an_expired_access_token_is_told_apart(platform: Platform, session: Session) -> None:
    now = int(time.time())
    expired = forged(platform, session.access_token, iat=now - 301, exp=now)
    valid = forged(platform, session.access_token, iat=now - 300, exp=now + 60)

    assert await refusal(platform, expired) == EXPIRED
    assert (await sent(platform, valid)).session_ends_at is not None
    assert await refusal(platform, "hw_unknown") == UNKNOWN


async def test_an_expired_refresh_token_is_told_apart(platform: Platform, session: Session) -> None:
    expired = forged(platform, session.refresh_token, exp=int(time.time()) - 1)

    with pytest.raises(Unauthenticated, match=EXPIRED):
        await sessions.refresh(platform.keyring, expired)


async def test_refreshing_gives_another_access_token_and_the_same_refresh_token(
    platform: Platform, viewer: Viewer, session: Session
) -> None:
    again = await sessions.refresh(platform.keyring, session.refresh_token, expires_in=60)

    assert again.refresh_token == session.refresh_token
    assert again.refresh_expires_at == session.refresh_expires_at
    assert again.user_pk == viewer.user_id
    assert said(again.access_token)["jti"] != said(session.access_token)["jti"]
    assert again.expires_at < session.expires_at
    assert (await sent(platform, again.access_token)).token_id == viewer.token_id
    assert (await sent(platform, session.access_token)).token_id == viewer.token_id


async def test_no_access_token_outlives_the_refresh_token_that_bought_it(
    platform: Platform, viewer: Viewer
) -> None:
    made = await sessions.create(platform.keyring, viewer, refresh_expires_in=60)

    again = await sessions.refresh(platform.keyring, made.refresh_token, expires_in=600)

    assert again.expires_at == made.refresh_expires_at


async def test_neither_token_does_the_other_s_work(platform: Platform, session: Session) -> None:
    assert await refusal(platform, session.refresh_token) == UNKNOWN
    with pytest.raises(Unauthenticated):
        await sessions.refresh(platform.keyring, session.access_token)


def variants(platform: Platform, token: str, kind: str) -> dict[str, str]:
    """Tokens that differ from a good one in one thing."""
    head, body, signature = token.split(".")
    (key, *_) = platform.keyring.keys_for("sessions")
    claims, flip = said(token), "A" if signature[0] != "A" else "B"
    other = said(forged(platform, token, upk=claims["upk"] + 1))
    of_other = jwt.encode(other, key, "HS256", sort_headers=True).split(".")[1]
    return {
        "signature": f"{head}.{body}.{flip}{signature[1:]}",
        "no signature": f"{head}.{body}.",
        "body": f"{head}.{of_other}.{signature}",
        "alg none": jwt.encode(claims, "", "none"),
        "alg none, signed": ".".join([jwt.encode({}, "", "none").split(".")[0], body, signature]),
        "alg HS512": jwt.encode(claims, key, "HS512"),
        "header with more": jwt.encode(claims, key, "HS256", {"kid": "1"}, sort_headers=True),
        "other key": forged(platform, token, keyring=Keyring([generate_key()])),
        "key for links": jwt.encode(claims, platform.keyring.signing_key, "HS256"),
        "other user": forged(platform, token, upk=claims["upk"] + 1),
        "other token": forged(platform, token, tok=claims["tok"] + 1),
        "wrong kind": forged(platform, token, jtt="other"),
        "kind in capitals": forged(platform, token, jtt=kind.upper()),
        "from the future": forged(platform, token, iat=int(time.time()) + 60),
        "text for a key": forged(platform, token, tok=str(claims["tok"])),
        "truth for a key": forged(platform, token, tok=True),
        "huge key": forged(platform, token, tok=2**63 - 1),
        **{f"no {name}": forged(platform, token, **{name: None}) for name in claims},
        "junk": "a.b.c",
        "dots": "..",
        "umlauts": f"{head}.ä.ö",
        "long": f"{head}.{body}.{'A' * 4_000}",
    }


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_whatever_is_not_exactly_ours_is_refused(
    platform: Platform, session: Session
) -> None:
    refused_as = {}
    for name, token in variants(platform, session.access_token, "access").items():
        refused_as[name] = await refusal(platform, token)
    for token in variants(platform, session.refresh_token, "refresh").values():
        with pytest.raises(Unauthenticated):
            await sessions.refresh(platform.keyring, token)

    assert {name: why for name, why in refused_as.items() if why != UNKNOWN} == {}


async def test_clocks_may_differ_a_little(platform: Platform, session: Session) -> None:
    ahead = forged(platform, session.access_token, iat=int(time.time()) + 5)

    assert (await sent(platform, ahead)).session_ends_at == session.expires_at


async def test_sessions_outlive_a_rotation_of_keys_and_end_with_the_key(
    platform: Platform, viewer: Viewer
) -> None:
    old, new = generate_key(), generate_key()
    made = await sessions.create(Keyring([old]), viewer)

    for keyring in (Keyring([old]), Keyring([new, old])):
        assert await sessions.authenticate(keyring, made.access_token) is not None
    assert await sessions.authenticate(Keyring([new]), made.access_token) is None
    again = await sessions.refresh(Keyring([new, old]), made.refresh_token)
    assert await sessions.authenticate(Keyring([new]), again.access_token) is not None


@pytest.mark.parametrize("role", [Role.READ, Role.WRITE])
async def test_role_and_project_stay_those_of_the_api_token(
    platform: Platform, place: Place, role: Role
) -> None:
    viewer = await signed_in(place, role=role, project=place.project)

    made = await sessions.create(platform.keyring, viewer)
    again = await sessions.refresh(platform.keyring, made.refresh_token)

    for token in (made.access_token, again.access_token):
        found = await sent(platform, token)
        assert (found.role_max, found.project_id) == (role, place.project.id)


async def test_a_session_makes_neither_a_session_nor_an_api_token(
    platform: Platform, session: Session
) -> None:
    viewer = (await sent(platform, session.access_token)).acting(Role.READ)

    async with refused(Forbidden):
        await sessions.create(platform.keyring, viewer)
    async with refused(Forbidden):
        await tokens.create(viewer, name="t", role=Role.READ)


async def test_an_operator_who_sends_no_token_makes_no_session(
    platform: Platform, place: Place
) -> None:
    async with refused(Forbidden):
        await sessions.create(platform.keyring, place.viewer)


async def test_a_token_that_was_just_revoked_makes_no_session(
    platform: Platform, viewer: Viewer
) -> None:
    await ApiToken.filter(id=viewer.token_id).update(revoked_at=datetime.now(UTC))

    async with refused(Unauthenticated):
        await sessions.create(platform.keyring, viewer)


async def test_an_operator_s_own_secret_may_look_like_a_session(platform: Platform) -> None:
    await tokens.bootstrap("an.operator's.own")

    assert (await sent(platform, "an.operator's.own")).username == "admin"
