"""What a worker and the child that runs one step of a script job say to each other. Light: no data library here.

The order goes to the child as it is; what comes back is JSON: `{"started": true}` just before the script's first line,
`{"log": [[level, text], ...]}`, `{"progress": {"rows_in", "rows_out", "fraction", "message"}}`, and the result of
`running.run_step`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from base.errors import InvalidInput
from base.tables import ColumnType, qualified

RUN_STEP = "workers.sandbox.running:run_step"
SCRIPT_PRELOAD = (
    "numpy",
    "pandas",
    "pyarrow",
    "pyarrow.compute",
    "pyarrow.ipc",
    "pyarrow.parquet",
    "duckdb",
    "workers.sandbox.contracts",
    "workers.sandbox.running",
)  # what the fork server of scripts imports once

LOG_BYTES_MAX = 1024**2
LOG_LINES_MAX = 10_000  # of a step: also empty lines are rows of the log
OUTPUT_BYTES_MAX = 16 * 1024**3


class ScriptFailed(InvalidInput):
    """A script raised, or gave what cannot be stored. The message names the script and, if known, the line."""


@dataclass(frozen=True, slots=True)
class ColumnIn:
    """A column of a table that a script sees, and what the step said that wrote it; None is not known.

    `has_nulls` is that some value is null, `has_values` that some is not.
    """

    name: str
    type: ColumnType
    has_nulls: bool | None = None
    has_values: bool | None = None


@dataclass(frozen=True, slots=True)
class FileIn:
    """A file of a table: the places of its descriptor and of that of its delete vector among those handed over.

    `rows` counts what the file holds, deleted rows too.
    """

    opens_index: int
    rows: int
    deletes_index: int | None = None
    deleted_rows: int = 0


@dataclass(frozen=True, slots=True)
class TableIn:
    """A table that a script sees, by its files in order: Parquet parts, or the Arrow IPC files of an earlier step.

    That wrote one, or each of the partitions did in which it ran.
    """

    name: str
    schema: str | None
    columns: tuple[ColumnIn, ...]
    files: tuple[FileIn, ...]
    is_ipc: bool = False

    @property
    def qualified_name(self) -> str:
        """See `base.tables.qualified`."""
        return qualified(self.schema, self.name)

    @property
    def rows(self) -> int:
        """Rows that are not deleted."""
        return sum(file.rows - file.deleted_rows for file in self.files)


@dataclass(frozen=True, slots=True)
class StepOrder:
    """One step: a script, and the table that it runs over.

    `others` are the source's other tables. The result may have `bytes_max` bytes, the log `log_bytes_max`.
    """

    key: str
    body: str
    source: TableIn
    parameters: dict[str, Any] = field(default_factory=dict)
    others: tuple[TableIn, ...] = ()
    position: int = 0
    bytes_max: int = OUTPUT_BYTES_MAX
    log_bytes_max: int = LOG_BYTES_MAX
