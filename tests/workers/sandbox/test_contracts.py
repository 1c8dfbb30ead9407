"""Which contract a script follows, and what is refused, is told by its text alone."""

import sys
from pathlib import Path

import pytest

from base import process
from base.errors import InvalidInput, PayloadTooLarge
from base.process import ChildDied, Limits
from models import ScriptContract
from services.scripts.examining import EXAMINE
from workers.sandbox.contracts import BODY_BYTES_MAX, Examined, examine

LIMITS = Limits(wall_seconds=300, memory_bytes=1024**3, file_bytes=1024**2)


@pytest.mark.parametrize(
    ("body", "contract", "takes_context"),
    [
        ("def run(df): return df", "dataframe", False),
        ("def run(anything): return anything", "dataframe", False),
        ("def run(df, context): return df", "dataframe", True),
        ("def run(df, other): return df", "dataframe", True),
        ("def run(df, context=None): return df", "dataframe", True),
        ("def run(df, step=3): return df", "dataframe", False),
        ("def run(df, /, *rest, **named): return df", "dataframe", False),
        ("def run(df, *, strict=True): return df", "dataframe", False),
        ("def run_batches(batches): yield from batches", "batches", False),
        ("def run_batches(batches, context): yield from batches", "batches", True),
        ("def run(df): return df\ndef run_batches(b): yield from b", "batches", False),
        ("def run(a, b, c): pass\ndef run(df): return df", "dataframe", False),
        ("df['a'] = 1", "global", False),
        ("x = [row for row in df.itertuples()]", "global", False),
        ("class Run:\n    def run(self, a, b, c): pass\ndf = df.head()", "global", False),
    ],
)
def test_a_contract_is_told_by_what_is_defined(
    body: str,
    contract: str,
    takes_context: bool,  # noqa: FBT001
) -> None:
    assert examine(body) == Examined(contract, takes_context)
    assert contract in set(ScriptContract)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "The script defines no function `run` and does not use `df`."),
        ("x = 1", "The script defines no function `run` and does not use `df`."),
        ("x = 1\n\ndef run(df:\n", "Line 3: '(' was never closed."),
        ("x = 1\nreturn df", "Line 2: 'return' outside function."),
        ("\nasync def run(df): ...", "Line 2: `run` must be a plain function, not `async def`."),
        ("def run(): ...", "Line 1: `run` has to be `def run(df)` or `def run(df, context)`."),
        ("def run(*all): ...", "Line 1: `run` has to be `def run(df)` or `def run(df, context)`."),
        (
            "def run(a, b, c): ...",
            "Line 1: `run` has to be `def run(df)` or `def run(df, context)`.",
        ),
        (
            "def run(a, *, b): ...",
            "Line 1: `run` has to be `def run(df)` or `def run(df, context)`.",
        ),
        (
            "def run_batches(): ...",
            "Line 1: `run_batches` has to be `def run_batches(batches)` or `def run_batches(batches, context)`.",
        ),
        ("df = '\0'", "The script is not text: it holds characters that Python cannot read."),
        ("df = '\ud800'", "The script is not text: it holds characters that Python cannot read."),
        ("df = " + "-" * 50_000 + "1", "The script is nested too deeply to be read."),
    ],
)
def test_what_cannot_be_called_is_refused_with_its_line(body: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        examine(body)

    assert caught.value.message == message


def test_deep_parentheses_are_refused() -> None:
    with pytest.raises(InvalidInput):
        examine("df = " + "(" * 5000 + ")" * 5000)


def test_a_script_has_a_largest_size() -> None:
    body = "df = 1\n#" + "é" * (BODY_BYTES_MAX // 2)

    with pytest.raises(PayloadTooLarge, match="1 MB at most"):
        examine(body)

    assert examine(body[: -len("é") * 4]).contract == "global"


@pytest.mark.parametrize(
    "body",
    [
        "import pathlib\npathlib.Path({path!r}).touch()\ndf = 1",
        "@open({path!r}, 'w').write\ndef run(df): return df",
        "def run(df, x=open({path!r}, 'w')): return df",
        "class A(print, metaclass=open({path!r}, 'w')): pass\ndf = 1",
    ],
)
async def test_nothing_of_a_script_runs_while_it_is_looked_at(tmp_path: Path, body: str) -> None:
    marker = tmp_path / "ran"

    found = await process.run(EXAMINE, body.format(path=str(marker)), limits=LIMITS)

    assert found.contract in set(ScriptContract)
    assert not marker.exists()


@pytest.mark.parametrize(
    "body",
    [
        "df = " + "-" * 1_000_000 + "1",
        "df = " + "(" * 200_000 + ")" * 200_000,
        "df = 1" + "".join(f"\n{' ' * at}if df:" for at in range(1000)) + " pass",
        "df = " + "[" * 90 + "]" * 90,
        "df" + ".a" * 400_000,
        "df" + "()" * 400_000,
        "df = " + "1+" * 400_000 + "1",
        "df = " + "lambda:" * 100_000 + "1",
        "df = f'" + "{df:" * 5000 + "}" * 5000 + "'",
    ],
)
async def test_a_text_made_to_crash_the_parser_hurts_its_child_at_most(body: str) -> None:
    try:
        found = await process.run(EXAMINE, body, limits=LIMITS)
    except (InvalidInput, ChildDied):
        return

    assert found.contract == "global"


def test_nothing_heavy_is_needed_to_look_at_a_script() -> None:
    module = sys.modules[examine.__module__]

    assert {"pandas", "pyarrow", "numpy"} & set(vars(module)) == set()
