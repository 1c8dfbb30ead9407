"""What a script does wrong is told in words that name its own file and line, and nothing of the server."""

import sys
from pathlib import Path

import pyarrow as pa
import pytest

from base.errors import InvalidInput
from base.process import ChildDied, LimitExceeded, Limits, TookTooLong
from tests.house.test_layout import ROOT
from tests.workers.sandbox.stepping import GIB, run_script

TABLE = pa.table({"n": [1, 2, 3], "s": ["a", "b", None]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "def run(df):\n    raise ValueError('no\\nway')",
            "ValueError: no way (clean/trim.py, line 2)",
        ),
        ("def run(df):\n    return df['x']", "KeyError: 'x' (clean/trim.py, line 2)"),
        (
            "import nothing_there\ndf",
            "ModuleNotFoundError: No module named 'nothing_there' (clean/trim.py, line 1)",
        ),
        ("def run(df):\n    raise KeyboardInterrupt", "KeyboardInterrupt (clean/trim.py, line 2)"),
        ("def run(df):\n    raise GeneratorExit", "GeneratorExit (clean/trim.py, line 2)"),
        ("class E(BaseException): ...\nraise E('x')\ndf", "E: x (clean/trim.py, line 2)"),
        (
            "class E(Exception):\n    def __str__(self): raise ValueError\nraise E\ndf",
            "E: (its text failed with ValueError) (clean/trim.py, line 3)",
        ),
        (
            "import sys\ndf\nsys.exit(3)",
            "the script ended itself by SystemExit: 3 (clean/trim.py, line 3); it should return instead",
        ),
        (
            "def run(df):\n    return run(df)",
            "RecursionError: maximum recursion depth exceeded (clean/trim.py, line 2)",
        ),
        (
            "def run(df): return df\ndel run",
            "clean/trim.py: `run` is no function once the script has run.",
        ),
        ("del df", "clean/trim.py has no global `df` at its end, which would be its result."),
        (
            "def run(df): pass",
            "The result of clean/trim.py is missing: `return df` may be what lacks.",
        ),
        ("df = None", "The result of clean/trim.py is missing: `return df` may be what lacks."),
        (
            "def run(df): return df['n']",
            "The result of clean/trim.py is a Series, of one column; `.to_frame()` makes a DataFrame of it.",
        ),
        (
            "def run(df): return {'n': [1]}",
            "The result of clean/trim.py is of the type dict, which is no DataFrame.",
        ),
        (
            "def run(df): yield df",
            "The result of clean/trim.py is of the type generator, which is no DataFrame.",
        ),
        (
            "def run_batches(batches): pass",
            "The result of clean/trim.py is nothing: run_batches has to yield DataFrames.",
        ),
        (
            "def run_batches(batches): return next(batches)",
            "The result of clean/trim.py is a DataFrame: run_batches has to yield DataFrames.",
        ),
        (
            "def run_batches(batches):\n    for _ in batches:\n        if 0: yield",
            "clean/trim.py gave no batch: run_batches has to yield at least one DataFrame.",
        ),
        (
            "def run_batches(batches):\n    yield from batches\n    raise OSError('late')",
            "OSError: late (clean/trim.py, line 3)",
        ),
        (
            "def run_batches(batches):\n    yield next(batches)\n    yield 3",
            "The result of clean/trim.py, batch 2 is of the type int, which is no DataFrame.",
        ),
        (
            "def run(df): raise ExceptionGroup('g', [ValueError('a')])",
            "ExceptionGroup: g (1 sub-exception) (clean/trim.py, line 1)",
        ),
    ],
)
async def test_a_failure_says_what_and_where(tmp_path: Path, body: str, message: str) -> None:
    step = await run_script(tmp_path, body, TABLE)

    assert isinstance(step.error, InvalidInput)
    assert step.error.code == "INVALID_INPUT"
    assert step.error.message == message


async def test_a_library_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    step = await run_script(tmp_path, "import polars\ndf", TABLE)

    assert isinstance(step.error, InvalidInput)
    assert step.error.hint is not None
    assert "pandas, numpy, pyarrow and duckdb" in step.error.hint


@pytest.mark.parametrize(
    "body",
    [
        "def run(df): open('/tmp/x', 'w')",
        "import urllib.request\ndef run(df): urllib.request.urlopen('http://127.0.0.1:1')",
        "import subprocess\ndef run(df): subprocess.run(['true'])",
        "def run(df): df.to_parquet('/tmp/x')",
    ],
)
async def test_what_isolation_refuses_is_told_with_its_reason(tmp_path: Path, body: str) -> None:
    step = await run_script(tmp_path, body, TABLE)

    assert isinstance(step.error, InvalidInput)
    assert step.error.hint is not None
    assert step.error.hint.startswith("Scripts run isolated: without network,")


@pytest.mark.parametrize(
    "body",
    [
        "import pandas as pd\nclass D(pd.DataFrame):\n  @property\n  def columns(self): raise ValueError('bad')\ndef run(df): return D({'a': [1]})",
        "class M(type):\n  def __hash__(self): raise ValueError('bad')\nclass A(metaclass=M): pass\n\ndf['x'] = [A()] * 3\ndf['x'] = df['x'].astype(object)",
    ],
)  # fmt: skip
async def test_a_result_whose_own_methods_fail_is_the_script_s_failure(
    tmp_path: Path, body: str
) -> None:
    step = await run_script(tmp_path, body, TABLE)

    assert isinstance(step.error, InvalidInput)
    assert step.error.message.startswith("ValueError: bad (clean/trim.py, line ")


async def test_a_traceback_shows_the_script_and_no_path_of_the_server(tmp_path: Path) -> None:
    body = """import pandas as pd

def rename(df):
    return df.rename(columns=lambda name: 1 / 0)

def run(df):
    try:
        return rename(df)
    except ZeroDivisionError as error:
        raise ValueError("cannot") from error
"""
    step = await run_script(tmp_path, body, TABLE)

    assert str(step.error) == "ValueError: cannot (clean/trim.py, line 10)"
    lines = [text for level, text in step.log if level == "error" and text.strip(" ^~")]
    assert lines[:4] == [
        "Traceback (most recent call last):",
        '  File "clean/trim.py", line 8, in run',
        "    return rename(df)",
        '  File "clean/trim.py", line 4, in rename',
    ]
    assert any(text.startswith('  File "pandas.core.frame", line ') for text in lines)
    assert lines[-4:] == [
        "Traceback (most recent call last):",
        '  File "clean/trim.py", line 10, in run',
        '    raise ValueError("cannot") from error',
        "ValueError: cannot",
    ]
    text = "\n".join(lines)
    assert not [part for part in (str(ROOT), sys.prefix, str(tmp_path), "sandbox") if part in text]


async def test_a_failed_import_does_not_say_where_the_server_is(tmp_path: Path) -> None:
    step = await run_script(tmp_path, "from pandas import no_such_thing\ndf", TABLE)

    told = "cannot import name 'no_such_thing' from 'pandas' (pandas/__init__.py)"
    assert str(step.error) == f"ImportError: {told} (clean/trim.py, line 1)"
    assert step.log[-1] == ["error", f"ImportError: {told}"]


@pytest.mark.parametrize(
    "call", ["sys.stdout.close()", "sys.stdout.detach()", "sys.stdout = None", "del sys.stdout"]
)
async def test_a_script_may_do_away_with_its_streams(tmp_path: Path, call: str) -> None:
    step = await run_script(tmp_path, f"import sys\nprint('a', end='')\n{call}\ndf", TABLE)

    assert step.error is None
    assert step.log == [["info", "a"]]


async def test_endless_recursion_has_a_short_traceback(tmp_path: Path) -> None:
    step = await run_script(tmp_path, "def run(df):\n    return run(df)", TABLE)

    lines = [text for _, text in step.log]
    assert len(lines) < 20
    assert lines[-1] == "RecursionError: maximum recursion depth exceeded"


@pytest.mark.parametrize(
    "body",
    [
        "def run(df):\n    return df.assign(x=[bytearray(1 << 34)] * 3)",
        "import numpy as np\ndef run(df):\n    np.ones(1 << 33)\n    return df",
        "def run(df):\n    raise MemoryError",
    ],
)
async def test_too_little_memory_is_told_with_what_to_do(tmp_path: Path, body: str) -> None:
    step = await run_script(tmp_path, body, TABLE)

    assert isinstance(step.error, LimitExceeded)
    assert step.error.message.startswith("The script needs more memory than it may have: ")
    assert step.error.message.endswith(
        "(clean/trim.py, line 2)." if "np" not in body else "(clean/trim.py, line 3)."
    )
    assert step.error.hint is not None
    assert "run_batches" in step.error.hint


async def test_a_result_may_have_so_many_bytes(tmp_path: Path) -> None:
    body = "import pandas as pd\ndef run_batches(batches):\n    batch = pd.concat([next(batches)] * 9999)\n    while True:\n        yield batch"

    step = await run_script(tmp_path, body, TABLE, bytes_max=3 * 1024**2)

    assert isinstance(step.error, LimitExceeded)
    assert step.error.message == "The result of the script is over 3 MB."
    assert (tmp_path / "output.arrow").stat().st_size <= 3 * 1024**2


async def test_an_endless_script_ends_at_its_limit_of_time(tmp_path: Path) -> None:
    limits = Limits(wall_seconds=3, memory_bytes=4 * GIB)

    step = await run_script(tmp_path, "while True: df = df", TABLE, limits=limits)

    assert isinstance(step.error, TookTooLong)


async def test_a_script_that_kills_its_process_is_told_so(tmp_path: Path) -> None:
    step = await run_script(tmp_path, "import os\nprint('bye')\nos._exit(3)\ndf", TABLE)

    assert isinstance(step.error, ChildDied)
    assert "code 3" in step.error.message


async def test_a_script_that_does_not_heed_its_limit_of_processor_time_is_ended_by_it(
    tmp_path: Path,
) -> None:
    body = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: df = df"
    limits = Limits(wall_seconds=240, memory_bytes=4 * GIB, cpu_seconds=2)

    step = await run_script(tmp_path, body, TABLE, limits=limits)

    assert isinstance(step.error, LimitExceeded)
    assert step.error.retryable is False
    assert "2 seconds of processor time" in step.error.message
