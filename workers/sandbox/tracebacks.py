"""Exceptions of a script in words: its own files and lines, libraries by their module names, nothing of the server."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_OURS = str(Path(__file__).parent)
_FORKS = str(_ROOT / "base")
# Where the server and its Python are, the longest first; messages of failed imports say so.
_PLACES = sorted(
    {
        f"{place}/"
        for place in (_ROOT, *sysconfig.get_paths().values(), sys.prefix, sys.base_prefix)
    },
    key=len,
    reverse=True,
)
_CAUSES_MAX = 20
_MESSAGE_CHARS_MAX = 600


def summary(error: BaseException, name: str) -> str:
    """One line: the exception and, of the script called `name`, the line that was at it."""
    said = _said(error)
    kind = type(error).__name__
    where = _line(error, name)
    told = f"{kind}: {said}" if said else kind
    return f"{told} ({name}, line {where})" if where else f"{told} ({name})"


def lines(error: BaseException, name: str) -> list[str]:
    """The traceback, shortened, as lines."""
    whole = traceback.TracebackException.from_exception(error, compact=True)
    modules = _modules()
    todo, seen = [whole], 0
    while todo and seen < _CAUSES_MAX:
        each, seen = todo.pop(), seen + 1
        each.stack = _shortened(each.stack, name, modules)
        todo += [one for one in (each.__cause__, each.__context__) if one]
        todo += each.exceptions or []
    return _without_places("".join(whole.format())).splitlines()


def _said(error: BaseException) -> str:
    try:
        said = _without_places(" ".join(str(error).split()))
    except BaseException as failure:  # noqa: BLE001 - the script's own __str__
        said = f"(its text failed with {type(failure).__name__})"
    return said[:_MESSAGE_CHARS_MAX] + "…" if len(said) > _MESSAGE_CHARS_MAX else said


def _without_places(text: str) -> str:
    for place in _PLACES:
        if place != "/":
            text = text.replace(place, "")
    return text


def _line(error: BaseException, name: str) -> int | None:
    """The innermost line of the script."""
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == name:
            found = line
    return found


def _shortened(
    stack: traceback.StackSummary, name: str, modules: dict[str, str]
) -> traceback.StackSummary:
    kept = []
    for each in stack:
        if each.filename == name:
            kept.append(each)
        elif not each.filename.startswith((_OURS, _FORKS)):
            module = modules.get(each.filename, Path(each.filename).stem)
            kept.append(traceback.FrameSummary(module, each.lineno, each.name, line=""))
    # What led to the script is no part of it.
    first = next((at for at, each in enumerate(kept) if each.filename == name), 0)
    return traceback.StackSummary.from_list(kept[first:])


def _modules() -> dict[str, str]:
    """Names of modules by their files."""
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            found.setdefault(file, name)
    return found
