"""Exports as streams: bounded memory, bounded number, stopped when nobody reads on."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.errors import RateLimited
from base.tables import ColumnType
from storage.snapshots import engine
from storage.snapshots.export import EXPORTS_MAX
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import LocalPart
from storage.snapshots.pages import RowQuery
from storage.snapshots.rows import Rows
from tests.storage import tables

ROOT = Path(__file__).parents[2]
ROWS = 200_000
TABLE = tables.schema([("n", ColumnType.INTEGER), ("t", ColumnType.TEXT)])


@pytest.fixture
def rows() -> Iterator[Rows]:
    opened = Rows()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> list[LocalPart]:
    data = pa.table({"n": list(range(ROWS)), "t": [f"text of row {n} " * 20 for n in range(ROWS)]})
    folder = tmp_path_factory.mktemp("stored")
    return tables.write(folder, data, part_rows=30_000, batch_rows=10_000)


async def test_a_large_table_keeps_its_rows_and_their_order(
    rows: Rows, stored: list[LocalPart]
) -> None:
    text = b"".join([c async for c in rows.exports.stream(stored, TABLE, ExportFormat.CSV)])
    binary = b"".join([c async for c in rows.exports.stream(stored, TABLE, ExportFormat.PARQUET)])

    lines = csv.reader(io.StringIO(text.decode(), newline=""))
    assert next(lines) == ["n", "t"]
    assert all(line == [str(n), f"text of row {n} " * 20] for n, line in enumerate(lines))
    assert text.count(b"\r\n") == ROWS + 1
    assert pq.read_table(io.BytesIO(binary))["n"].to_pylist() == list(range(ROWS))


@pytest.mark.parametrize("kind", [ExportFormat.CSV, ExportFormat.JSONL, ExportFormat.PARQUET])
async def test_deleted_rows_are_in_no_file(rows: Rows, tmp_path: Path, kind: ExportFormat) -> None:
    parts = tables.write(tmp_path, pa.table({"n": list(range(1000))}), part_rows=300)
    table = tables.schema([("n", ColumnType.INTEGER)])
    gone = {0, 319, 320, *range(400, 640), 999}
    left = tables.without(parts, sorted(gone), tmp_path / "left")
    none = tables.without(parts, list(range(1000)), tmp_path / "none")

    data = b"".join([chunk async for chunk in rows.exports.stream(left, table, kind)])
    empty = b"".join([chunk async for chunk in rows.exports.stream(none, table, kind)])

    kept = [n for n in range(1000) if n not in gone]
    if kind is ExportFormat.PARQUET:
        assert pq.read_table(io.BytesIO(data))["n"].to_pylist() == kept
        assert pq.read_table(io.BytesIO(empty))["n"].to_pylist() == []
    elif kind is ExportFormat.CSV:
        assert data.decode().split() == ["n", *map(str, kept)]
        assert empty == b"n\r\n"
    else:
        assert data.decode().split() == [f'{{"n":{n}}}' for n in kept]
        assert empty == b""


async def test_a_table_without_rows_is_exported_with_columns_of_every_type(rows: Rows) -> None:
    table = tables.schema([(each.value, each) for each in ColumnType])

    data = b"".join([chunk async for chunk in rows.exports.stream([], table, ExportFormat.PARQUET)])

    found = pq.read_table(io.BytesIO(data))
    assert (found.num_rows, found.column_names) == (0, [each.value for each in ColumnType])
    assert str(found.schema.field("decimal").type) == "decimal128(38, 10)"


_MEASURE = """
import asyncio, resource, sys
from pathlib import Path
from base.tables import ColumnType
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import LocalPart
from storage.snapshots.rows import Rows
from tests.storage import tables

parts = [LocalPart(Path(path), int(rows)) for path, rows in zip(sys.argv[2::2], sys.argv[3::2])]
table = tables.schema([("n", ColumnType.INTEGER), ("t", ColumnType.TEXT)])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

async def main():
    size = 0
    exports = Rows().exports
    before = peak()
    async for chunk in exports.stream(parts, table, ExportFormat(sys.argv[1])):
        size += len(chunk)
    print(size, peak() - before)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_table(stored: list[LocalPart], kind: str) -> None:
    arguments = [text for part in stored for text in (str(part.path), str(part.rows))]
    peaks = {}

    for times in (1, 4):
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, kind, *arguments * times],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        size, peaks[times] = map(int, done.stdout.split())

    assert size > (200 if kind != "parquet" else 1) * 10**6
    assert peaks[4] < peaks[1] + 40 * 2**20
    assert peaks[4] < 250 * 2**20


@pytest.mark.parametrize("kind", [ExportFormat.CSV, ExportFormat.JSONL])
async def test_rows_that_are_too_wide_to_be_read_by_thousands_are_in_the_file(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: ExportFormat
) -> None:
    defaults = engine.locked.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "memory_bytes", 80 * 1024**2)
    wide = [chr(97 + n % 26) * 2**18 if n >= 8000 else str(n) for n in range(8220)]
    data = pa.table({"n": list(range(8220)), "t": wide})
    parts = tables.write(tmp_path, data, part_rows=4110, batch_rows=274)
    left = tables.without(parts, [5, 8001, 8110, 8219], tmp_path / "gone")

    text = b"".join([chunk async for chunk in rows.exports.stream(left, TABLE, kind)]).decode()

    kept = [(n, t) for n, t in enumerate(wide) if n not in {5, 8001, 8110, 8219}]
    if kind is ExportFormat.CSV:
        assert text.split("\r\n") == ["n,t", *(f"{n},{t}" for n, t in kept), ""]
    else:
        assert text.split("\n") == [*(f'{{"n":{n},"t":"{t}"}}' for n, t in kept), ""]


async def test_chunks_are_made_only_when_asked_for(rows: Rows, stored: list[LocalPart]) -> None:
    async with aclosing(rows.exports.stream(stored, TABLE, ExportFormat.CSV)) as chunks:
        first = await anext(chunks)
        await asyncio.sleep(0.1)

        # A reader that waits holds no thread: others are served.
        assert 500_000 < len(first) < 2_000_000
        page = await rows.page(stored, TABLE, RowQuery(first=1))
        assert page.row_count == 1


async def test_more_downloads_than_allowed_are_refused_until_one_ends(
    rows: Rows, stored: list[LocalPart]
) -> None:
    running = [rows.exports.stream(stored, TABLE, ExportFormat.CSV) for _ in range(EXPORTS_MAX)]
    for each in running:
        await anext(each)

    one_more = rows.exports.stream(stored, TABLE, ExportFormat.CSV)
    with pytest.raises(RateLimited):
        await anext(one_more)
    await running.pop().aclose()
    again = rows.exports.stream(stored, TABLE, ExportFormat.CSV)
    assert (await anext(again)).startswith(b"n,t\r\n")

    for each in (*running, again):
        await each.aclose()


async def test_cancelling_in_mid_chunk_frees_the_place(rows: Rows, stored: list[LocalPart]) -> None:
    async def read(begun: asyncio.Event) -> None:
        async for _ in rows.exports.stream(stored, TABLE, ExportFormat.CSV):
            begun.set()

    for _ in range(EXPORTS_MAX + 1):
        begun = asyncio.Event()
        task = asyncio.create_task(read(begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    chunks = rows.exports.stream(stored, TABLE, ExportFormat.CSV)
    assert await anext(chunks)
    await chunks.aclose()
