"""Scripts that lie: about their output, their rows, their log. The worker believes nothing and stays well."""

from __future__ import annotations

import pytest

from models import JobStatus, Snapshot
from services.platform import Platform
from tests.factories import make_script_job
from tests.workers.scripting import (
    assert_nothing_left,
    derived_of,
    limited,
    lines,
    printed,
    steps_of,
    stored_source,
    worked,
)
from workers import transcript

# What a script can do to its own process: everything. These are the ways in which it answers in place of our code.
CHANNEL = """
import gc, os
channel = next(each for each in gc.get_objects() if type(each).__name__ == "Channel")
MESSAGE, RESULT, ERROR, BUG = range(4)
def answer(**values):
    given = {"rows_in": 1000, "rows_out": 1, "size_bytes": 8, "columns": [{"name": "a", "type": "integer"}]}
    channel.answer(RESULT, given | values)
    os._exit(0)
"""
ZEROS = """
import os
real = os.write
os.write = lambda fd, data: real(fd, bytes(len(data)))
def run(df):
    return df
"""
GARBAGE = """
import os
for fd in range(3, 100):
    try:
        os.pwrite(fd, b"garbage" * 1000, 0)
        os.lseek(fd, 7000, 0)
    except OSError:
        pass
def run(df):
    return df
"""
CUT = """
import os
real, count = os.write, 0
def write(fd, data):
    global count
    count += len(data)
    return real(fd, data) if count < 2000 else len(data)
os.write = write
def run(df):
    return df
"""
NOTHING = "import os\nos.write = lambda fd, data: len(data)\ndef run(df):\n    return df\n"


@pytest.mark.parametrize(
    "body", [ZEROS, GARBAGE, CUT, NOTHING], ids=["zeros", "garbage", "cut", "nothing"]
)
async def test_a_damaged_output_is_the_script_s_error(platform: Platform, body: str) -> None:
    source = await stored_source(platform)

    job = await worked(platform, await make_script_job(source, body))

    assert (job.status, job.attempts, job.error["code"]) == (JobStatus.FAILED, 1, "INVALID_INPUT")
    assert "damaged or cut off" in job.error["message"]
    assert [status for status, *_ in await steps_of(job)] == [JobStatus.FAILED]
    assert await Snapshot.filter(is_derived=True).count() == 0
    await assert_nothing_left(platform, job)
    await derived_of(await worked(platform, await make_script_job(source)))


async def test_a_damaged_output_between_steps_ends_the_job(platform: Platform) -> None:
    source = await stored_source(platform)
    last = "def run(df):\n    return df\n"

    job = await worked(platform, await make_script_job(source, ZEROS, last))

    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
    assert [status for status, *_ in await steps_of(job)] == [JobStatus.SUCCEEDED, JobStatus.FAILED]
    await assert_nothing_left(platform, job)


async def test_an_answer_that_is_none_is_the_script_s_error(platform: Platform) -> None:
    source = await stored_source(platform)
    body = f"{CHANNEL}\nanswer(columns=[{{'name': 'a' + chr(0), 'type': 'text'}}])\ndf = 1"

    job = await worked(platform, await make_script_job(source, body))

    assert (job.status, job.attempts, job.error["code"]) == (JobStatus.FAILED, 1, "INVALID_INPUT")
    assert job.error["message"] == "The process of step-0.py gave an answer that is none."
    await assert_nothing_left(platform, job)


async def test_rows_and_types_are_those_of_the_file_and_not_those_that_were_told(
    platform: Platform,
) -> None:
    source = await stored_source(platform)
    body = """
import gc
def run(df):
    from workers.sandbox.output import Output
    honest = Output.finish
    def finish(self):
        columns = honest(self)
        self.rows = 7
        return [column | {"type": "uuid"} for column in columns]
    Output.finish = finish
    return df
"""

    job = await worked(platform, await make_script_job(source, body))

    snapshot = await derived_of(job)
    assert snapshot.row_count == 1000
    assert snapshot.receipt["rows_read"] == 1000
    kinds = [column["type"] for column in snapshot.manifest["tables"][0]["table"]["columns"]]
    assert kinds == ["integer", "text", "decimal", "date"]
    assert await steps_of(job) == [(JobStatus.SUCCEEDED, 1000, 1000)]


async def test_messages_that_make_no_sense_do_no_harm(platform: Platform) -> None:
    source = await stored_source(platform)
    body = f"""{CHANNEL}
import time
odd = chr(0) + chr(27) + "[31m" + chr(0xd800) + chr(10) + "x"
numbers = -1, 2, True, 1e308, float("nan"), float("inf"), 10**400, "1", [], {{}}
MESSAGES = [
    *(None, 1, [], "text", {{}}, {{"log": 5}}, {{"log": [5, [], ["info"], ["info", 5], [[], "x"]]}}),
    *({{"progress": each}} for each in (1, [], {{}})),
    *({{"progress": {{"fraction": each, "message": odd}}}} for each in numbers),
    *({{"progress": {{"rows_in": each, "rows_out": each, "message": each}}}} for each in numbers),
    {{"log": [["root", odd]]}},
]
def run(df):
    for message in MESSAGES:
        channel.send(message)
        time.sleep(0.05)
    print("sane")
    time.sleep(0.5)
    return df
"""

    job = await worked(platform, await make_script_job(source, body))

    await derived_of(job)
    assert "sane" in await printed(job)
    for line in await lines(job):
        assert line.level in {"info", "warning", "error"}
        assert not set(line.message) & {"\0", "\x1b", "\n", "\ud800"}


async def test_a_flood_of_lines_is_cut_and_the_script_goes_on(platform: Platform) -> None:
    source = await stored_source(platform)
    body = "def run(df):\n    for i in range(200_000):\n        print('line', i)\n    return df\n"
    small = limited(platform, script_log_bytes_max=10_000)

    job = await worked(small, await make_script_job(source, body))

    await derived_of(job)
    told = [line for line in await lines(job) if line.step and line.message.startswith("line ")]
    assert [line.message for line in told] == [f"line {i}" for i in range(len(told))]
    assert 8_000 <= sum(len(line.message) + 1 for line in told) <= 10_000
    left_out = [line.message for line in await lines(job) if line.level == "warning"]
    assert left_out == ["The rest of the log is left out: 10,000 bytes is its limit."]


async def test_a_flood_that_avoids_the_child_s_own_limit_is_cut_too(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "OWN_BYTES_MAX", 5_000)
    source = await stored_source(platform)
    body = f"""{CHANNEL}
def run(df):
    for i in range(2_000):
        channel.send({{"log": [["info", "x" * 99]] * 10}})
    return df
"""
    small = limited(platform, script_log_bytes_max=5_000)

    job = await worked(small, await make_script_job(source, body))

    await derived_of(job)
    assert len([line for line in await lines(job) if line.message == "x" * 99]) == 99
    assert [line.message for line in await lines(job) if line.level == "warning"] == [
        "The rest of the log is left out."
    ]


async def test_lines_that_are_empty_are_limited_whatever_the_child_says(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "LINES_MAX", 50)
    source = await stored_source(platform)
    body = f"""{CHANNEL}
def run(df):
    channel.send({{"log": [["info", ""]] * 200}})
    return df
"""

    job = await worked(platform, await make_script_job(source, body))

    await derived_of(job)
    told = [line for line in await lines(job) if line.step and not line.message]
    assert len(told) == 49
    assert [line.message for line in await lines(job) if line.level == "warning"] == [
        "The rest of the log is left out."
    ]


async def test_a_script_that_says_too_much_in_all_is_stopped(platform: Platform) -> None:
    source = await stored_source(platform)
    body = f"""{CHANNEL}
def run(df):
    while True:
        channel.send({{"log": [["info", "x" * 1_000_000]]}})
"""

    job = await worked(platform, await make_script_job(source, body))

    assert (job.status, job.attempts, job.error["code"]) == (
        JobStatus.FAILED,
        1,
        "PAYLOAD_TOO_LARGE",
    )
    await assert_nothing_left(platform, job)


async def test_an_error_that_a_script_makes_up_is_kept_as_text(platform: Platform) -> None:
    source = await stored_source(platform)
    body = f"""{CHANNEL}
channel.answer(ERROR, {{"code": "CONFLICT", "message": "a" + chr(0) + chr(0xd800) + "b" * 9000, "hint": None}})
os._exit(0)
df = 1
"""

    job = await worked(platform, await make_script_job(source, body))

    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "CONFLICT")
    assert job.error["message"].startswith("a")
    assert len(job.error["message"]) <= 4_000
    await assert_nothing_left(platform, job)
