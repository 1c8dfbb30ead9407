"""Runs one step of a script job in its child; see `messages` for what it tells meanwhile."""

from __future__ import annotations

import errno
import json
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, NoReturn, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from base.errors import PlatformError
from base.forks import LimitExceeded
from workers.sandbox import frames, reading, results, tracebacks
from workers.sandbox.capture import MODULE, captured
from workers.sandbox.context import Context
from workers.sandbox.contracts import examine
from workers.sandbox.messages import ScriptFailed, StepOrder, TableIn
from workers.sandbox.output import Output
from workers.sandbox.reporting import Reporter, Sender

T = TypeVar("T")
_CAUSES_MAX = 10
GIVEN = {"pd": pd, "np": np, "re": re, "json": json}  # what scripts on the global `df` find as well
WARNINGS_MAX = 10  # of ours about results: each batch may have the same fault
_ISOLATED = (
    "Scripts run isolated: without network, other processes, and files but those of Python. Parameters and the other"
    " tables come by the context; the result is what the script returns."
)


def run_step(channel: Sender, descriptors: tuple[int, ...], order: StepOrder) -> dict[str, Any]:
    """Run a script over a table; its result is an Arrow IPC file in the last descriptor.

    Gives `{"rows_in", "rows_out", "size_bytes", "columns": [{"name", "type", "has_nulls", "has_values"}]}`. Raises
    ScriptFailed for what the script did wrong, LimitExceeded where it got no more memory, PayloadTooLarge for too large
    a result.
    """
    examined = examine(order.body)
    with Reporter(channel, order.log_bytes_max) as reporter, captured(reporter, order.key):
        step = _Step(order, descriptors, reporter)
        if examined.contract == "batches":
            output = step.run_batches(takes_context=examined.takes_context)
        else:
            output = step.run(examined.contract, takes_context=examined.takes_context)
        columns = output.finish()
    return {
        "rows_in": step.rows_in,
        "rows_out": output.rows,
        "size_bytes": output.size_bytes,
        "columns": columns,
    }


class _Step:
    def __init__(self, order: StepOrder, descriptors: tuple[int, ...], reporter: Reporter) -> None:
        self._order = order
        self._descriptors = descriptors
        self._reporter = reporter
        self._script = Script(order.key, order.body, reporter)
        self._what = f"The result of {order.key}"
        self._warnings_left = WARNINGS_MAX
        self.rows_in = 0

    def run(self, contract: str, *, takes_context: bool) -> Output:
        """Over the whole table at once."""
        rows = reading.read(self._descriptors, self._order.source)
        output = self._output(rows.schema)
        self.rows_in = rows.num_rows
        frame = frames.frame(rows, self._order.source.columns)
        del rows  # what the frame does not share is free again
        self._reporter.progress(rows_in=self.rows_in)
        self._reporter.started()
        if contract == "global":
            result = self._script.run_global(frame, self._context())
        else:
            function = self._script.function("run")
            given = self._given(frame, takes_context)
            result = self._script.call(lambda: function(*given))
            del given
        del frame
        output.write(self._arrow(result, self._what))
        del result
        self._reporter.progress(rows_out=output.rows)
        return output

    def run_batches(self, *, takes_context: bool) -> Output:
        """Over one batch after the other."""
        first = next(reading.batches(self._descriptors, self._order.source))
        output = self._output(first.schema, is_first_of_many=True)
        del first
        self._reporter.progress(rows_in=0, rows_out=0)
        self._reporter.started()
        function = self._script.function("run_batches")
        given = self._given(self._batches(), takes_context)
        made = self._script.call(lambda: _iterated(function(*given), self._what))
        nothing = object()
        while (result := self._script.call(lambda: next(made, nothing))) is not nothing:
            what = self._what if not output.tables else f"{self._what}, batch {output.tables + 1}"
            output.write(self._arrow(result, what))
            del result
            self._reporter.progress(rows_in=self.rows_in, rows_out=output.rows)
        if not output.tables:
            raise ScriptFailed(
                f"{self._order.key} gave no batch: run_batches has to yield at least one DataFrame.",
                hint="Where no row is left, yield an empty one, as batch.head(0).",
            )
        self._reporter.progress(rows_in=self.rows_in, rows_out=output.rows)
        return output

    def _batches(self) -> Iterator[pd.DataFrame]:
        source = self._order.source
        nullable = reading.nullable(self._descriptors, source)
        for rows in reading.batches(self._descriptors, source):
            self.rows_in += rows.num_rows
            self._reporter.progress(rows_in=self.rows_in)
            yield frames.frame(rows, source.columns, nullable)

    def _output(self, given: pa.Schema, *, is_first_of_many: bool = False) -> Output:
        return Output(
            self._descriptors[-1],
            self._order.bytes_max,
            self._order.source,
            given,
            self._what,
            is_first_of_many=is_first_of_many,
        )

    def _given(self, data: object, takes_context: bool) -> tuple[object, ...]:  # noqa: FBT001 - one meaning
        if not takes_context:
            return (data,)
        return (data, self._context())

    def _context(self) -> Context:
        order = self._order
        return Context(order.parameters, order.others, self._read, self._reporter)

    def _arrow(self, result: object, what: str) -> pa.Table:
        """A result as Arrow data; methods of the script's own types run meanwhile."""
        return self._script.call(lambda: results.arrow(result, what, self._warn))

    def _read(self, table: TableIn) -> pd.DataFrame:
        return frames.frame(reading.read(self._descriptors, table), table.columns)

    def _warn(self, text: str) -> None:
        if self._warnings_left:
            self._warnings_left -= 1
            self._reporter.own("warning", [text])


class Script:
    """A script as a module of its own, whose failures become ScriptFailed and error lines of the log."""

    def __init__(self, key: str, body: str, reporter: Reporter) -> None:
        self._key = key
        self._reporter = reporter
        self._module = ModuleType(MODULE)
        self._module.__file__ = key
        self._code = compile(body, key, "exec", dont_inherit=True)
        sys.modules[MODULE] = self._module  # dataclasses and pickle look it up
        linecache.cache[key] = (len(body), None, body.splitlines(keepends=True), key)

    def function(self, name: str) -> Callable[..., Any]:
        """Run the script's top level; the function of that name that it then has."""
        self.call(lambda: exec(self._code, self._module.__dict__))  # noqa: S102 - what the sandbox is for
        found = self._module.__dict__.get(name)
        if not callable(found):
            raise ScriptFailed(f"{self._key}: `{name}` is no function once the script has run.")
        return found  # type: ignore[no-any-return]

    def run_global(self, frame: pd.DataFrame, context: Context) -> object:
        """Run the script with the globals `df`, `context` and `GIVEN`; what it left as `df`."""
        space = self._module.__dict__
        space.update(GIVEN, df=frame, context=context)
        self.call(lambda: exec(self._code, space))  # noqa: S102 - as above
        if "df" not in space:
            raise ScriptFailed(
                f"{self._key} has no global `df` at its end, which would be its result."
            )
        return space["df"]

    def call(self, work: Callable[[], T]) -> T:
        """Do what runs code of the script."""
        try:
            return work()
        except PlatformError:
            raise  # of our own reading or of the checks of what it gave
        except BaseException as error:  # noqa: BLE001 - also SystemExit, and what libraries derive from BaseException
            self._fail(error)

    def _fail(self, error: BaseException) -> NoReturn:
        try:
            self._reporter.own("error", tracebacks.lines(error, self._key))
            said = tracebacks.summary(error, self._key)
        except MemoryError:
            said = f"{type(error).__name__} ({self._key})"
        if isinstance(error, MemoryError):
            raise LimitExceeded(
                f"The script needs more memory than it may have: {said}.",
                hint="Define run_batches(batches), which sees a part of the rows at a time, drop columns early,"
                " or give HEADWATER_SCRIPT_MEMORY_BYTES_MAX more bytes.",
            ) from error
        if isinstance(error, SystemExit):
            said = f"the script ended itself by {said}; it should return instead"
        raise ScriptFailed(said, hint=_hint(error)) from error


def _hint(error: BaseException) -> str | None:
    if isinstance(error, ModuleNotFoundError):
        return "Scripts have Python's own modules, pandas, numpy, pyarrow and duckdb; one cannot import another."
    return _ISOLATED if _is_refused(error) else None


def _is_refused(error: BaseException) -> bool:
    """Whether the system did not let the script do something."""
    found: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if isinstance(found, OSError) and found.errno in {errno.EPERM, errno.EACCES}:
            return True
        found = found and (found.__cause__ or found.__context__)
    return False


def _iterated(made: object, what: str) -> Iterator[object]:
    """What run_batches gave, as an iterator."""
    if isinstance(made, pd.DataFrame | pd.Series | str | bytes | dict) or not isinstance(
        made, Iterable
    ):
        given = "nothing" if made is None else f"a {type(made).__name__}"
        raise ScriptFailed(
            f"{what} is {given}: run_batches has to yield DataFrames.",
            hint="Write `for batch in batches: yield batch`.",
        )
    return iter(made)
