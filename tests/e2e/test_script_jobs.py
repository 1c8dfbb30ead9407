"""Script jobs over 300,000 rows by real processes: followed live, downloaded, cancelled, tried again, killed."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.ids import parse_id
from models import Schedule, database
from services.scripts.shipped import FOLDER
from tests.clients import Client
from tests.e2e.calls import connect, download
from tests.e2e.deployments import Deployment, embedded, scaled_out
from tests.sockets import signed_in

pytestmark = pytest.mark.e2e
ROWS = 300_000  # more than one part
WAIT_SECONDS = 120
JOB = """id status attempts error { code message } progress { fraction rowsDone rowsTotal message }
  snapshot { id isDerived rowCount } steps { key status rowsIn rowsOut }"""
LOGS = "query ($id: ID!) { job(id: $id) { logs(first: 200) { lines { level message step } } } }"
PRICES = """
import time

def run(df, context):
    for part in range(6):
        context.progress(part / 6, f"part {part}")
        time.sleep(context.parameters.get("pause", 0))
    df["total"] = df["price"] * df["quantity"]
    df["label"] = df["city"].str.upper() + "-" + df["quantity"].astype(str)
    return df
"""
PLACES = """
import logging

by_city = df.groupby("city", dropna=False)["total"].transform("sum")
df = df[df["quantity"] % 7 != 0].assign(share=df["total"] / by_city).drop(columns=["paid"])
logging.getLogger("places").warning("%d rows are left", len(df))
"""
BATCHES = """
def run_batches(batches, context):
    for batch in batches:
        yield batch[batch["quantity"] < context.parameters["below"]][["id", "city", "day"]]
"""
ENDLESS = "def run(df):\n    print('for ever')\n    while True:\n        pass\n"
SLOW = """
import time

def run(df, context):
    context.logger.info("slow now")
    time.sleep(context.parameters["seconds"])
    return df.head(1000)
"""
SCRIPTS = {"prices.py": PRICES, "places.py": PLACES, "batches.py": BATCHES, "endless.py": ENDLESS, "slow.py": SLOW}  # fmt: skip
CONDITIONS = {"conditions": [{"column": "total", "operator": ">=", "value": 100}]}


def table() -> pa.Table:
    """What the source holds."""
    ids = np.arange(ROWS)
    cities = pa.array([f"city {n}" if n else None for n in range(300)], pa.string())
    return pa.table(
        {
            "id": ids,
            "price": ids / 700,
            "quantity": ids % 23,
            "city": cities.take(pa.array(ids % 300)),
            "day": (np.datetime64("2020-01-01") + ids % 1_500).astype("datetime64[D]"),
            "at": np.datetime64("2020-01-01", "us") + ids.astype("timedelta64[s]"),
            "paid": ids % 300 == 0,
        }
    )


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return table()


@pytest.fixture(scope="module", params=["embedded", "redis"])
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "embedded":
            yield embedded(stack, folder)
        else:
            yield scaled_out(stack, folder, request.getfixturevalue("redis_url"))


@pytest.fixture(scope="module")
def client(deployment: Deployment) -> Client:
    return deployment.client()


@pytest.fixture(scope="module")
def source_id(client: Client, rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source with its rows and scripts."""
    made = client.data('mutation { createProject(input: {name: "Scripts"}) { project { id } } }')
    project_id = made["createProject"]["project"]["id"]
    path = tmp_path_factory.mktemp("source") / "orders.parquet"
    pq.write_table(rows, path)
    connection = {"file": {"objectKey": client.upload(project_id, path)["objectKey"]}}
    found, job_id = connect(client, project_id, "orders", connection)
    assert client.wait_for_job(job_id)["status"] == "SUCCEEDED"
    for key, body in SCRIPTS.items():
        client.data(
            "mutation ($input: UploadScriptInput!) { uploadScript(input: $input) { script { id } } }",
            input={"dataSourceId": found, "key": key, "body": body},
        )
    return found


def create(client: Client, source_id: str, *steps: tuple[str, dict[str, Any]]) -> str:
    """A job of these scripts with their parameters; its id."""
    given = [{"key": key, "parameters": parameters} for key, parameters in steps]
    made = client.data(
        "mutation ($input: CreateJobInput!) { createJob(input: $input) { job { id } } }",
        input={"dataSourceId": source_id, "steps": given, "reuse": False},
    )
    job_id: str = made["createJob"]["job"]["id"]
    return job_id


def job_of(client: Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = client.data(f"query ($id: ID!) {{ job(id: $id) {{ {JOB} }} }}", id=job_id)["job"]  # fmt: skip
    return job


def lines_of(client: Client, job_id: str) -> list[str]:
    lines = client.data(LOGS, id=job_id)["job"]["logs"]["lines"]
    return [line["message"] for line in lines]


def wait_for_line(client: Client, job_id: str, line: str) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while line not in lines_of(client, job_id):
        assert time.monotonic() < until, lines_of(client, job_id)
        time.sleep(0.05)


def wait_for_status(client: Client, job_id: str, status: str) -> float:
    """The seconds that it took."""
    started = time.monotonic()
    while (job := job_of(client, job_id))["status"] != status:
        assert time.monotonic() - started < WAIT_SECONDS, job
        time.sleep(0.05)
    return time.monotonic() - started


def result_of(client: Client, source_id: str, job: dict[str, Any]) -> pa.Table:
    """The table that a job made, downloaded."""
    assert (job["status"], job["error"]) == ("SUCCEEDED", None)
    content = download(client, source_id, "PARQUET", snapshotId=job["snapshot"]["id"])
    return pq.read_table(io.BytesIO(content))


def by_pandas(df: pd.DataFrame, body: str, **parameters: Any) -> pd.DataFrame:
    """What the text of a script makes of a DataFrame, run right here."""
    context = SimpleNamespace(
        parameters=parameters, progress=lambda *_: None, logger=logging.getLogger(__name__)
    )
    space: dict[str, Any] = {"df": df, "context": context}
    exec(body, space)
    if "run_batches" in space:
        pieces = (df.iloc[at : at + 10_000] for at in range(0, len(df), 10_000))
        space["df"] = pd.concat(list(space["run_batches"](pieces, context)))
    elif "run" in space:
        space["df"] = space["run"](df, context)
    result: pd.DataFrame = space["df"]
    return result


def assert_same(stored: pa.Table, expected: pd.DataFrame) -> None:
    """Every cell, and the order of columns and rows."""
    wanted = pa.Table.from_pandas(expected, preserve_index=False)
    assert stored.column_names == wanted.column_names
    assert stored.num_rows == wanted.num_rows
    for name in wanted.column_names:
        as_stored = wanted.column(name).cast(stored.column(name).type)
        assert stored.column(name).equals(as_stored), name


async def followed(deployment: Deployment, job_id: str) -> list[dict[str, Any]]:
    """Every event of a job from now to its end."""
    told: list[dict[str, Any]] = []
    async with signed_in(deployment.sockets_url, deployment.token) as socket:
        await socket.subscribe("job", f"subscription ($id: ID!) {{ job(id: $id) {{ {JOB} }} }}", id=job_id)  # fmt: skip
        while (message := await socket.of("job"))["type"] == "next":
            assert "errors" not in message["payload"], message
            told.append(message["payload"]["data"]["job"])
    assert message["type"] == "complete"
    return told


async def test_three_steps_are_followed_and_give_what_pandas_gives(
    deployment: Deployment, client: Client, source_id: str, rows: pa.Table
) -> None:
    job_id = await asyncio.to_thread(
        create,
        client,
        source_id,
        ("prices.py", {"pause": 0.3}),
        ("places.py", {}),
        ("local:filter_rows", CONDITIONS),
    )

    told = await followed(deployment, job_id)

    first, last = told[0], told[-1]
    assert (first["id"], first["snapshot"]) == (job_id, None)
    assert first["status"] in {"QUEUED", "RUNNING"}
    order = ["QUEUED", "RUNNING", "SUCCEEDED"]
    statuses = [order.index(job["status"]) for job in told]
    assert statuses == sorted(statuses)
    assert statuses.count(order.index("SUCCEEDED")) == 1
    done = [job["progress"]["rowsDone"] for job in told]
    assert done == sorted(done)
    assert len(set(done)) > 3, done  # parts of the first step, then the others
    messages = [job["progress"]["message"] or "" for job in told]
    assert any("prices.py: part" in message for message in messages), messages
    assert last["progress"]["fraction"] == 1
    expected = rows.to_pandas()
    expected = by_pandas(expected, PRICES)
    expected = by_pandas(expected, PLACES)
    left = len(expected)
    filtering = (FOLDER / "filter_rows.py").read_text()
    expected = by_pandas(expected, filtering, **CONDITIONS)
    assert [list(step.values()) for step in last["steps"]] == [
        ["prices.py", "SUCCEEDED", ROWS, ROWS],
        ["places.py", "SUCCEEDED", ROWS, left],
        ["local:filter_rows", "SUCCEEDED", left, len(expected)],
    ]
    assert last["snapshot"]["isDerived"]
    assert last["snapshot"]["rowCount"] == len(expected)
    stored = await asyncio.to_thread(result_of, client, source_id, last)
    assert_same(stored, expected)
    assert f"places: {left} rows are left" in await asyncio.to_thread(lines_of, client, job_id)


def test_batches_give_what_pandas_gives(client: Client, source_id: str, rows: pa.Table) -> None:
    job_id = create(client, source_id, ("batches.py", {"below": 5}))
    client.wait_for_job(job_id)

    stored = result_of(client, source_id, job_of(client, job_id))

    assert_same(stored, by_pandas(rows.to_pandas(), BATCHES, below=5))


def test_an_endless_script_is_cancelled_and_a_cancelled_job_is_tried_again(
    client: Client, source_id: str, rows: pa.Table
) -> None:
    endless = create(client, source_id, ("endless.py", {}))
    wait_for_line(client, endless, "for ever")
    cancel = "mutation ($input: CancelJobInput!) { cancelJob(input: $input) { job { status } } }"

    client.data(cancel, input={"id": endless})

    seconds = wait_for_status(client, endless, "CANCELLED")
    print(f"cancelled in {seconds:.2f} s")
    assert job_of(client, endless)["snapshot"] is None
    slow = create(client, source_id, ("slow.py", {"seconds": 3}))
    wait_for_line(client, slow, "slow now")
    client.data(cancel, input={"id": slow})
    wait_for_status(client, slow, "CANCELLED")
    retry = "mutation ($input: RetryJobInput!) { retryJob(input: $input) { job { id } } }"
    again = client.data(retry, input={"id": slow})["retryJob"]["job"]["id"]
    assert again != slow
    client.wait_for_job(again)
    stored = result_of(client, source_id, job_of(client, again))
    assert_same(stored, rows.to_pandas().head(1_000))


def test_a_job_goes_on_behind_its_first_step_though_its_worker_is_killed_in_the_second(
    deployment: Deployment, client: Client, source_id: str, rows: pa.Table
) -> None:
    job_id = create(client, source_id, ("prices.py", {}), ("slow.py", {"seconds": 2}))
    wait_for_line(client, job_id, "slow now")

    deployment.kill_worker()

    client.wait_for_job(job_id)
    job, lines = job_of(client, job_id), lines_of(client, job_id)
    assert job["attempts"] == 2
    begun = [line for line in lines if line.startswith("Step ")]
    assert begun == [
        f"Step 1 of 2, prices.py: {ROWS:,} rows.",
        f"Step 2 of 2, slow.py: {ROWS:,} rows.",
        f"Step 2 of 2, slow.py: {ROWS:,} rows.",
    ]
    assert lines.count("slow now") == 2
    expected = by_pandas(rows.to_pandas(), PRICES).head(1_000)
    assert_same(result_of(client, source_id, job), expected)


async def test_a_schedule_whose_time_has_come_runs_scripts(
    deployment: Deployment, client: Client, source_id: str, rows: pa.Table
) -> None:
    steps = [{"key": "batches.py", "parameters": {"below": 1}}]
    made = await asyncio.to_thread(
        client.data,
        "mutation ($input: CreateScheduleInput!) { createSchedule(input: $input) { schedule { id nextRunAt } } }",
        input={
            "dataSourceId": source_id,
            "name": "New Year",
            "cron": "0 0 1 1 *",
            "work": {"job": {"steps": steps, "reuse": False}},
        },
    )
    schedule_id = made["createSchedule"]["schedule"]["id"]
    parsed = parse_id(schedule_id)
    assert parsed is not None

    async with database.open(deployment.database_url):
        await Schedule.filter(id=parsed[1]).update(next_run_ms=0)

    asked = "query ($id: ID!) { node(id: $id) { ... on Schedule { lastJob { id } lastError { message } } } }"
    until = time.monotonic() + WAIT_SECONDS
    while not (found := (await asyncio.to_thread(client.data, asked, id=schedule_id))["node"])[
        "lastJob"
    ]:
        assert time.monotonic() < until, found
        await asyncio.sleep(0.1)
    job_id = found["lastJob"]["id"]
    await asyncio.to_thread(client.wait_for_job, job_id)
    job = await asyncio.to_thread(job_of, client, job_id)
    stored = await asyncio.to_thread(result_of, client, source_id, job)
    assert_same(stored, by_pandas(rows.to_pandas(), BATCHES, below=1))
