"""Several processes migrate one database; one is killed half-way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import models.database
from models import migrate
from tests.models import schema
from tests.models.history import History

ROOT = Path(__file__).parents[2]
UPGRADE = """
import asyncio, json, sys
from models import migrate

url, package = sys.argv[1:]
applied = asyncio.run(migrate.upgrade(url, lambda text: print(text, flush=True), migrations=package))
print(json.dumps(applied), flush=True)
"""
SLOW = """
    ops.AddField("Team", "colour", fields.CharField(null=True, max_length=20)),
    ops.RunPython(wait),
"""
QUICK = SLOW.replace("ops.RunPython(wait),", "")


def _start(url: str, package: str, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", UPGRADE, url, package],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{root}"},
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_of_three_processes_exactly_one_migrates(empty_url: str, history: History) -> None:
    processes = [_start(empty_url, history.package, history.root) for _ in range(3)]

    outputs = await asyncio.gather(*(asyncio.to_thread(p.communicate) for p in processes))

    assert [process.returncode for process in processes] == [0, 0, 0]
    applied = [json.loads(output.splitlines()[-1]) for output, _ in outputs]
    assert sorted(applied) == [[], [], ["0001_initial"]]


async def test_a_migration_killed_half_way_leaves_nothing_and_is_done_again(
    empty_url: str, history: History
) -> None:
    await migrate.upgrade(empty_url, migrations=history.package)
    async with models.database.open(empty_url) as database:
        before = await schema.read(database)
    history.add("0002_colour", SLOW)
    process = _start(empty_url, history.package, history.root)
    assert process.stdout is not None
    with process, process.stdout as lines:
        assert await asyncio.to_thread(lines.readline) == "applying 0002_colour\n"
        await asyncio.sleep(0.2)  # into the migration, past its first change
        process.send_signal(signal.SIGKILL)
    async with models.database.open(empty_url) as database:
        assert await schema.read(database) == before
    history.replace_last(QUICK)

    applied = await asyncio.wait_for(migrate.upgrade(empty_url, migrations=history.package), 120)

    assert applied == ["0002_colour"]
    async with models.database.open(empty_url) as database:
        after = await schema.read(database)
    assert after["teams"] == before["teams"].with_columns(colour=("VARCHAR(20)", True, None))


async def test_a_process_says_that_it_waits_for_another(empty_url: str, history: History) -> None:
    history.add("0002_colour", SLOW)
    first = _start(empty_url, history.package, history.root)
    assert first.stdout is not None
    said: list[str] = []
    waits = asyncio.Event()

    def hear(text: str) -> None:
        said.append(text)
        waits.set()

    with first, first.stdout as lines:
        assert await asyncio.to_thread(lines.readline) == "applying 0001_initial\n"
        waiting = asyncio.ensure_future(migrate.upgrade(empty_url, hear))
        await waits.wait()
        first.send_signal(signal.SIGKILL)

    assert await asyncio.wait_for(waiting, 120) == ["0001_initial"]
    assert said == [
        "waiting for another process that migrates this database",
        "applying 0001_initial",
    ]
