"""Runs scripts over Arrow tables as a job does, and gives what they said and made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base import process
from base.process import Isolation, Limits, OnMessage, OpenFile
from base.tables import ColumnType
from storage.snapshots import vectors
from workers.sandbox.messages import (
    LOG_BYTES_MAX,
    RUN_STEP,
    SCRIPT_PRELOAD,
    ColumnIn,
    FileIn,
    StepOrder,
    TableIn,
)

GIB = 1024**3
LIMITS = Limits(wall_seconds=300, memory_bytes=4 * GIB, cpu_seconds=300, file_bytes=4 * GIB)
KEY = "clean/trim.py"
SERVER = process.ForkServer(SCRIPT_PRELOAD)
_OURS = (
    (pa.types.is_boolean, ColumnType.BOOLEAN),
    (pa.types.is_integer, ColumnType.INTEGER),
    (pa.types.is_floating, ColumnType.FLOAT),
    (pa.types.is_decimal, ColumnType.DECIMAL),
    (pa.types.is_string, ColumnType.TEXT),
    (pa.types.is_date, ColumnType.DATE),
    (pa.types.is_time, ColumnType.TIME),
    (pa.types.is_binary, ColumnType.BINARY),
    (pa.types.is_list, ColumnType.LIST),
    (pa.types.is_struct, ColumnType.STRUCT),
)


@dataclass
class Step:
    """What became of a step."""

    messages: list[dict[str, Any]]
    result: dict[str, Any] = field(default_factory=dict)
    table: pa.Table | None = None
    error: Exception | None = None

    @property
    def log(self) -> list[list[str]]:
        return [line for message in self.messages for line in message.get("log", [])]

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.table is not None, self.error
        found: list[dict[str, Any]] = self.table.to_pylist()
        return found

    @property
    def types(self) -> dict[str, str]:
        return {each["name"]: each["type"] for each in self.result["columns"]}


class Files:
    """The files of one order: their paths, and the tables made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[str] = []

    def _add(self, name: str) -> tuple[int, Path]:
        path = self.folder / f"{len(self.paths)}.{name}"
        self.paths.append(str(path))
        return len(self.paths) - 1, path

    def parquet(
        self,
        name: str,
        parts: Sequence[pa.Table],
        *,
        deletes: Mapping[int, Sequence[int]] | None = None,
        types: Mapping[str, ColumnType] | None = None,
        schema: str | None = None,
    ) -> TableIn:
        files = []
        for at, part in enumerate(parts):
            index, path = self._add("parquet")
            pq.write_table(part, path)
            gone = (deletes or {}).get(at, [])
            vector = None
            if gone:
                vector, path = self._add("deletes")
                vectors.write(np.array(gone, np.uint32), path)
            files.append(FileIn(index, part.num_rows, vector, len(gone)))
        return TableIn(name, schema, columns_of(parts[0].schema, types), tuple(files))

    def ipc(
        self, name: str, table: pa.Table, *, types: Mapping[str, ColumnType] | None = None
    ) -> TableIn:
        index, path = self._add("arrow")
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        columns = columns_of(table.schema, types)
        return TableIn(name, None, columns, (FileIn(index, table.num_rows),), is_ipc=True)


def columns_of(
    schema: pa.Schema, types: Mapping[str, ColumnType] | None = None
) -> tuple[ColumnIn, ...]:
    return tuple(
        ColumnIn(each.name, (types or {}).get(each.name, ours(each.type))) for each in schema
    )


def ours(found: pa.DataType) -> ColumnType:
    if pa.types.is_timestamp(found):
        return ColumnType.TIMESTAMP_TZ if found.tz else ColumnType.TIMESTAMP
    return next(kind for matches, kind in _OURS if matches(found))


async def run_files(files: Files, order: StepOrder, limits: Limits = LIMITS) -> Step:
    """Run an order over the files in an isolated child, and read what it wrote."""
    output = files.folder / "output.arrow"
    step = Step([])
    try:
        step.result = await in_child(files, output, order, step.messages.append, limits)
    except Exception as error:  # noqa: BLE001 - the tests look at it
        step.error = error
        return step
    with pa.OSFile(str(output)) as source:
        step.table = pa.ipc.open_file(source).read_all()
    step.table.validate(full=True)
    return step


async def in_child(
    files: Files, output: Path, order: StepOrder, on_message: OnMessage, limits: Limits = LIMITS
) -> Any:
    """What the step's process answers."""
    opens = [*(OpenFile(Path(path)) for path in files.paths), OpenFile(output, writable=True)]
    return await process.run(
        RUN_STEP,
        order,
        limits=limits,
        on_message=on_message,
        isolation=Isolation(opens=tuple(opens)),
        server=SERVER,
        plain=True,
    )


async def run_script(
    folder: Path,
    body: str,
    table: pa.Table,
    *,
    parameters: dict[str, Any] | None = None,
    types: Mapping[str, ColumnType] | None = None,
    key: str = KEY,
    log_bytes_max: int = LOG_BYTES_MAX,
    bytes_max: int = GIB,
    limits: Limits = LIMITS,
) -> Step:
    """Run a script over one table."""
    files = Files(folder)
    source = files.ipc("t", table, types=types)
    order = StepOrder(
        key,
        body,
        source,
        parameters or {},
        log_bytes_max=log_bytes_max,
        bytes_max=bytes_max,
    )
    return await run_files(files, order, limits)
