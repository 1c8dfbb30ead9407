"""A child process answers, is limited, and takes nothing with it."""

import asyncio
import logging
import os
import signal
import socket
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from base import process
from base.errors import Internal, InvalidInput
from base.process import ChildDied, ForkServer, Isolation, LimitExceeded, Limits, TookTooLong, run
from base.tables import Column, ColumnType, TableSchema
from tests.base import process_work

GIB = 1024**3
LIMITS = Limits(wall_seconds=240, memory_bytes=4 * GIB, cpu_seconds=240, file_bytes=1024**2)


async def gone(pid: int) -> bool:
    for _ in range(6_000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_function_s_result_comes_back() -> None:
    assert await run(process_work.add, 1, 2, limits=LIMITS) == 3


async def test_our_own_data_classes_come_back_as_themselves() -> None:
    expected = TableSchema("t", (Column("c", ColumnType.DECIMAL),), details={"d": Decimal("1.50")})

    assert await run(process_work.table, limits=LIMITS) == expected


async def test_a_fork_server_keeps_no_pages_of_libraries_that_only_loading_them_took() -> None:
    server = ForkServer(("pyarrow",))
    try:
        kept = await run(process_work.kept_kilobytes, "libarrow.so", limits=LIMITS, server=server)
    finally:
        server.stop()

    assert len(kept) > 1
    assert sum(kept) < 2_000  # of 12,000; Arrow does something wherever its process forks


async def test_a_platform_error_comes_back_as_itself() -> None:
    with pytest.raises(InvalidInput) as caught:
        await run(process_work.refuse, limits=LIMITS)

    assert (caught.value.message, caught.value.hint, caught.value.field) == (
        "no",
        "say yes",
        "input.answer",
    )


async def test_another_exception_is_masked_and_its_traceback_logged_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(Internal, match="RuntimeError") as caught:
        await run(process_work.fail, "hunter2-secret", limits=LIMITS, secrets=["hunter2-secret"])

    assert "hunter2" not in caught.value.message
    assert "RuntimeError: cannot open •••" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_crash_is_an_error_that_names_the_signal() -> None:
    with pytest.raises(ChildDied, match="SIGSEGV"):
        await run(process_work.crash, limits=LIMITS)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGALRM, r"SIGALRM, which it or the system sent\.$"),
        (signal.SIGFPE, r"SIGFPE, a crash in a library\.$"),
    ],
)
async def test_a_signal_that_is_no_crash_is_not_called_one(
    number: signal.Signals, reason: str
) -> None:
    with pytest.raises(ChildDied, match=reason):
        await run(process_work.end_by, number, limits=LIMITS)


async def test_a_signal_without_a_name_is_named_by_its_number() -> None:
    with pytest.raises(ChildDied, match=r"was ended by signal 40\.$"):
        await run(process_work.end_by, 40, limits=LIMITS)


@pytest.mark.parametrize(
    "said",
    [
        b"memory allocation of 4294967296 bytes failed",
        b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
    ],
)
async def test_a_library_that_aborts_without_memory_is_over_the_limit_and_not_tried_again(
    said: bytes,
) -> None:
    with pytest.raises(LimitExceeded, match=r"more memory than its limit of 4\.0 GB") as caught:
        await run(process_work.abort_without_memory, said, limits=LIMITS)

    assert caught.value.retryable is False
    assert "HEADWATER_CHILD_MEMORY_BYTES_MAX" in (caught.value.hint or "")


async def test_a_library_that_crashes_near_the_limit_is_over_it() -> None:
    limits = Limits(240, GIB, 240, 1)

    with pytest.raises(LimitExceeded, match=r"more memory than its limit of 1\.0 GB"):
        await run(process_work.crash_without_memory, limits=limits)
    with pytest.raises(LimitExceeded, match=r"more memory than its limit of 1\.0 GB"):
        await run(process_work.exit_without_memory, limits=limits)


async def test_an_abort_far_from_the_limit_may_go_better_another_time() -> None:
    with pytest.raises(ChildDied, match="SIGABRT, a crash in a library") as caught:
        await run(process_work.abort_without_memory, b"no such font", limits=LIMITS)

    assert (type(caught.value), caught.value.retryable) == (ChildDied, True)


async def test_an_exit_is_an_error_that_names_the_code() -> None:
    with pytest.raises(ChildDied, match="exited with code 3"):
        await run(process_work.exit_with, 3, limits=LIMITS)


@pytest.mark.parametrize(
    ("work", "limits", "error", "message"),
    [
        (process_work.eat_memory, LIMITS, LimitExceeded, r"limit of 4\.0 GB"),
        (process_work.spin, Limits(240, 4 * GIB, 1, 1), LimitExceeded, "1 seconds of processor"),
        (process_work.spin_on, Limits(240, 4 * GIB, 1, 1), LimitExceeded, "1 seconds of processor"),
        (process_work.nap, Limits(0.2, 4 * GIB, 9, 1), TookTooLong, r"limit of 0\.2 seconds"),
    ],
)
async def test_each_limit_stops_the_work_and_is_named(
    work: Any, limits: Limits, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await run(work, limits=limits)


async def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match="file over its limit of 1 MB"):
        await run(process_work.write, str(tmp_path / "big"), 2 * 1024**2, limits=LIMITS)


@pytest.mark.parametrize(
    ("size", "files_max", "message"),
    [
        (4096, 100_000, r"files of more than its limit of 4 MB in all"),
        (0, 1000, r"more than its limit of 1,000 files"),
    ],
)
async def test_files_that_are_too_many_for_the_folder_end_the_work(
    tmp_path: Path, size: int, files_max: int, message: str
) -> None:
    limits = replace(LIMITS, folder_bytes=4 * 1024**2, folder_files=files_max)

    with pytest.raises(LimitExceeded, match=message) as caught:
        await run(
            process_work.fill,
            str(tmp_path),
            2_000,
            size,
            limits=limits,
            isolation=Isolation(folder=tmp_path),
        )

    assert (caught.value.code, caught.value.retryable) == ("PAYLOAD_TOO_LARGE", False)


async def test_a_tree_that_is_too_deep_to_be_counted_ends_the_work(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match="cannot be looked into"):
        await run(
            process_work.dig,
            str(tmp_path),
            30,
            limits=replace(LIMITS, folder_bytes=GIB),
            isolation=Isolation(folder=tmp_path),
        )


async def test_files_that_were_taken_away_do_not_count(tmp_path: Path) -> None:
    def take(number: int) -> None:
        (tmp_path / f"{number}.dat").unlink()

    count = await run(
        process_work.hand_over,
        str(tmp_path),
        60,
        1024**2,
        limits=replace(LIMITS, folder_bytes=2 * 1024**2, folder_files=1000),
        on_message=take,
        isolation=Isolation(folder=tmp_path),
    )

    assert count == 60


async def test_a_child_that_sends_more_than_a_pipe_holds_waits_for_a_slow_parent() -> None:
    received = []

    async def slowly(message: tuple[int, bytes]) -> None:
        if message[0] % 50 == 0:
            await asyncio.sleep(0.01)
        received.append(message[0])

    result = await run(process_work.chatter, 200, 50_000, limits=LIMITS, on_message=slowly)

    assert (result, received) == (200, list(range(200)))


async def test_a_parent_s_own_failure_while_it_handles_a_message_is_not_taken_for_the_child_s() -> (
    None
):
    def broken(_: object) -> None:
        raise ConnectionResetError("the database went away")

    with pytest.raises(ConnectionResetError, match="the database went away"):
        await run(process_work.chatter, 5, 5, limits=LIMITS, on_message=broken)


async def test_cancelling_kills_the_child_before_it_returns() -> None:
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(process_work.stay, limits=LIMITS, on_message=pid.set_result))
    child = await pid

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_a_child_killed_from_outside_is_an_error_and_the_next_one_works() -> None:
    def kill(pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    with pytest.raises(ChildDied, match="SIGKILL, as the system does when the memory") as caught:
        await run(process_work.stay, limits=LIMITS, on_message=kill)
    assert caught.value.retryable is True
    assert "HEADWATER_WORKER_THREADS" in (caught.value.hint or "")
    assert await run(process_work.add, 2, 2, limits=LIMITS) == 4


async def test_the_fork_server_comes_back_and_its_children_die_with_it() -> None:
    children = []

    def kill_server(pid: int) -> None:
        children.append(pid)
        server = process._zygote._process
        assert server is not None
        server.kill()

    with pytest.raises(ChildDied, match="fork server"):
        await run(process_work.stay, limits=LIMITS, on_message=kill_server)
    assert await run(process_work.add, 2, 3, limits=LIMITS) == 5
    assert await gone(children[0])


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_fork_that_fails_leaves_no_descriptor_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fork() -> None:
        with pytest.raises(BrokenPipeError):
            await run(process_work.add, 2, 3, limits=LIMITS)

    def send_nothing(*_: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(socket, "send_fds", send_nothing)
    await fork()
    before = open_descriptors()
    await fork()

    assert open_descriptors() == before
    monkeypatch.undo()
    assert await run(process_work.add, 2, 3, limits=LIMITS) == 5


async def test_a_child_inherits_no_setting_no_descriptor_and_no_core_dump(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADWATER_SECRET_KEYS", "canary-key")
    process._zygote.stop()

    seen = await run(process_work.surroundings, limits=LIMITS)

    assert not [name for name in seen["env"] if name.startswith(("HEADWATER", "PG", "AWS"))]
    assert "canary-key" not in seen["environ"]
    assert seen["core"] == (0, 0)
    assert seen["oom"] == "1000"  # where memory runs out it goes, and not the server
    assert seen["fds"] <= 6  # three standard ones, the conversation (twice), the listing itself


async def test_what_a_driver_prints_reaches_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    await run(process_work.shout, limits=LIMITS)

    assert capfd.readouterr() == ("", "")


async def test_an_answer_that_would_run_code_in_the_parent_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "owned"

    with pytest.raises(ChildDied, match="unreadable answer"):
        await run(process_work.trojan, str(target), limits=LIMITS)

    assert not target.exists()


async def test_preloaded_modules_are_there() -> None:
    process.start(["duckdb"])

    seen = await run(process_work.surroundings, limits=LIMITS)

    assert seen["modules"] is True
