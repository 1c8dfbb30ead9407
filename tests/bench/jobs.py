"""Script jobs: how soon a script starts, what a job costs with nothing in it, and what isolation costs a large one."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models import Job, JobKind, JobStatus, Project
from services import dispatch, jobs
from tests import databases
from tests.bench.processes import cpu_seconds, tree
from tests.bench.sync import connected
from tests.clients import ROOT, Client, ServerProcess
from tests.e2e.deployments import scaled_out
from tests.workers.processes import headquarters, until

STARTS = 20
EMPTY_JOBS = 300
EMPTY_ROUNDS = 3
THREADS = 4  # as `worker_threads`
ROWS = 1_000_000
ROUNDS = 5
FIRST_LINE = "import time; print(time.time())\n\ndef run(df):\n    return df\n"
LIGHT = """
def run(df):
    df["total"] = df["price"] * df["quantity"]
    return df
"""
TYPICAL = """
def run(df):
    df = df[df["quantity"] > 9]
    df["total"] = df["price"] * df["quantity"]
    df["share"] = df["total"] / df.groupby("city")["total"].transform("sum")
    df["title"] = df["title"].str.strip().str.upper()
    df["day"] = df["at"].dt.floor("D")
    return df.sort_values(["city", "at"], kind="stable")
"""
SCRIPTS = {"first.py": FIRST_LINE, "light.py": LIGHT, "typical.py": TYPICAL}
JOB = """query ($id: ID!) { job(id: $id) { status error { message } startedAt finishedAt
  steps { startedAt finishedAt } logs { lines { at level message step } } } }"""


def rows() -> pa.Table:
    """1,000,000 × 10."""
    ids = np.arange(ROWS)
    note = pa.array([f"note {n}" for n in range(5_000)]).take(
        pa.array(ids % 5_000, mask=ids % 4 == 0)
    )
    return pa.table(
        {
            "id": ids,
            "quantity": ids * 7_919 % 1_000,
            "price": ids / 700,
            "ratio": pa.array(ids / 7, mask=ids % 10 == 0),
            "title": [f" title of order {n * 7_919 % ROWS}" for n in range(ROWS)],
            "city": pa.array([f"city {n}" for n in range(300)]).take(pa.array(ids % 300)),
            "kind": pa.array([f"kind {n}" for n in range(5)]).take(pa.array(ids % 5)),
            "at": np.datetime64("2020-01-01", "us") + (ids * 7_919 % ROWS).astype("timedelta64[s]"),
            "paid": ids % 3 == 0,
            "note": note,
        }
    )  # fmt: skip


def source_of(client: Client, data: pa.Table, folder: Path) -> str:
    """A source of the rows, synced, with the scripts."""
    path = folder / f"{uuid4().hex}.parquet"
    pq.write_table(data, path)
    source_id, job_id = connected(client, "rows", {"path": path})
    client.wait_for_job(job_id)
    for name, body in SCRIPTS.items():
        client.data(
            "mutation ($input: UploadScriptInput!) { uploadScript(input: $input) { script { id } } }",
            input={"dataSourceId": source_id, "key": name, "body": body},
        )
    return source_id


def done(client: Client, source_id: str, key: str) -> tuple[float, dict[str, Any]]:
    """Run a script: when it was asked for, and the job once it is over."""
    asked = time.time()
    made = client.data(
        "mutation ($input: CreateJobInput!) { createJob(input: $input) { job { id } } }",
        input={"dataSourceId": source_id, "steps": [{"key": key}], "reuse": False},
    )
    job_id = made["createJob"]["job"]["id"]
    client.wait_for_job(job_id)
    job = client.data(JOB, id=job_id)["job"]
    assert job["status"] == "SUCCEEDED", job
    return asked, job


def seconds_of(span: dict[str, Any]) -> float:
    """From a start to an end as the API tells them."""
    started, finished = (
        datetime.fromisoformat(span[f"{end}At"]) for end in ("started", "finished")
    )
    return (finished - started).total_seconds()


def step_seconds(job: dict[str, Any]) -> float:
    """Of the job's one step: process, isolation, input, script and output, by its lines in the log."""
    lines = [line for line in job["logs"]["lines"] if line["step"] is not None]
    return seconds_of({"startedAt": lines[0]["at"], "finishedAt": lines[-1]["at"]})


def spread(values: Sequence[float], unit: str = "ms") -> str:
    """Median, lowest and highest."""
    scale = 1_000 if unit == "ms" else 1
    shown = (f"{each * scale:.{0 if unit == 'ms' else 2}f}" for each in (min(values), max(values)))
    digits = 0 if unit == "ms" else 2
    return f"{statistics.median(values) * scale:.{digits}f} {unit} ({'-'.join(shown)})"


def starts(folder: Path) -> None:
    """From the request to the first line of a script: the clock as the client and the script read it."""
    with ServerProcess(folder / "starts") as server:
        client = server.wait_until_ready().client()
        source_id = source_of(client, rows().slice(0, 10), folder)
        waits, wholes = [], []
        for _ in range(STARTS + 1):
            asked, job = done(client, source_id, "first.py")
            (said,) = (
                float(line["message"])
                for line in job["logs"]["lines"]
                if line["step"] and line["message"].replace(".", "").isdigit()
            )
            waits.append(said - asked)
            wholes.append(seconds_of(job))
    print(
        f"job start: request to the script's first line   cold {waits[0] * 1_000:.0f} ms   warm {spread(waits[1:])}"
        f"   claim to end of the whole job, warm {spread(wholes[1:])}",
        flush=True,
    )


async def empty(folder: Path, redis_url: str) -> None:
    """Jobs a second that have nothing to do, and messages a second of Dramatiq alone."""
    ours, theirs = [], []
    with ExitStack() as stack:
        deployment = scaled_out(stack, folder, redis_url)
        async with headquarters(
            deployment.database_url,
            folder / "headquarters",
            broker_url=redis_url,
            secret_keys=(deployment.settings["HEADWATER_SECRET_KEYS"],),
            storage_url=deployment.settings["HEADWATER_STORAGE_URL"],
        ):
            made = deployment.client().data(
                'mutation { createProject(input: {name: "Empty"}) { project { pk } } }'
            )
            project = await Project.get(id=made["createProject"]["project"]["pk"])
            await jobs_done(project, 20)
            for _ in range(EMPTY_ROUNDS):
                ours.append(await jobs_done(project, EMPTY_JOBS))
                theirs.append(bare(redis_url, folder))
    ratio = statistics.median(theirs) / statistics.median(ours)
    print(
        f"empty jobs: ours {statistics.median(ours):.0f}/s ({min(ours):.0f}-{max(ours):.0f})   bare Dramatiq"
        f" {statistics.median(theirs):.0f}/s ({min(theirs):.0f}-{max(theirs):.0f})   ratio {1 / ratio:.3f}",
        flush=True,
    )


async def jobs_done(project: Project, count: int) -> float:
    """Queue so many, then let the workers at them; jobs a second from the first claim to the last end."""
    names = [
        (
            await jobs.enqueue(
                kind=JobKind.CLEANUP,
                project_id=project.id,
                data_source_id=None,
                creator_id=None,
                options={"data_source_ids": []},
            )
        ).id
        for _ in range(count)
    ]
    await dispatch.wake(THREADS)

    async def are_over() -> bool:
        return await Job.filter(id__in=names, status=JobStatus.SUCCEEDED).count() == count

    await until(are_over)
    ended = await Job.filter(id__in=names).values_list("started_at", "finished_at")
    first, last = min(start for start, _ in ended), max(end for _, end in ended)
    return float(count / (last - first).total_seconds())


BARE = """
import sys, threading, time, dramatiq
from dramatiq.brokers.redis import RedisBroker

count, over = int(sys.argv[3]), threading.Event()
broker = RedisBroker(url=sys.argv[1], namespace=sys.argv[2], middleware=[])
dramatiq.set_broker(broker)

@dramatiq.actor
def nothing(number):
    if number == count:
        over.set()

for number in range(count):
    nothing.send(number + 1)
worker = dramatiq.Worker(broker, worker_threads=int(sys.argv[4]))
began = time.perf_counter()
worker.start()
over.wait()
print(count / (time.perf_counter() - began))
worker.stop()
broker.flush_all()
"""


def bare(redis_url: str, folder: Path) -> float:
    """Messages a second that one Dramatiq process works off, of an actor that does nothing."""
    return float(printed(BARE, redis_url, f"bench-{uuid4().hex}", EMPTY_JOBS * 10, THREADS)[0])


def printed(code: str, *arguments: object) -> list[str]:
    """The words that a program prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.split()


PLAIN = """
import sys, time
from pathlib import Path
import pandas as pd, pyarrow.parquet as pq
from base.tables import Column, ColumnType, TableSchema
from connectors.files.arrow_types import column_type, stored
from storage.snapshots.manifest import LocalPart
from storage.snapshots.profile import profile

source, target, script = sys.argv[1:]
space = {}
exec(open(script).read(), space)

def work():
    began = time.perf_counter(), time.process_time()
    space["run"](pd.read_parquet(source)).to_parquet(target, index=False)
    print(time.perf_counter() - began[0], time.process_time() - began[1])

def profiled():
    found = pq.read_schema(target)
    columns = [Column(each.name, column_type(each.type, stored(each.type, (each.name,), frozenset()))) for each in found]
    part = LocalPart(Path(target), pq.read_metadata(target).num_rows)
    began = time.perf_counter(), time.process_time()
    profile([part], TableSchema("t", tuple(columns)), Path(target).parent, memory_bytes=512 * 1024**2)
    print(time.perf_counter() - began[0], time.process_time() - began[1])

pd.read_parquet(source).head(1).to_parquet(target)  # what is imported late, is
work()
profiled()
"""


def overheads(folder: Path) -> None:
    """A job from claim to end against a process that reads, runs and writes by pandas alone, in turn.

    What the sandbox and the transport add is in the step alone. The job goes on: its result is checked like an upload,
    stored, and described. What the profile takes in a process by itself is told, and a ratio with it.
    """
    data = rows()
    source = folder / "source.parquet"
    pq.write_table(data, source)
    with ServerProcess(folder / "overheads") as server:
        client = server.wait_until_ready().client()
        assert server.process is not None
        source_id = source_of(client, data, folder)
        done(client, source_id, "light.py")
        for key in ("light.py", "typical.py"):
            script = folder / key
            script.write_text(SCRIPTS[key])
            measured: list[tuple[float, ...]] = []
            for _ in range(ROUNDS):
                before = sum(map(cpu_seconds, tree(server.process.pid)))
                _, job = done(client, source_id, key)
                cpu = sum(map(cpu_seconds, tree(server.process.pid))) - before
                plain = map(float, printed(PLAIN, source, folder / "target.parquet", script))
                measured.append((step_seconds(job), seconds_of(job), cpu, *plain))
            show(key, measured)


def show(key: str, measured: Sequence[tuple[float, ...]]) -> None:
    """The step; then of the job, pandas and the profile, wall and CPU seconds each."""
    step, wall, cpu, plain_wall, plain_cpu, profile_wall, profile_cpu = (
        list(each) for each in zip(*measured, strict=True)
    )
    alone, ours, theirs, its = map(statistics.median, (step, wall, plain_wall, profile_wall))
    print(
        f"{ROWS:,} × 10, {key}\n   step {spread(step, 's')}\n   job {spread(wall, 's')}, CPU {spread(cpu, 's')}"
        f"\n   plain pandas {spread(plain_wall, 's')}, CPU {spread(plain_cpu, 's')}"
        f"\n   the result's profile alone {spread(profile_wall, 's')}, CPU {spread(profile_cpu, 's')}"
        f"\n   step {alone / theirs:.2f}   bar under 1.5; job {ours / theirs:.2f}, to pandas with a profile {ours / (theirs + its):.2f}",
        flush=True,
    )


def main() -> None:
    """All of it; the empty jobs need PostgreSQL and Redis."""
    redis_url = f"redis://127.0.0.1:{databases.REDIS_PORT}/0"
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        starts(folder)
        asyncio.run(empty(folder, redis_url))
        overheads(folder)


if __name__ == "__main__":
    main()
