"""A source that does as a test says: a real connector, read by the real child process, that fails where it is told to.

Settings: `tables` (name to rows, or to `{rows, key_type}`), `batch_rows`, `is_resumable`, `pause_seconds` after a batch,
`hold`: `{table, row, until}`, which waits with that row until the file `until` exists,
`bad_rows` (table to rows that are rejected), `log` (a file that gets a line for each batch read), `fault`: `{table, row,
how, once}`, where the existence of the file `once` says that it has happened.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

import connectors
from base.errors import InvalidInput
from base.process import Channel
from base.tables import Column, ColumnType, TableSchema
from connectors.connector import (
    Batch,
    Connection,
    Connector,
    Family,
    Health,
    Kind,
    Reading,
    Reject,
    Selection,
)
from connectors.errors import ReadAgain, SourceUnreachable, TableMissing
from workers import reading
from workers.messages import ReadOrder

KIND = "odd"


class OddSource:
    def __init__(self, connection: Connection) -> None:
        self._settings = connection.settings
        self._secrets = connection.secrets
        self._batch_rows: int = self._settings.get("batch_rows", 1000)

    def check(self) -> Health:
        return Health("fine")

    def tables(self) -> list[TableSchema]:
        return [self._schema(name) for name in self._settings["tables"]]

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        if selection.name not in self._settings["tables"]:
            raise TableMissing(f"There is no table {selection.name}.")
        first = after[0] + 1 if after else 0
        return Reading(
            self._schema(selection.name), self._batches(selection.name, first), bytes_total=None
        )

    def close(self) -> None:
        pass

    def _schema(self, name: str) -> TableSchema:
        columns = (
            Column(
                "id", ColumnType.TEXT if self._is_text() else ColumnType.INTEGER, primary_key=True
            ),
            Column("value", ColumnType.TEXT),
        )
        return TableSchema(name, columns, row_estimate=self._settings["tables"][name])

    def _is_text(self) -> bool:
        """The column becomes text once the fault has happened, if the fault says so."""
        fault = self._settings.get("fault") or {}
        return fault.get("how") == "change" and Path(fault["once"]).exists()

    def _batches(self, name: str, first: int) -> Iterator[Batch]:
        rows: int = self._settings["tables"][name]
        for start in range(first, rows, self._batch_rows):
            ids = range(start, min(start + self._batch_rows, rows))
            self._fail(name, ids)
            yield from self._hold(name, ids)
            self._log(name, ids)
            yield self._batch(name, ids)
            time.sleep(self._settings.get("pause_seconds", 0))

    def _batch(self, name: str, ids: range) -> Batch:
        bad = {row for row in self._settings.get("bad_rows", {}).get(name, ()) if row in ids}
        good = [i for i in ids if i not in bad]
        key = pa.array([str(i) if self._is_text() else i for i in good])
        values = pa.array([f"value {i}" for i in good])
        data = pa.RecordBatch.from_arrays([key, values], names=["id", "value"])
        position = [ids[-1]] if self._settings.get("is_resumable", True) else None
        rejects = tuple(Reject(i + 1, "id", "is bad", f"row {i}") for i in sorted(bad))
        return Batch(data, position, bytes_read=(ids[-1] + 1) * 10, rejects=rejects)

    def _log(self, name: str, ids: range) -> None:
        if path := self._settings.get("log"):
            with Path(path).open("a") as file:
                file.write(f"{name} {ids[0]} {len(ids)}\n")

    def _hold(self, name: str, ids: range) -> Iterator[Batch]:
        """Batches without rows meanwhile: finished parts are told of when the next batch comes."""
        hold: Mapping[str, Any] = self._settings.get("hold") or {}
        if hold.get("table") != name or hold["row"] not in ids:
            return
        while not Path(hold["until"]).exists():
            yield replace(
                self._batch(name, ids), data=self._batch(name, ids).data.slice(0, 0), position=None
            )
            time.sleep(0.05)

    def _fail(self, name: str, ids: range) -> None:
        fault: Mapping[str, Any] = self._settings.get("fault") or {}
        if fault.get("table") != name or fault["row"] not in ids:
            return
        if once := fault.get("once"):
            if Path(once).exists():
                return
            Path(once).touch()
        time.sleep(0.2)  # what was written so far becomes durable
        self._do(fault["how"])

    def _do(self, how: str) -> None:
        if how == "crash":
            ctypes.string_at(0)
        elif how == "memory":
            bytearray(2**40)
        elif how == "exit":
            os._exit(7)
        elif how == "again":
            raise ReadAgain
        elif how in {"drop", "change"}:
            raise SourceUnreachable(f"The server said: bad token {self._secrets['password']}")
        elif how == "refuse":
            raise InvalidInput(f"Line 7 is broken near {self._secrets['password']}.")
        else:
            raise ZeroDivisionError(f"a bug with {self._secrets['password']} in it")


def _open(connection: Connection) -> Connector:
    return OddSource(connection)


def read(channel: Channel, order: ReadOrder) -> None:
    """What `workers.reading:read` does, with this kind registered."""
    kind = Kind(KIND, Family.DATABASE, _open, lambda raw: (dict(raw), {}))
    connectors._KINDS = MappingProxyType({**connectors._KINDS, KIND: kind})
    reading.read(channel, order)
