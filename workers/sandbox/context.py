"""What a script is given beside its rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from workers.sandbox.capture import LOGGER
from workers.sandbox.messages import TableIn
from workers.sandbox.reporting import MESSAGE_CHARS_MAX, Reporter, clean

Read = Callable[[TableIn], pd.DataFrame]


class Context:
    """`context` of a script: its `parameters`, a `logger` of the job's log, and the source's other `tables`."""

    def __init__(
        self, parameters: dict[str, Any], others: Sequence[TableIn], read: Read, reporter: Reporter
    ) -> None:
        self.parameters = parameters
        self.logger = logging.getLogger(LOGGER)
        self.tables: Mapping[str, pd.DataFrame] = Tables(others, read)
        self._reporter = reporter

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Tell that this much of the work, 0 to 1, is done; those who watch the job see it, with the message."""
        done = float(fraction)
        if not math.isfinite(done):
            raise ValueError(f"progress is a number from 0 to 1, not {fraction!r}")
        said = None if message is None else clean(str(message))[:MESSAGE_CHARS_MAX]
        self._reporter.progress(fraction=min(max(done, 0.0), 1.0), message=said)


class Tables(Mapping[str, pd.DataFrame]):
    """The source's other tables as DataFrames by name, read when they are asked for.

    A table of a schema is found with its schema and a point before its name and, where only one is called so, without.
    """

    def __init__(self, tables: Sequence[TableIn], read: Read) -> None:
        names = [table.name for table in tables]
        self._tables = {table.qualified_name: table for table in tables}
        self._short = {table.name: table for table in tables if names.count(table.name) == 1}
        self._read = read
        self._frames: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        table = self._tables.get(name) or self._short.get(name)
        if table is None:
            raise KeyError(f"no table {name!r}; there are {', '.join(self) or 'no others'}")
        key = table.qualified_name
        if key not in self._frames:
            self._frames[key] = self._read(table)
        return self._frames[key].copy(deep=False)  # what one caller changes, the next does not see

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)
