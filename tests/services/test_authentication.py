"""From an API token to its viewer, who is remembered for a moment."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from models import ApiToken, Role
from models.database import Database
from services import authentication
from services.access import Viewer
from services.authentication import authenticate
from tests import factories

pytestmark = pytest.mark.usefixtures("database")


async def test_a_secret_gives_its_owner_with_the_limits_of_the_token() -> None:
    team = await factories.make_team()
    project = await factories.make_project(team)
    user = await factories.make_user("ada")
    await factories.make_membership(user, team, Role.WRITE)
    token, secret = await factories.make_token(user, Role.EXECUTE, project=project)

    viewer = await authenticate(secret)

    assert viewer == Viewer(
        user_id=user.id,
        username="ada",
        is_staff=False,
        teams={team.id: Role.WRITE},
        token_id=token.id,
        role_max=Role.EXECUTE,
        project_id=project.id,
    )


@pytest.mark.parametrize("secret", ["", "hw_unknown", "hw_\udcff", "hw_" + "x" * 10_000])
async def test_unknown_secrets_are_nobody(secret: str) -> None:
    assert await authenticate(secret) is None


async def test_expired_and_revoked_tokens_are_nobody() -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    _, expired = await factories.make_token(expires_at=past)
    _, revoked = await factories.make_token(revoked_at=past)
    _, valid = await factories.make_token(expires_at=datetime.now(UTC) + timedelta(hours=1))

    assert await authenticate(expired) is None
    assert await authenticate(revoked) is None
    assert await authenticate(valid) is not None


async def test_a_viewer_is_remembered_until_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "CACHE_SECONDS", 3600)
    token, secret = await factories.make_token()
    before = await authenticate(secret)
    await ApiToken.filter(id=token.id).update(revoked_at=datetime.now(UTC))

    remembered = await authenticate(secret)
    authentication.forget()

    assert remembered is before
    assert await authenticate(secret) is None


async def test_a_viewer_is_remembered_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "CACHE_SECONDS", 0.02)
    token, secret = await factories.make_token()
    await authenticate(secret)
    await ApiToken.filter(id=token.id).update(revoked_at=datetime.now(UTC))
    await asyncio.sleep(0.03)

    assert await authenticate(secret) is None


async def test_a_viewer_is_not_remembered_beyond_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authentication, "CACHE_SECONDS", 2 * 3600)
    end = datetime.now(UTC) + timedelta(hours=1)
    token, secret = await factories.make_token(expires_at=end)
    alive = await authenticate(secret)
    await ApiToken.filter(id=token.id).update(expires_at=datetime.now(UTC))
    in_an_hour = time.monotonic() + 3600
    monkeypatch.setattr(authentication, "time", SimpleNamespace(monotonic=lambda: in_an_hour))

    assert alive is not None
    assert await authenticate(secret) is None


async def test_the_time_of_use_is_kept_to_the_minute() -> None:
    token, secret = await factories.make_token()
    await authenticate(secret)
    first = (await ApiToken.get(id=token.id)).last_used_at
    authentication.forget()
    await authenticate(secret)
    second = (await ApiToken.get(id=token.id)).last_used_at
    old = datetime.now(UTC) - timedelta(seconds=authentication.LAST_USED_SECONDS + 1)
    await ApiToken.filter(id=token.id).update(last_used_at=old)
    authentication.forget()
    await authenticate(secret)
    third = (await ApiToken.get(id=token.id)).last_used_at

    assert first is not None
    assert second == first
    assert third is not None
    assert third > old


async def test_the_memory_of_viewers_is_bounded(
    monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setattr(authentication, "CACHE_ENTRIES_MAX", 2)
    authentication.forget()
    for _ in range(4):
        _, secret = await factories.make_token()
        await authenticate(secret)

    assert len(authentication._CACHE) == 2
