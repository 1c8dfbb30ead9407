"""An isolated child can do its work; it answers in plain words; and where isolation is missing there is none."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base import isolation
from base.errors import Conflict, Internal, InvalidInput
from base.isolation import Level
from base.process import (
    ChildDied,
    ForkServer,
    Isolation,
    LimitExceeded,
    Limits,
    OpenFile,
    run,
)
from tests.base import isolated_work

ROOT = Path(__file__).parents[2]
LIMITS = Limits(wall_seconds=100)
RESULT, ERROR, BUG = 1, 2, 3


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """With the data libraries loaded, as the one for scripts has them."""
    server = ForkServer(("tests.base.isolated_work",))
    yield server
    server.stop()


async def test_data_libraries_work_inside(server: ForkServer, tmp_path: Path) -> None:
    table = pa.table({"k": np.arange(200_000) % 100, "v": np.arange(200_000) / 7})
    ipc, parquet, output = (tmp_path / name for name in ("in.arrow", "in.parquet", "out.arrow"))
    with pa.ipc.new_file(ipc, table.schema) as writer:
        writer.write_table(table)
    pq.write_table(table, parquet)
    opens = (OpenFile(ipc), OpenFile(parquet), OpenFile(output, writable=True))

    found = await run(
        isolated_work.analyse, limits=LIMITS, isolation=Isolation(opens), server=server, plain=True
    )

    assert found == {
        "groups": 100,
        "sums": 100,
        "counted": [200_000],
        "squares": 328_350,
        "csv": {"a": [1], "b": [2]},
        "inverse": [0.5, 0, 0],
    }
    assert pa.ipc.open_file(output).read_all().equals(table)


async def test_what_python_reads_late_is_there(server: ForkServer) -> None:
    found = await run(
        isolated_work.import_lately,
        limits=LIMITS,
        isolation=Isolation(),
        server=server,
        plain=True,
    )

    assert found == {
        "mean": "1.5",
        "decimal": "2.20",
        "berlin": "2:00:00",
        "tokyo": "9:00:00",
        "paris": "timestamp[us, tz=Europe/Paris]",
        "xml": "b",
    }


async def test_two_fork_servers_have_modules_of_their_own(server: ForkServer) -> None:
    other = ForkServer(())
    try:
        assert await run(isolated_work.user, limits=LIMITS, server=other) >= 0
        assert other._process is not None
        assert server._process is None or server._process.pid != other._process.pid
    finally:
        other.stop()


# The end


async def is_gone(pid: int) -> bool:
    for _ in range(6_000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_cancelling_kills_an_isolated_child_before_it_returns() -> None:
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    work = run(
        isolated_work.stay,
        limits=LIMITS,
        isolation=Isolation(),
        on_message=pid.set_result,
        plain=True,
    )
    task = asyncio.create_task(work)
    child = await pid

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_an_isolated_child_dies_with_its_fork_server() -> None:
    server = ForkServer(())
    children = []

    def kill_server(pid: int) -> None:
        children.append(pid)
        assert server._process is not None
        server._process.kill()

    with pytest.raises(ChildDied, match="fork server"):
        await run(
            isolated_work.stay,
            limits=LIMITS,
            isolation=Isolation(),
            on_message=kill_server,
            server=server,
        )
    server.stop()

    assert await is_gone(children[0])


# Plain answers


async def plain(server: ForkServer, work: Any, *args: object, **options: Any) -> Any:
    return await run(work, *args, limits=LIMITS, server=server, plain=True, **options)


async def test_messages_of_a_plain_child_are_json(server: ForkServer) -> None:
    heard: list[Any] = []

    count = await plain(server, isolated_work.talk, 3, 2, on_message=heard.append)

    assert count == 3
    assert heard == [{"number": number, "text": "xx"} for number in range(3)]


async def test_an_error_of_a_plain_child_is_known_by_its_code(server: ForkServer) -> None:
    with pytest.raises(InvalidInput) as refused:
        await plain(server, isolated_work.refuse)
    with pytest.raises(Conflict, match="taken"):
        await plain(server, isolated_work.conflict)

    assert (refused.value.message, refused.value.hint) == ("no?", "say yes")


async def test_a_failure_of_a_plain_child_is_masked(
    server: ForkServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(Internal, match="RuntimeError"):
        await plain(server, isolated_work.fail, "hunter2-secret", secrets=["hunter2-secret"])
    with pytest.raises(Internal, match="TypeError"):
        await plain(server, isolated_work.answer_an_object)

    assert "RuntimeError: cannot open •••" in caplog.text


@pytest.mark.parametrize(
    "frame",
    [
        (RESULT, "not json"),
        (RESULT, "[" * 100_000),
        (RESULT, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")),
        (ERROR, '{"code": "FORBIDDEN", "message": "a code that no child has", "hint": null}'),
        (ERROR, '{"code": "INVALID_INPUT", "message": 7, "hint": null}'),
        (ERROR, '{"code": ["INVALID_INPUT"], "message": "x", "hint": null}'),
        (ERROR, '"x"'),
        (BUG, '["only one"]'),
        (BUG, "[1, 2]"),
        (9, "{}"),
    ],
)
async def test_an_answer_that_is_no_answer_is_refused(
    server: ForkServer, frame: tuple[int, str]
) -> None:
    with pytest.raises(ChildDied, match="unreadable answer"):
        await plain(server, isolated_work.say_raw, [frame], on_message=lambda _: None)


async def test_an_error_s_text_is_cut(server: ForkServer) -> None:
    body = json.dumps({"code": "INVALID_INPUT", "message": "x" * 100_000, "hint": "y" * 100_000})

    with pytest.raises(InvalidInput) as caught:
        await plain(server, isolated_work.say_raw, [(ERROR, body)], on_message=lambda _: None)

    assert (len(caught.value.message), len(caught.value.hint or "")) == (4000, 4000)


@pytest.mark.parametrize(
    ("count", "length", "message"),
    [
        (1, 5 * 1024**2, "an answer over 4 MB"),
        (100, 1024**2, "more than 64 MB in all"),
        (300_000, 0, "more than 64 MB in all"),
    ],
)
async def test_a_plain_child_cannot_talk_without_end(
    server: ForkServer, count: int, length: int, message: str
) -> None:
    with pytest.raises(LimitExceeded, match=message):
        await plain(server, isolated_work.talk, count, length, on_message=lambda _: None)


# Where isolation is missing

# A system that refuses what isolation stands on, as containers and old kernels do: a filter of the test's own.
_LACKING = """
import asyncio, json, logging, struct, sys
from base import isolation, privileges, process, seccomp
from base.errors import SandboxUnavailable
from tests.base import isolated_work

lacks, allowed = sys.argv[1], sys.argv[2] == "limited"
step = lambda code, operand, yes=0, no=0: struct.pack("@HBBI", code, yes, no, operand)
load, equal, leave, error = 0x20, 0x15, 0x06, 0x00050000
if lacks == "landlock":  # its first call is not implemented
    program = [step(load, 0), step(equal, 444, 0, 1), step(leave, error | 38)]
else:  # prctl, asked for a filter, does not know it
    number = seccomp.this_machine().calls["prctl"]
    program = [step(load, 0), step(equal, number, 0, 3), step(load, 16), step(equal, 22, 0, 1),
               step(leave, error | 22)]
seen = []
class Handler(logging.Handler):
    def emit(self, record):
        seen.append(record.getMessage())
logging.getLogger().addHandler(Handler(logging.WARNING))

async def main():
    process.allow_limited(allowed)
    told = []
    for _ in range(2):
        try:
            work = process.run(isolated_work.user, limits=process.Limits(100),
                               isolation=process.Isolation(), plain=True)
            told.append(await work)
        except SandboxUnavailable as error:
            told.append([error.code, error.message, error.hint])
    print(json.dumps([told, isolation.level(), isolation.describe(), seen]))

privileges.forbid_new()
seccomp.install(b"".join([*program, step(leave, 0x7FFF0000)]))
asyncio.run(main())
"""


def without(lacks: str, setting: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", _LACKING, lacks, setting],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("lacks", "named"), [("landlock", "Landlock"), ("seccomp", "seccomp")])
def test_without_isolation_nothing_runs(lacks: str, named: str) -> None:
    told, level, described, warnings = without(lacks, "strict")

    code, message, hint = told[0]
    assert (code, level, warnings) == ("SANDBOX_UNAVAILABLE", "unavailable", [])
    assert message.startswith(f"This machine cannot isolate the work: {named}")
    assert "HEADWATER_SANDBOX=limited" in hint
    assert f"missing: {named}" in described


@pytest.mark.parametrize(("lacks", "left"), [("landlock", "seccomp"), ("seccomp", "Landlock")])
def test_an_operator_may_do_with_what_there_is_and_is_warned_once(lacks: str, left: str) -> None:
    told, level, described, warnings = without(lacks, "limited")

    assert level == "limited"
    assert all(isinstance(each, int) for each in told)
    assert "limited: limits, no new privileges, no capabilities, " in described
    assert left in described.partition("missing")[0]
    assert len(warnings) == 1
    assert warnings[0].startswith("SANDBOX LIMITED")


def test_this_machine_isolates_strictly() -> None:
    assert isolation.level() is Level.STRICT
    assert isolation.describe().startswith("strict: limits, no new privileges, no capabilities")


def test_the_runtime_that_may_be_read_holds_nothing_else(tmp_path: Path) -> None:
    folders = isolation.runtime()

    for closed in (ROOT, tmp_path, Path.home(), Path("/etc"), Path("/proc"), Path("/"), Path.cwd()):
        assert closed not in folders
    assert ROOT / "connectors" in folders
    assert not any((ROOT / "data").is_relative_to(folder) for folder in folders)
