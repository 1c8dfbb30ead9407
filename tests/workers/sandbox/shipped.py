"""The scripts that ship, run over small tables."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa

import services.scripts
from base.errors import InvalidInput
from tests.workers.sandbox.stepping import Step, run_script

FOLDER = Path(services.scripts.__file__).parent / "predefined"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
PEOPLE = pa.table(
    {
        "Name": [" Ada ", "Bob", None, "  ", "Bob"],
        "Note": ["a  b", "X", "x\ty ", None, "X"],
        "Age": pa.array([36, None, 20, 20, None]),
        "Score": pa.array([1.5, None, 2.5, 1.5, None]),
        "Born": pa.array([dt.date(1815, 12, 10), None, dt.date(2000, 1, 1), None, None]),
        "Seen": pa.array([0, None, 10**15, -1, None], pa.timestamp("us")),
        "Ok": pa.array([True, None, False, True, None]),
        "Tags": pa.array([["a"], None, [], ["a"], None], pa.list_(pa.string())),
    }
)
REQUIRED: dict[str, dict[str, Any]] = {
    "filter_rows": {"conditions": [{"column": "Name", "operator": "is present"}]},
    "fill_missing": {"method": "forward"},
    "parse_dates": {"columns": ["Seen"]},
    "parse_numbers": {"columns": ["Age"]},
    "plain_types": {"columns": ["Name", "Score", "Ok", "Tags"]},
    "rename_columns": {"names": {"Name": "name"}},
    "replace_values": {"values": [{"from": "X", "to": "Y"}]},
    "select_columns": {"columns": ["Age", "Name"]},
    "sort_rows": {"columns": ["Age", "Name"]},
}


async def predefined(folder: Path, script: str, table: pa.Table, /, **parameters: Any) -> Step:
    body = (FOLDER / f"{script}.py").read_text()
    return await run_script(folder, body, table, key=f"local:{script}", parameters=parameters)


async def column(folder: Path, script: str, given: Any, /, **parameters: Any) -> list[Any]:
    step = await predefined(folder, script, pa.table({"c": given}), **parameters)
    assert step.error is None
    assert step.log == []
    return [row["c"] for row in step.rows]


async def refusal(folder: Path, script: str, table: pa.Table, /, **parameters: Any) -> str:
    step = await predefined(folder, script, table, **parameters)
    assert isinstance(step.error, InvalidInput)
    message = step.error.message
    assert message.startswith("ValueError: ")
    assert f"(local:{script}, line " in message
    return message.removeprefix("ValueError: ").rpartition(" (local:")[0]
