"""What a script prints, warns and logs are the lines of its log, while it runs, within limits."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from base.errors import TimedOut
from base.process import ChildDied
from tests.workers.sandbox.stepping import Files, in_child, run_script
from workers.sandbox.messages import LOG_LINES_MAX, StepOrder
from workers.sandbox.reporting import CUT, LINE_BYTES_MAX, Reporter, clean
from workers.sandbox.running import WARNINGS_MAX

TABLE = pa.table({"n": [1]})
WRONG_CALL = (
    "A call of a logger is wrong: %d format: a real number is required, not str"
    " (clean/trim.py, line 10)"
)


async def log_of(tmp_path: Path, body: str, **options: Any) -> list[list[str]]:
    step = await run_script(tmp_path, body, TABLE, **options)
    assert step.error is None
    return step.log


async def test_prints_are_lines_in_their_order(tmp_path: Path) -> None:
    body = """
import sys
print("a", 1)
print("two\\nlines")
print("err", file=sys.stderr)
sys.stdout.write("no end")
sys.stdout.buffer.write(b" of bytes \\xff\\n")
print()
print("last", end="")
df = df
"""
    assert await log_of(tmp_path, body) == [
        ["info", "a 1"],
        ["info", "two"],
        ["info", "lines"],
        ["warning", "err"],
        ["info", "no end of bytes \ufffd"],
        ["info", ""],
        ["info", "last"],
    ]


async def test_warnings_and_loggers_have_their_levels(tmp_path: Path) -> None:
    body = """import logging, warnings
def run(df, context):
    warnings.warn("old\\nhabit")
    context.logger.debug("d %s", 1)
    context.logger.info("i")
    context.logger.critical("c")
    logging.getLogger("lib").warning("w")
    logging.getLogger("lib").debug("unseen")
    logging.info("root")
    context.logger.info("%d", "wrong")
    try:
        1 / 0
    except ZeroDivisionError:
        context.logger.exception("caught")
    return df
"""
    lines = await log_of(tmp_path, body)

    assert [line for line in lines if line[1].strip(" ^~")] == [
        ["warning", "UserWarning: old"],
        ["warning", "habit (clean/trim.py, line 3)"],
        ["debug", "d 1"],
        ["info", "i"],
        ["error", "c"],
        ["warning", "lib: w"],
        ["info", "root"],
        ["info", WRONG_CALL],
        ["error", "caught"],
        ["error", "Traceback (most recent call last):"],
        ["error", '  File "clean/trim.py", line 12, in run'],
        ["error", "    1 / 0"],
        ["error", "ZeroDivisionError: division by zero"],
    ]


async def test_a_progress_bar_leaves_its_last_state(tmp_path: Path) -> None:
    body = """
for percent in range(0, 101, 10):
    print(f"\\r{percent} %", end="")
print()
print("50 %\\r100 %\\r")
df = df
"""
    assert await log_of(tmp_path, body) == [["info", "100 %"], ["info", "100 %"]]


async def test_long_lines_are_cut_with_a_mark(tmp_path: Path) -> None:
    body = f"""
print("x" * {LINE_BYTES_MAX})
print("y" * {LINE_BYTES_MAX + 1})
for _ in range(100):
    print("ä" * 1000, end="")
print()
df = df
"""
    lines = [text for _, text in await log_of(tmp_path, body)]

    assert lines == [
        "x" * LINE_BYTES_MAX,
        "y" * LINE_BYTES_MAX + CUT,
        "ä" * (LINE_BYTES_MAX // 2) + CUT,
    ]


async def test_control_characters_are_made_visible(tmp_path: Path) -> None:
    body = 'print("\\x1b[31mred\\x00\\x9b\\ud800\\ttab")\ndf = df'

    assert await log_of(tmp_path, body) == [["info", "\\x1b[31mred\\x00\\x9b\\ud800\ttab"]]


async def test_a_log_ends_at_its_limit_with_one_warning(tmp_path: Path) -> None:
    body = """
import sys
for number in range(100_000):
    print("x" * 99)
print("gone", file=sys.stderr)
df = df
"""
    lines = await log_of(tmp_path, body, log_bytes_max=10_000)

    assert lines[:-1] == [["info", "x" * 99]] * 100
    assert lines[-1] == [
        "warning",
        "The rest of the log is left out: 10,000 bytes is its limit.",
    ]


async def test_empty_lines_are_limited_too(tmp_path: Path) -> None:
    body = f"for _ in range({LOG_LINES_MAX + 5}): print()\nprint('gone')\ndf = df"

    lines = await log_of(tmp_path, body)

    assert lines[:-1] == [["info", ""]] * LOG_LINES_MAX
    assert lines[-1] == ["warning", "The rest of the log is left out: 10,000 lines is its limit."]


async def test_a_script_that_ends_its_process_has_said_what_it_printed_before(
    tmp_path: Path,
) -> None:
    body = "import os\nprint('last words')\nos._exit(3)\ndf"

    step = await run_script(tmp_path, body, TABLE)

    assert isinstance(step.error, ChildDied)
    assert step.log == [["info", "last words"]]


async def test_what_is_wrong_with_every_batch_is_not_told_without_end(tmp_path: Path) -> None:
    body = "def run_batches(batches):\n    yield from [DF] * 99\nimport pandas as pd\nDF = pd.DataFrame({'a': [1]}, index=['x'])"

    lines = await log_of(tmp_path, body)

    assert len(lines) == WARNINGS_MAX
    assert {level for level, _ in lines} == {"warning"}


async def test_a_full_log_still_gets_the_traceback(tmp_path: Path) -> None:
    body = "for _ in range(10_000): print('x' * 99)\nraise ValueError('bad')\ndf"

    step = await run_script(tmp_path, body, TABLE, log_bytes_max=10_000)

    assert [text for level, text in step.log if level == "error"] == [
        "Traceback (most recent call last):",
        '  File "clean/trim.py", line 2, in <module>',
        "    raise ValueError('bad')",
        "ValueError: bad",
    ]


async def test_lines_and_progress_come_while_the_script_is_busy(tmp_path: Path) -> None:
    body = """
import time
def run(df, context):
    print("begun")
    context.progress(0.25, "a quarter")
    while True:
        time.sleep(0.01)
"""
    files = Files(tmp_path)
    order = StepOrder("a.py", body, files.ipc("t", TABLE))
    messages: list[Any] = []
    running = asyncio.create_task(in_child(files, tmp_path / "out", order, messages.append))
    try:
        deadline = time.monotonic() + 30
        while not any("log" in each for each in messages):
            assert time.monotonic() < deadline
            assert not running.done()
            await asyncio.sleep(0.02)
        while not any(each.get("progress", {}).get("fraction") for each in messages):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    finally:
        running.cancel()
        with pytest.raises((asyncio.CancelledError, TimedOut)):
            await running

    assert {"log": [["info", "begun"]]} in messages
    told = [each["progress"] for each in messages if "progress" in each]
    assert told[-1] == {"rows_in": 1, "rows_out": None, "fraction": 0.25, "message": "a quarter"}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("context.progress(2)", {"fraction": 1.0, "message": None}),
        (
            "context.progress(-1, 'x\\n' + 'y' * 900)",
            {"fraction": 0.0, "message": "x\\x0a" + "y" * 495},
        ),
        ("context.progress(1, 7)", {"fraction": 1.0, "message": "7"}),
    ],
)
async def test_progress_stays_within_its_bounds(
    tmp_path: Path, call: str, expected: dict[str, Any]
) -> None:
    step = await run_script(tmp_path, f"def run(df, context):\n    {call}\n    return df", TABLE)

    told = [message["progress"] for message in step.messages if "progress" in message]
    assert told[-1] == {"rows_in": 1, "rows_out": 1, **expected}


@pytest.mark.parametrize("fraction", ["float('nan')", "'half'"])
async def test_progress_that_is_no_number_is_an_error(tmp_path: Path, fraction: str) -> None:
    body = f"def run(df, context): context.progress({fraction})"

    step = await run_script(tmp_path, body, TABLE)

    assert str(step.error).startswith("ValueError: ")


async def test_threads_and_destructors_that_fail_are_told_of(tmp_path: Path) -> None:
    body = """import threading
class Bad:
    def __del__(self):
        print("going")
        raise ValueError("del")
def work():
    raise KeyError("thread")
def run(df):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    Bad()
    return df
"""
    lines = await log_of(tmp_path, body)

    assert ["warning", "KeyError: 'thread'"] in lines
    assert ["warning", "ValueError: del"] in lines
    assert ["info", "going"] in lines
    assert not any("/" in text and "clean/trim.py" not in text for _, text in lines)


class Collector:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: object) -> None:
        self.messages.append(message)


def test_many_lines_are_few_messages() -> None:
    collector = Collector()

    with Reporter(collector, 1024**2) as reporter:
        for number in range(1000):
            reporter.line("info", str(number))

    sent = [line for message in collector.messages for line in message["log"]]
    assert sent == [["info", str(number)] for number in range(1000)]
    assert all(len(message["log"]) <= 100 for message in collector.messages)


def test_own_lines_have_a_bound_of_their_own() -> None:
    collector = Collector()

    with Reporter(collector, 0) as reporter:
        reporter.own("error", [str(number) for number in range(1000)])

    sent = [text for message in collector.messages for _, text in message["log"]]
    assert sent == [*map(str, range(100)), "  …", *map(str, range(900, 1000))]


def test_cutting_a_line_breaks_no_character() -> None:
    assert clean("ä" * LINE_BYTES_MAX) == "ä" * (LINE_BYTES_MAX // 2) + CUT
    assert clean("x" + "ä" * LINE_BYTES_MAX) == "x" + "ä" * (LINE_BYTES_MAX // 2 - 1) + CUT
