"""Settings: from the environment, validated at start, printable without their secrets."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from base.credentials import generate_key
from base.settings import Environment, Settings, SettingsError

DATABASE = "postgresql://me:hunter2@db.example/headwater"


def test_nothing_set_is_the_embedded_default() -> None:
    settings = Settings.from_env({"PATH": "/bin", "HOME": "/root"})

    assert settings == Settings()
    assert settings.effective_database_url == f"sqlite:///{Path('data').resolve()}/headwater.db"
    assert settings.effective_storage_url == f"file://{Path('data').resolve()}/objects"
    assert settings.effective_public_url == "http://127.0.0.1:8000"
    assert (settings.is_embedded, settings.is_production) == (True, False)
    assert settings.effective_introspection
    assert "10.0.0.0/8" in settings.effective_allow_networks


def test_every_kind_of_value_is_read() -> None:
    settings = Settings.from_env(
        {
            "HEADWATER_ENV": "production",
            "HEADWATER_HOST": "::1",
            "HEADWATER_PORT": "0",
            "HEADWATER_DATA_DIR": "/srv/data",
            "HEADWATER_DATABASE_URL": DATABASE,
            "HEADWATER_SECRET_KEYS": "one, two,",
            "HEADWATER_ALLOW_NETWORKS": "10.1.0.0/16,fd00::/8",
            "HEADWATER_INTROSPECTION": "TRUE",
        }
    )

    assert settings.env is Environment.PRODUCTION
    assert settings.effective_public_url == "http://[::1]:0"
    assert settings.data_dir == Path("/srv/data")
    assert settings.secret_keys == ("one", "two")
    assert settings.effective_allow_networks == ("10.1.0.0/16", "fd00::/8")
    assert settings.effective_introspection


def test_production_is_closed_by_default() -> None:
    settings = Settings.from_env(
        {"HEADWATER_ENV": "production", "HEADWATER_SECRET_KEYS": generate_key()}
    )

    assert settings.effective_allow_networks == ()
    assert not settings.effective_introspection


def test_an_empty_list_is_not_the_default() -> None:
    assert Settings.from_env({"HEADWATER_ALLOW_NETWORKS": ""}).effective_allow_networks == ()


def test_a_setting_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{DATABASE}\n")

    settings = Settings.from_env({"HEADWATER_DATABASE_URL_FILE": str(tmp_path / "url")})

    assert settings.database_url == DATABASE


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"HEADWATER_SECRET_KEYS_FILE": str(file)})

    assert str(caught.value) == f"HEADWATER_SECRET_KEYS_FILE: {file} does not hold text in UTF-8"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"PRT": "1"}, "HEADWATER_PRT is not a setting"),
        ({"PRT_FILE": "/x"}, "HEADWATER_PRT_FILE is not a setting"),
        ({"PORT": "http"}, "HEADWATER_PORT='http' is not a valid int"),
        ({"PORT": "65536"}, "HEADWATER_PORT is not between 0 and 65535"),
        ({"WORKER_THREADS": "0"}, "HEADWATER_WORKER_THREADS is not at least 1"),
        ({"LEASE_SECONDS": "-1"}, "HEADWATER_LEASE_SECONDS is not at least 1"),
        ({"INTROSPECTION": "maybe"}, "HEADWATER_INTROSPECTION='maybe' is not a valid bool"),
        (
            {"ENV": "staging"},
            "HEADWATER_ENV='staging' is not a valid environment: development or production",
        ),
        ({"SANDBOX": "off"}, "HEADWATER_SANDBOX='off' is not a valid sandbox: strict or limited"),
        (
            {"SCRIPT_MEMORY_BYTES_MAX": "536870911"},
            "HEADWATER_SCRIPT_MEMORY_BYTES_MAX is not at least 536870912",
        ),
        ({"ENV": "production"}, "HEADWATER_SECRET_KEYS is needed in production"),
        ({"DATABASE_URL": "mysql://x"}, "HEADWATER_DATABASE_URL has to start with one of"),
        ({"STORAGE_URL": "ftp://x"}, "HEADWATER_STORAGE_URL has to start with one of file:, s3:"),
        (
            {"STORAGE_KEY_ID": "x"},
            "HEADWATER_STORAGE_SECRET and HEADWATER_STORAGE_KEY_ID go together",
        ),
        ({"PUBLIC_URL": "ftp://x"}, "HEADWATER_PUBLIC_URL has to start with one of http:, https:"),
        ({"PUBLIC_URL": "http://[::1"}, "HEADWATER_PUBLIC_URL has to start with one of"),
        ({"BROKER_URL": "redis://x"}, "HEADWATER_BROKER_URL needs a PostgreSQL"),
        ({"ALLOW_NETWORKS": "10.0.0.1/8"}, "HEADWATER_ALLOW_NETWORKS holds '10.0.0.1/8'"),
        ({"LOG_LEVEL": "LOUD"}, "HEADWATER_LOG_LEVEL is not one of"),
        ({"DATABASE_URL_FILE": "/no/such"}, "HEADWATER_DATABASE_URL_FILE: cannot read /no/such"),
        ({"PORT": "1", "PORT_FILE": "/dev/null"}, "HEADWATER_PORT and its _FILE are both set"),
    ],
)
def test_a_wrong_setting_is_named(env: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({f"HEADWATER_{name}": value for name, value in env.items()})

    assert str(caught.value).startswith(message)


def test_nothing_printed_holds_a_secret() -> None:
    settings = Settings.from_env(
        {
            "HEADWATER_DATABASE_URL": DATABASE,
            "HEADWATER_BROKER_URL": "amqp://me:hunter2@mq",
            "HEADWATER_ADMIN_TOKEN": "hw_hunter2",
            "HEADWATER_SECRET_KEYS": "hunter2",
        }
    )

    printed = settings.printable()

    assert "hunter2" not in f"{printed} {settings!r} {settings}"
    assert printed["database_url"] == "•••"
    assert printed["port"] == "8000"
    assert printed.keys() == {setting.name for setting in fields(Settings)}


def test_every_setting_says_what_it_is_and_its_unit() -> None:
    undocumented = [setting.name for setting in fields(Settings) if not setting.metadata["doc"]]
    without_unit = [
        setting.name
        for setting in fields(Settings)
        if setting.name.endswith("_max") and "bytes" not in setting.name
        if not any(
            unit in setting.metadata["doc"]
            for unit in ("seconds", "objects", "a minute", "subscriptions")
        )
    ]

    assert (undocumented, without_unit) == ([], [])
