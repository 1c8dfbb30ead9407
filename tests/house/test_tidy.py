"""House rules that no linter knows: sizes, marks, module docstrings, names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.test_layout import ROOMS, ROOT

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
JUNK_DRAWERS = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py", "manager.py"}


def modules(*rooms: str) -> Iterator[tuple[Path, str]]:
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def test_no_file_holds_two_things() -> None:
    sizes = {str(path): text.count("\n") for path, text in modules(*ROOMS, "tests")}

    assert {path: lines for path, lines in sizes.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path, text in modules(*ROOMS)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
        and "migrations" not in path.parts
    ]

    assert long == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path)
        for path, text in modules(*ROOMS)
        if ast.get_docstring(ast.parse(text)) is None and "migrations" not in path.parts
    ]

    assert silent == []


def test_nothing_is_owed() -> None:
    marked = [
        f"{path}:{number}"
        for path, text in modules(*ROOMS, "tests")
        for number, line in enumerate(text.splitlines(), 1)
        if MARKS.search(line) and path.name != "test_tidy.py"
    ]

    assert marked == []


def test_whoever_meets_a_limit_is_told_what_to_do() -> None:
    silent = [
        f"{path}:{node.lineno}"
        for path, text in modules(*ROOMS)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"PayloadTooLarge", "CellTooLarge"}
        and all(each.arg != "hint" for each in node.keywords)
    ]

    assert silent == []


def test_there_is_no_junk_drawer() -> None:
    assert [str(path) for path, _ in modules(*ROOMS) if path.name in JUNK_DRAWERS] == []
