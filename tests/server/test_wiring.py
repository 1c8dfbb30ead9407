"""From settings to the object store: S3 with its credentials, and what is wrong said by the variable's name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from base.credentials import generate_key
from base.net import HostRefused
from base.settings import Settings, SettingsError
from models import migrate
from server import doctor
from server.wiring import build_platform, prepare
from tests import s3_server as s3

VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def settings_of(folder: Path, url: str, key_id: str = "", secret: str = "") -> Settings:
    return Settings(
        data_dir=folder,
        storage_url=url,
        storage_key_id=key_id,
        storage_secret=secret,
        secret_keys=(generate_key(),),
    )


@pytest.mark.parametrize("by", ["settings", "environment"])
async def test_credentials_come_from_settings_or_the_usual_variables(
    s3_server: s3.S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    keys = ("", "")
    if by == "settings":
        keys = (s3.KEY_ID, s3.SECRET)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    else:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.KEY_ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.SECRET)

    platform = build_platform(settings_of(tmp_path, s3_server.url(), *keys))

    assert not platform.store.is_local
    assert platform.store.link_seconds_max == 3600
    assert await platform.store.head("readiness/x") is None


def test_s3_without_credentials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="S3 storage needs HEADWATER_STORAGE_KEY_ID"):
        build_platform(settings_of(tmp_path, "s3://bucket"))


def test_a_url_that_names_no_bucket_is_refused_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"HEADWATER_STORAGE_URL: .*no option 'regin'"):
        build_platform(settings_of(tmp_path, "s3://bucket?regin=x", "a", "b"))


async def test_no_source_may_be_at_the_store_s_own_address(
    s3_server: s3.S3Server, tmp_path: Path
) -> None:
    platform = build_platform(settings_of(tmp_path, s3_server.url(), s3.KEY_ID, s3.SECRET))

    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(HostRefused):
            platform.guard.resolve(host, s3_server.port)
    assert platform.guard.resolve("127.0.0.1", 1) == ("127.0.0.1",)


@pytest.mark.parametrize("secret", [s3.SECRET, "wrong-canary"])
async def test_the_doctor_examines_s3(s3_server: s3.S3Server, tmp_path: Path, secret: str) -> None:
    settings = prepare(settings_of(tmp_path, s3_server.url(), s3.KEY_ID, secret))
    await migrate.upgrade(settings.effective_database_url)
    said: list[str] = []

    healthy = await doctor.examine(settings, said.append)

    lines = {line[:16].strip(): line[16:].partition(" ")[0] for line in said}
    right = secret == s3.SECRET
    assert healthy is right
    assert lines["storage"] == ("ok" if right else "FAIL")
    assert lines["download link"] == ("ok" if right else "FAIL")
    assert ("fetched through " + s3_server.endpoint in "\n".join(said)) is right
    assert "canary" not in "\n".join(said)


async def test_the_doctor_says_what_public_endpoint_nobody_answers_at(
    s3_server: s3.S3Server, tmp_path: Path
) -> None:
    url = s3_server.url(public_endpoint="http://127.0.0.1:9")
    settings = prepare(settings_of(tmp_path, url, s3.KEY_ID, s3.SECRET))
    await migrate.upgrade(settings.effective_database_url)
    said: list[str] = []

    assert await doctor.examine(settings, said.append)

    link = next(line for line in said if line.startswith("download link"))
    assert re.search(
        r"skip .*nothing answers at http://127.0.0.1:9; set public_endpoint in HEADWATER_STORAGE_URL",
        link,
    )
