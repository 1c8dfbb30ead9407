"""The engine under the queries: its limits in bytes and time, and the walls around it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import duckdb
import pyarrow as pa
import pytest

from base.errors import QueryTooComplex, TimedOut
from base.tables import ColumnType
from storage.snapshots import engine
from storage.snapshots.manifest import LocalPart
from storage.snapshots.pages import RowFilter, RowOp, RowQuery
from storage.snapshots.rows import Rows
from tests.storage import tables

TABLE = tables.schema([("n", ColumnType.INTEGER)])


@pytest.fixture(scope="module")
def rows() -> Iterator[Rows]:
    opened = Rows()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> list[LocalPart]:
    return tables.write(tmp_path_factory.mktemp("stored"), pa.table({"n": list(range(700))}))


@pytest.mark.parametrize("where", [[], [RowFilter("t", RowOp.NOT_NULL)]], ids=["all", "filtered"])
async def test_a_page_over_its_bytes_is_refused(
    rows: Rows, tmp_path: Path, where: list[RowFilter]
) -> None:
    data = pa.table({"t": ["x" * 2**20] * 40})
    parts = tables.write(tmp_path, data)
    table = tables.schema([("t", ColumnType.TEXT)])

    with pytest.raises(QueryTooComplex, match="larger than 32 MiB"):
        await rows.page(parts, table, RowQuery(where=where, first=40))

    page = await rows.page(parts, table, RowQuery(where=where, first=20))
    assert len(page.rows_json) == 20 * (2**20 + 5) + 1


async def test_a_query_past_its_time_is_stopped_and_the_next_one_runs(
    rows: Rows, stored: list[LocalPart]
) -> None:
    with pytest.raises(TimedOut, match=r"longer than 0\.2 seconds"):
        await rows.load().pool.run(
            stored,
            lambda cursor: cursor.rows(
                "select sum(a.i * b.i) from range(10000000) a(i), range(1000000) b(i)", []
            ),
            0.2,
        )

    assert (await rows.page(stored, TABLE, RowQuery(first=1))).row_count == 1


async def test_cancelling_stops_the_query(rows: Rows, stored: list[LocalPart]) -> None:
    begun: Queue[None] = Queue()
    ended: Queue[BaseException] = Queue()

    def endless(cursor: engine.Cursor) -> None:
        begun.put(None)
        try:
            cursor.rows("select sum(a.i * b.i) from range(10000000) a(i), range(1000000) b(i)", [])
        except BaseException as error:
            ended.put(error)
            raise

    tasks = [
        asyncio.create_task(rows.load().pool.run(stored, endless, 60))
        for _ in range(engine.QUERIES_MAX)
    ]
    for _ in tasks:
        await asyncio.to_thread(begun.get, timeout=60)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    # All threads are free again, or this page would wait for ever.
    page = await asyncio.wait_for(rows.page(stored, TABLE, RowQuery(first=1)), 60)
    assert page.row_count == 1
    for _ in tasks:
        assert type(await asyncio.to_thread(ended.get, timeout=60)) is TimedOut


async def test_many_pages_at_once(rows: Rows, stored: list[LocalPart]) -> None:
    got = await asyncio.gather(*(rows.page(stored, TABLE, RowQuery(first=n)) for n in range(1, 60)))

    assert [page.row_count for page in got] == list(range(1, 60))


async def test_tables_used_long_ago_are_closed_and_open_again(rows: Rows, tmp_path: Path) -> None:
    some = [
        tables.write(tmp_path / str(at), pa.table({"n": [at]}))
        for at in range(engine.ENGINES_MAX + 2)
    ]

    for parts in (*some, some[0]):
        assert (await rows.page(parts, TABLE, RowQuery())).row_count == 1

    assert len(rows.load().pool._engines) == engine.ENGINES_MAX


ATTACKS = [
    "select * from read_parquet('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('{other}')",
    "select * from read_parquet('{other}')",
    "select * from read_csv('{folder}/../*')",
    "select * from parquet_metadata('{other}')",
    "select * from glob('/*')",
    "select * from data",
    "copy (select 1) to '{own}' (use_tmp_file false)",
    "copy (select 1) to '{folder}/new.parquet'",
    "attach '{folder}/new.db'",
    "install httpfs",
    "load httpfs",
    "set lock_configuration = false",
    "set enable_external_access = true",
    "pragma enable_external_access",
    "reset memory_limit",
    "select 1; select 2",
    "select 1; drop macro hw_csv",
    "create table t as select 1",
    "with x as (select 1) insert into t select * from x",
    "export database '{folder}'",
    "call pragma_version()",
    "execute x",
]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_the_engine_reaches_nothing_but_its_parts(
    rows: Rows, stored: list[LocalPart], tmp_path: Path, attack: str
) -> None:
    other = tables.write(tmp_path, pa.table({"n": [1]}))[0].path
    own = stored[0].path
    before = own.read_bytes()
    sql = attack.format(other=other, own=own, folder=tmp_path)
    data = pa.table({"n": [1]})  # DuckDB would find a variable of this name

    with pytest.raises((RuntimeError, duckdb.Error)):
        await rows.load().pool.run(stored, lambda cursor: cursor.rows(sql, []), 10)

    assert data.num_rows == 1
    assert own.read_bytes() == before
    assert [name for _, names, _ in os.walk(tmp_path) for name in names] == ["parts"]
