"""The scripts that ship do what they say, to the rows that they are meant for and to none; wrong parameters are named."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.workers.sandbox.shipped import (
    FOLDER,
    NAMES,
    PEOPLE,
    REQUIRED,
    predefined,
    refusal,
)
from workers.sandbox.contracts import Examined, examine


def test_there_is_a_dozen_of_them() -> None:
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_each_takes_a_context_and_says_what_it_does(name: str) -> None:
    body = (FOLDER / f"{name}.py").read_text()
    documented = ast.get_docstring(ast.parse(body))

    assert examine(body) == Examined("dataframe", takes_context=True)
    assert documented is not None
    assert documented.split("\n")[0].endswith((".", "`."))
    assert "Parameters" in documented


@pytest.mark.parametrize("name", NAMES)
def test_each_documents_its_parameters(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    told = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "PARAMETERS"
    )
    assert told is not None

    names = set(ast.literal_eval(told))

    lines = (ast.get_docstring(tree) or "").split("\n")
    assert names == {line[2:].partition(":")[0] for line in lines if line.startswith("- ")}


@pytest.mark.parametrize("name", NAMES)
async def test_an_unknown_parameter_is_named(tmp_path: Path, name: str) -> None:
    message = await refusal(tmp_path, name, PEOPLE, nonsense=1)

    assert message.startswith("unknown parameter 'nonsense'; there are ")


@pytest.mark.parametrize("name", NAMES)
async def test_a_table_without_rows_stays_one(tmp_path: Path, name: str) -> None:
    step = await predefined(tmp_path, name, PEOPLE.slice(0, 0), **REQUIRED.get(name, {}))

    assert step.error is None
    assert step.rows == []
    assert step.log == []
    kept = {"Age", "Name"} if name == "select_columns" else {*PEOPLE.column_names}
    assert {each.casefold() for each in step.types} >= {each.casefold() for each in kept}


@pytest.mark.parametrize("name", NAMES)
async def test_a_table_of_every_kind_of_column_goes_through(tmp_path: Path, name: str) -> None:
    step = await predefined(tmp_path, name, PEOPLE, **REQUIRED.get(name, {}))

    assert step.error is None
    assert step.log == []
    assert step.types.get("Born", step.types.get("born", "date")) == "date"


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in {"snake_case_names", "add_row_number"}]
)
async def test_a_column_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    parameters: dict[str, Any] = REQUIRED.get(name, {}) | {"columns": ["no"]}
    if name == "filter_rows":
        parameters = {"conditions": [{"column": "no", "operator": "=="}]}
    if name == "rename_columns":
        parameters = {"names": {"no": "n"}}

    message = await refusal(tmp_path, name, PEOPLE, **parameters)

    assert message.startswith("there is no column 'no'; there are Name, Note, Age")
