"""Functions that the tests of isolation run in children."""

import asyncio
import concurrent.futures
import datetime as dt
import decimal
import io
import mmap
import os
import statistics
import time
import zoneinfo
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.errors import Conflict, InvalidInput
from base.process import Channel


def user() -> int:
    return os.getuid()


def stay(channel: Channel) -> None:
    channel.send(os.getpid())
    time.sleep(3_600)


def mapped(descriptor: int) -> pa.Buffer:
    return pa.py_buffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))


def analyse(descriptors: tuple[int, ...]) -> dict[str, Any]:
    """What scripts do: tables in by mapping and by Parquet, their work with threads, a table out."""
    ipc, parquet, output = descriptors
    table = pa.ipc.open_file(mapped(ipc)).read_all()
    again = pq.ParquetFile(pa.BufferReader(mapped(parquet))).read(use_threads=True)
    with os.fdopen(parquet, "rb", closefd=False) as file:
        once_more = pq.read_table(file)
    assert table.equals(again)
    assert table.equals(once_more)
    frame = table.to_pandas()
    ordered = duckdb.connect(config={"threads": 4}).register("t", frame)
    counted = ordered.execute("SELECT count(*) FROM (SELECT * FROM t ORDER BY v DESC)").fetchone()
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        squares = sum(threads.map(lambda number: number * number, range(100)))
    with os.fdopen(output, "wb", closefd=False) as sink, pa.ipc.new_file(sink, table.schema) as to:
        to.write_table(table)
    return {
        "groups": len(frame.groupby("k")["v"].sum()),
        "sums": len(duckdb.execute("SELECT k, sum(v) FROM frame GROUP BY k").fetchall()),
        "counted": counted,
        "squares": squares,
        "csv": pd.read_csv(io.StringIO("a,b\n1,2")).to_dict("list"),
        "inverse": np.linalg.inv(np.eye(3) * 2).tolist()[0],
    }


def import_lately() -> dict[str, str]:
    """Imports and files of the runtime that are only needed by now."""
    xml = __import__("xml.etree.ElementTree", fromlist=["x"])
    berlin = dt.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    tokyo = pd.Timestamp("2024-01-01", tz="America/New_York").tz_convert("Asia/Tokyo")
    paris = pc.assume_timezone(pa.array([0], pa.timestamp("us")), "Europe/Paris")
    asyncio.run(asyncio.sleep(0))
    return {
        "mean": str(statistics.mean([1, 2])),
        "decimal": str(decimal.Decimal("1.10") * 2),
        "berlin": str(berlin.utcoffset()),
        "tokyo": str(tokyo.utcoffset()),
        "paris": str(paris.type),
        "xml": xml.fromstring("<a>b</a>").text,
    }


def refuse() -> None:
    raise InvalidInput("no\ud800", hint="say yes")


def conflict() -> None:
    raise Conflict("taken")


def fail(secret: str) -> None:
    raise RuntimeError(f"cannot open {secret}")


def answer_an_object() -> object:
    return object()


def talk(channel: Channel, count: int, size: int) -> int:
    for number in range(count):
        channel.send({"number": number, "text": "x" * size})
    return count


def say_raw(channel: Channel, frames: list[tuple[int, str]]) -> None:
    """As hostile code does that found the connection."""
    for kind, body in frames:
        raw = body.encode()
        channel._connection.sendall(bytes([kind]) + len(raw).to_bytes(8, "big") + raw)
