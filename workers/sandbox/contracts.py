"""Which contract a script follows, told by its syntax tree: it is parsed in a child, and never run for it.

- `def run_batches(batches)` or `def run_batches(batches, context)`: a generator of DataFrames in, DataFrames out.
- `def run(df)` or `def run(df, context)`: a DataFrame in, a DataFrame out.
- Neither, but the name `df` occurs: the script finds a global `df` and leaves its result in it.
  It finds a global `context`, too, and `pd`, `np`, `re` and `json`.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from typing import Final

from base.errors import InvalidInput, PayloadTooLarge

BODY_BYTES_MAX = 1024**2
_NAME: Final = "<script>"
_NO_TEXT = "The script is not text: it holds characters that Python cannot read."
_CONTEXT = "context"
_BATCHES, _DATAFRAME, _GLOBAL = "batches", "dataframe", "global"  # models.scripts.ScriptContract
_ENTRIES = {"run_batches": _BATCHES, "run": _DATAFRAME}  # the first one that is there
_HINT = (
    "Define `def run(df): return df`, or `def run_batches(batches)`, or work on the global `df`."
)

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Examined:
    """What a script is; `contract` is a value of `models.scripts.ScriptContract`."""

    contract: str
    takes_context: bool


def examine(body: str) -> Examined:
    """The contract of a script.

    Raises InvalidInput, naming the line, for what is not Python or follows no contract; PayloadTooLarge over
    `BODY_BYTES_MAX` bytes. A text made to crash the parser may kill the process, so this belongs into a child.
    """
    if len(body.encode("utf-8", "surrogatepass")) > BODY_BYTES_MAX:
        raise PayloadTooLarge(
            f"A script may have {BODY_BYTES_MAX // 1024**2} MB at most.",
            hint="Make several scripts of it, each a step, or bring its data as a data source.",
        )
    tree = _parse(body)
    functions = {each.name: each for each in tree.body if isinstance(each, _Function)}
    for name, contract in _ENTRIES.items():
        if name in functions:
            return Examined(contract, _takes_context(functions[name]))
    if any(isinstance(each, ast.Name) and each.id == "df" for each in ast.walk(tree)):
        return Examined(_GLOBAL, takes_context=False)
    raise InvalidInput("The script defines no function `run` and does not use `df`.", hint=_HINT)


def _parse(body: str) -> ast.Module:
    """The tree of a text that also compiles: `return` outside of a function is found by the compiler alone."""
    if "\0" in body:
        raise InvalidInput(_NO_TEXT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes: the script's own matter
            tree = ast.parse(body, _NAME)
            compile(tree, _NAME, "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"Line {error.lineno}" if error.lineno else "The script"
        raise InvalidInput(f"{where}: {error.msg}.", hint=_shown(error)) from error
    except (RecursionError, MemoryError) as error:
        raise InvalidInput("The script is nested too deeply to be read.") from error
    except ValueError as error:  # lone surrogates
        raise InvalidInput(_NO_TEXT) from error
    return tree


def _shown(error: SyntaxError) -> str | None:
    """The line that is to blame."""
    shown = (error.text or "").strip()
    return f"It says: {shown[:200]}" if shown else None


def _takes_context(function: _Function) -> bool:
    """Whether a second argument is wanted; raises InvalidInput for a function that cannot be called."""
    name, line = function.name, function.lineno
    if isinstance(function, ast.AsyncFunctionDef):
        raise InvalidInput(f"Line {line}: `{name}` must be a plain function, not `async def`.")
    given = function.args
    places = [*given.posonlyargs, *given.args]
    required = len(places) - len(given.defaults)
    wanted = "batches" if name == "run_batches" else "df"
    forms = f"`def {name}({wanted})` or `def {name}({wanted}, context)`"
    loose = [
        each.arg
        for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if default is None
    ]
    if not places or required > 2 or loose:  # noqa: PLR2004 - the table and the context
        raise InvalidInput(f"Line {line}: `{name}` has to be {forms}.")
    return required == 2 or _CONTEXT in [each.arg for each in places[1:2]]  # noqa: PLR2004 - as above
