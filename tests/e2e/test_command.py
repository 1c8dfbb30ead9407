"""The `headwater` command as a person meets it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients import ROOT, ServerProcess, free_port

pytestmark = pytest.mark.e2e

HEADWATER = str(Path(sys.executable).with_name("headwater"))
VIEWER = "{ viewer { username isStaff teams { role team { name } } } serverInfo { version } }"


def headwater(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    env |= {f"HEADWATER_{name.upper()}": value for name, value in settings.items()}
    return subprocess.run(
        [HEADWATER, *arguments],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_help_names_every_verb_and_setting() -> None:
    overview = headwater("--help")
    serve = headwater("serve", "--help")

    assert overview.returncode == serve.returncode == 0
    for verb in ("api", "doctor", "keys", "migrate", "schema", "serve", "token", "worker"):
        assert f"\n  {verb} " in overview.stdout
    for setting in (
        "PORT",
        "HOST",
        "DATA_DIR",
        "ADMIN_TOKEN",
        "DATABASE_URL",
        "BROKER_URL",
        "STORAGE_URL",
        "PUBLIC_URL",
    ):
        assert f"HEADWATER_{setting}\n" in serve.stdout


def test_the_schema_is_the_one_at_the_root() -> None:
    printed = headwater("schema")

    assert printed.stdout == (ROOT / "schema.graphql").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"port": "eighty"}, "HEADWATER_PORT='eighty' is not a valid int"),
        ({"prot": "8000"}, "HEADWATER_PROT is not a setting"),
        ({"database_url": "oracle://x"}, "HEADWATER_DATABASE_URL has to start with one of"),
        ({"broker_url": "redis://127.0.0.1"}, "HEADWATER_BROKER_URL needs a PostgreSQL HEADWATER_DATABASE_URL"),
        ({"allow_networks": "10.0.0.0/99"}, "HEADWATER_ALLOW_NETWORKS holds '10.0.0.0/99'"),
        ({"env": "production"}, "HEADWATER_SECRET_KEYS is needed in production"),
    ],
)  # fmt: skip
def test_a_wrong_setting_ends_the_start_with_one_line(
    settings: dict[str, str], words: str, tmp_path: Path
) -> None:
    ended = headwater(
        "serve", **{"data_dir": str(tmp_path / "data"), "port": str(free_port())} | settings
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("headwater: ")
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_first_start_prints_one_line_with_a_link_that_works(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        server.wait_until_ready()

        seen = server.client().data(VIEWER)

        token = server.link.partition("#token=")[2]
        assert len([line for line in server.output.splitlines() if "#token=" in line]) == 1
        assert seen["viewer"]["isStaff"] is True
        assert [membership["role"] for membership in seen["viewer"]["teams"]] == ["ADMIN"]
    for name in ("admin-token", "secret-keys"):
        assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) == 0o600
    assert (tmp_path / "data" / "admin-token").read_text().strip() == token
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_second_start_keeps_the_token_and_the_data(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as first:
        first.wait_until_ready()
        token = first.link.partition("#token=")[2]
        first.client().data('mutation { createProject(input: {name: "Kept"}) { project { id } } }')

    with ServerProcess(tmp_path / "data") as second:
        second.wait_until_ready()

        names = second.client(token).data("{ projects { nodes { name } } }")

    assert names == {"projects": {"nodes": [{"name": "Kept"}]}}


def test_the_admin_token_can_be_given(tmp_path: Path) -> None:
    token = "hw_" + "a1" * 22
    with ServerProcess(tmp_path / "data", env={"HEADWATER_ADMIN_TOKEN": token}) as server:
        server.wait_until_ready()

        assert server.client(token).data(VIEWER)["viewer"]["isStaff"] is True


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_server_and_worker_in_order(how: signal.Signals, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        server.wait_until_ready()
        assert server.process is not None
        session = server.process.pid

        status = server.stop(how)

        left = subprocess.run(
            ["pgrep", "-s", str(session)], capture_output=True, text=True, check=False
        ).stdout
        assert left == ""
        assert status in {0, -how}
        assert "Traceback" not in server.output


def test_production_starts_with_a_key_and_closes_what_development_opens(tmp_path: Path) -> None:
    key = headwater("keys", "generate").stdout.strip()
    strict = {"HEADWATER_ENV": "production", "HEADWATER_SECRET_KEYS": key}
    with ServerProcess(tmp_path / "data", env=strict) as server:
        server.wait_until_ready()
        client = server.client()

        schema = server.client(None).answer("{ __schema { queryType { name } } }")
        foreign = client.http.get("/healthz", headers={"host": "evil.example"})
        project = client.data('mutation { createProject(input: {name: "p"}) { project { id } } }')
        tested = client.data(
            """mutation ($input: TestConnectionInput!) {
            testConnection(input: $input) { ok error { code hint } } }""",
            input={
                "projectId": project["createProject"]["project"]["id"],
                "connection": {
                    "database": {
                        "engine": "MYSQL", "host": "127.0.0.1", "port": 3306, "database": "d",
                        "username": "u", "password": "p",
                    }
                },
            },
        )["testConnection"]  # fmt: skip

    assert "errors" in schema
    assert foreign.status_code == 400
    assert (tested["ok"], tested["error"]["code"]) == (False, "CONNECTION_FAILED")
    assert "HEADWATER_ALLOW_NETWORKS" in tested["error"]["hint"]
    assert "private networks" not in server.output


def test_development_says_that_private_networks_are_open(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        server.wait_until_ready()

    assert "sources may be on loopback and private networks" in server.output


def test_a_taken_port_is_said_at_once(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        server.wait_until_ready()

        ended = headwater("serve", data_dir=str(tmp_path / "other"), port=str(server.port))

    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{server.port}" in ended.stderr


def test_a_token_made_by_the_command_works_with_its_role(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        server.wait_until_ready()

        made = headwater(
            "token", "create", "--name", "robot", "--role", "READ", data_dir=str(server.data_dir)
        )

        client = server.client(made.stdout.strip())
        assert client.data("{ viewer { username } }")["viewer"]["username"] == "admin"
        refused = client.answer('mutation { createProject(input: {name: "x"}) { project { id } } }')
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]


def test_the_doctor_finds_a_running_server_well(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        server.wait_until_ready()

        report = headwater("doctor", data_dir=str(server.data_dir), port=str(server.port))

    assert report.returncode == 0, report.stdout + report.stderr
    for check in ("database", "clock", "storage", "broker", "sandbox", "download link"):
        assert any(
            line.startswith(check) and "ok" in line for line in report.stdout.splitlines()
        ), report.stdout


def test_the_doctor_says_what_to_mend(tmp_path: Path) -> None:
    report = headwater("doctor", data_dir=str(tmp_path / "data"), port=str(free_port()))

    assert report.returncode == 1
    assert "run `headwater migrate`" in report.stdout
    assert "skip  nothing answers at" in report.stdout


@pytest.mark.parametrize("verb", ["api", "worker"])
def test_a_process_alone_refuses_an_old_database(verb: str, tmp_path: Path) -> None:
    refused = headwater(verb, data_dir=str(tmp_path / "data"), port=str(free_port()))
    migrated = headwater("migrate", data_dir=str(tmp_path / "data"))
    again = headwater("migrate", data_dir=str(tmp_path / "data"))

    assert refused.returncode == 2
    assert "headwater migrate" in refused.stderr
    assert migrated.returncode == again.returncode == 0
    assert again.stdout == "The database is up to date.\n"


def test_a_worker_without_its_database_ends_with_one_line(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"

    refused = headwater("worker", data_dir=str(tmp_path / "data"), database_url=url)

    assert refused.returncode == 2
    assert refused.stderr.startswith("headwater: ")
    assert "Traceback" not in refused.stderr
