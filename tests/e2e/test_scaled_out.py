"""Many processes on PostgreSQL with Redis or RabbitMQ: the same promises, by settings alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from base.credentials import generate_key
from tests.clients import ROOT, ServerProcess
from tests.e2e.calls import CONNECT, ROWS, SOURCE

pytestmark = pytest.mark.e2e
ROWS_TOTAL = 200_000


@pytest.fixture(params=["redis", "rabbitmq"])
def settings(
    request: pytest.FixtureRequest, postgres_database: str, tmp_path: Path
) -> dict[str, str]:
    broker: str = request.getfixturevalue(f"{request.param}_url")
    return {
        "HEADWATER_DATABASE_URL": postgres_database,
        "HEADWATER_BROKER_URL": broker,
        "HEADWATER_STORAGE_URL": f"file://{tmp_path / 'objects'}",
        "HEADWATER_SECRET_KEYS": generate_key(),
        "HEADWATER_LEASE_SECONDS": "6",
    }


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def headwater(verb: list[str], settings: dict[str, str], data_dir: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("headwater")), *verb], cwd=ROOT, capture_output=True, text=True,
        env=env | settings | {"HEADWATER_DATA_DIR": str(data_dir)}, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_two_apis_and_two_workers_do_the_main_job_though_a_worker_is_killed(
    settings: dict[str, str], stack: ExitStack, tmp_path: Path
) -> None:
    headwater(["migrate"], settings, tmp_path / "command")
    token = headwater(["token", "create"], settings, tmp_path / "command")
    apis = [
        stack.enter_context(ServerProcess(tmp_path / f"api{n}", "api", settings)) for n in range(2)
    ]
    workers = [
        stack.enter_context(ServerProcess(tmp_path / f"worker{n}", "worker", settings))
        for n in range(2)
    ]
    first, second = (api.wait_until_ready().client(token) for api in apis)
    project_id = first.data('mutation { createProject(input: {name: "Big"}) { project { id } } }')[
        "createProject"
    ]["project"]["id"]
    path = tmp_path / "numbers.csv"
    path.write_text("n,code\n" + "".join(f"{n},{n:07d}\n" for n in range(ROWS_TOTAL)))
    key = first.upload(project_id, path)["objectKey"]

    made = first.data(
        CONNECT,
        input={
            "projectId": project_id,
            "sources": [
                {"name": f"numbers {n}", "connection": {"file": {"objectKey": key}}}
                for n in range(4)
            ],
            "idempotencyKey": str(uuid.uuid4()),
        },
    )["connectDataSources"]
    killed = workers[0].process
    assert killed is not None
    os.killpg(killed.pid, signal.SIGKILL)

    for job in made["jobs"]:
        assert second.wait_for_job(job["id"])["status"] == "SUCCEEDED"
    for source in made["dataSources"]:
        found = second.data(SOURCE, id=source["id"])["dataSource"]
        assert [table["rowCount"] for table in found["tables"]] == [ROWS_TOTAL]
        assert [snapshot["receipt"]["balanced"] for snapshot in found["snapshots"]["nodes"]] == [
            True
        ]
        last = second.data(
            ROWS, id=source["id"], first=1, orderBy=[{"column": "n", "direction": "DESC"}]
        )["dataSource"]["table"]["rows"]["rows"]  # fmt: skip
        assert last == [[ROWS_TOTAL - 1, f"{ROWS_TOTAL - 1:07d}"]]
