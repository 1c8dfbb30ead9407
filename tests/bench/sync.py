"""Syncs against what no sync can beat, and against dlt: PostgreSQL, MariaDB, CSV; then rows, growth, and nothing new.

PostgreSQL's limit is a binary COPY to nowhere, MariaDB's its own client without a buffer, the CSV's DuckDB without a check.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import psycopg
import pymysql

from tests.bench import peers, rows
from tests.bench.processes import PeakMemory, memory_bytes, tree
from tests.clients import Client, ServerProcess

T = TypeVar("T")
POSTGRES_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
MARIADB_URL = "mysql://root@127.0.0.1:3306/"
MARIADB_TABLE = "headwater_bench.orders"
POSTGRES_ROWS = 2_000_000
MARIADB_ROWS = 2_000_000
CSV_ROWS = 8_000_000
ROUNDS = 3
IDLE_SECONDS = 3  # until the worker and its fork server have loaded what they load
MIB = 1024**2

JOB = """query ($id: ID!) { job(id: $id) { startedAt finishedAt status error { message } } }"""
CONNECT = """mutation ($input: ConnectDataSourcesInput!) {
  connectDataSources(input: $input) { dataSources { id } jobs { id } } }"""
SYNC = """mutation ($input: SyncDataSourcesInput!) { syncDataSources(input: $input) { jobs { id } } }"""


def make_postgres_table(connection: psycopg.Connection, rows: int = POSTGRES_ROWS) -> None:
    """Rows × 12 columns of the types that databases are full of."""
    connection.execute("DROP TABLE IF EXISTS bench_orders")
    connection.execute("""CREATE TABLE bench_orders (id bigint PRIMARY KEY, amount numeric(12,2), ratio float8, quantity int,
        title text, body jsonb, key uuid, day date, at timestamptz, paid boolean, tags text[], note text)""")
    connection.execute(
        """INSERT INTO bench_orders SELECT n, n * 0.01, n / 7.0, n %% 1000, 'title of order ' || n,
        jsonb_build_object('n', n, 'kind', n %% 5), md5(n::text)::uuid, date '2020-01-01' + (n %% 1500)::int,
        timestamptz '2020-01-01 00:00:00+00' + n * interval '1 second', n %% 3 = 0, ARRAY['a', (n %% 100)::text],
        CASE WHEN n %% 4 > 0 THEN 'note ' || (n %% 5000) END FROM generate_series(1, %s) n""",
        (rows,),
    )
    connection.execute("VACUUM ANALYZE bench_orders")


def copy_to_nowhere(connection: psycopg.Connection) -> float:
    """Seconds of the fastest way out of PostgreSQL: what no sync can beat."""
    started = time.perf_counter()
    with connection.cursor().copy("COPY bench_orders TO STDOUT (FORMAT binary)") as copy:
        for _ in copy:
            pass
    return time.perf_counter() - started


def make_mariadb_table(cursor: pymysql.cursors.Cursor) -> None:
    """The same 12 columns, as far as MariaDB has their types."""
    cursor.execute("CREATE DATABASE IF NOT EXISTS headwater_bench")
    cursor.execute("USE headwater_bench")  # its sequences are in no other
    cursor.execute(f"DROP TABLE IF EXISTS {MARIADB_TABLE}")
    cursor.execute(f"""CREATE TABLE {MARIADB_TABLE} (id bigint PRIMARY KEY, amount decimal(12,2), ratio double, quantity int,
        title varchar(100), body json, hash char(32), day date, at datetime(6), paid tinyint(1), tags varchar(100), note text)""")
    cursor.execute(
        f"""INSERT INTO {MARIADB_TABLE} SELECT seq, seq * 0.01, seq / 7.0, seq %% 1000, concat('title of order ', seq),
        json_object('n', seq, 'kind', seq %% 5), md5(seq), date '2020-01-01' + interval (seq %% 1500) day,
        timestamp '2020-01-01 00:00:00' + interval seq second, seq %% 3 = 0, concat('a,', seq %% 100),
        IF(seq %% 4 > 0, concat('note ', seq %% 5000), NULL) FROM seq_1_to_{MARIADB_ROWS}""",
        (),
    )


def mariadb_to_nowhere() -> float:
    """Seconds of MariaDB's own client, row by row to nowhere."""
    started = time.perf_counter()
    command = ["mariadb", "-h127.0.0.1", "-uroot", "--quick", "--batch", "--skip-column-names"]
    query = f"SELECT * FROM {MARIADB_TABLE}"
    subprocess.run([*command, "-e", query], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def make_csv(path: Path, rows: int = CSV_ROWS) -> None:
    """Integers, codes with leading zeros, decimals, dates, timestamps, quoted text with commas."""
    duckdb.connect().execute(
        f"""COPY (SELECT i AS id, printf('%05d', i % 99999) AS code, (i / 100)::DECIMAL(12, 2) AS price,
        i / 7.0 AS ratio, DATE '2020-01-01' + (i % 1500)::INTEGER AS day,
        TIMESTAMP '2020-01-01' + to_seconds(i) AS at, i % 3 = 0 AS paid, 'name, "' || i || '"' AS name,
        CASE WHEN i % 4 > 0 THEN 'note ' || (i % 5000) END AS note, i % 1000 AS quantity,
        md5(i::VARCHAR) AS hash, 'city ' || (i % 300) AS city
        FROM range({rows}) t(i)) TO '{path}' (HEADER)"""
    )


def csv_to_parquet(path: Path) -> float:
    """Seconds of DuckDB's own guess, unchecked: it rounds and drops zeros silently, but it is fast."""
    started = time.perf_counter()
    duckdb.connect(config={"memory_limit": "512MB"}).execute(
        f"COPY (SELECT * FROM read_csv('{path}')) TO '{path}.parquet' (COMPRESSION zstd)"
    )
    return time.perf_counter() - started


def sync_seconds(client: Client, job_id: str) -> float:
    """Seconds that a worker had the job, until its snapshot was published."""
    client.wait_for_job(job_id, seconds=600)
    job = client.data(JOB, id=job_id)["job"]
    if job["status"] != "SUCCEEDED":
        raise RuntimeError(str(job))
    return (
        datetime.fromisoformat(job["finishedAt"]) - datetime.fromisoformat(job["startedAt"])
    ).total_seconds()


def connected(client: Client, name: str, source: dict[str, Any]) -> tuple[str, str]:
    """A new source in a project of its own: its id, and its first sync's."""
    project = client.data(
        "mutation ($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }",
        input={"name": name},
    )["createProject"]["project"]["id"]
    if path := source.get("path"):
        source = {"connection": {"file": {"objectKey": client.upload(project, path)["objectKey"]}}}
    made = client.data(CONNECT, input={"projectId": project, "sources": [{"name": name} | source]})
    return (
        made["connectDataSources"]["dataSources"][0]["id"],
        made["connectDataSources"]["jobs"][0]["id"],
    )


def synced(client: Client, source_id: str) -> str:
    """The id of a new sync's job."""
    jobs = client.data(SYNC, input={"dataSourceIds": [source_id]})["syncDataSources"]["jobs"]
    job_id: str = jobs[0]["id"]
    return job_id


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tool at the same work; each call is a run of its own."""

    seconds: Callable[[], float]
    peak_bytes: Callable[[], int]


def compare(
    server: ServerProcess,
    name: str,
    rows: int,
    limit: Callable[[], float],
    source: dict[str, Any],
    peer: Peer | None = None,
) -> str:
    """Limit, sync and peer in turn, and a line with the medians and their ratios; the last source's id.

    Each sync is a new source's: one that finds what is stored already describes nothing, and is a quarter faster.
    """
    client = server.client()
    limits, syncs, seconds, source_id = [], list[float](), list[float](), ""
    for number in range(ROUNDS):
        limits.append(limit())
        source_id, job_id = connected(client, f"{name} #{number + 1}", source)
        syncs.append(sync_seconds(client, job_id))
        if peer is not None:
            seconds.append(peer.seconds())
    print(
        f"{name:<30} limit {rows / statistics.median(limits):>10,.0f} rows/s   sync {rows / statistics.median(syncs):>10,.0f} rows/s"
        f"   ratio {ratios(limits, syncs)}   peak {peak(server, name, source)}",
        flush=True,
    )
    if peer is not None:
        print(
            f"{'':<30} dlt {rows / statistics.median(seconds):>10,.0f} rows/s   ours against it {ratios(seconds, syncs)}"
            f"   its peak {peer.peak_bytes() / MIB:,.0f} MiB",
            flush=True,
        )
    return source_id


def peak(server: ServerProcess, name: str, source: dict[str, Any]) -> str:
    """What all of our processes take at most while a new source is synced, and those that sync it.

    Not read while a sync is timed: looking takes time, too.
    """
    assert server.process is not None
    client = server.client()
    with PeakMemory(server.process.pid) as found:
        _, job_id = connected(client, f"{name}, memory", source)
        sync_seconds(client, job_id)
    return f"{found.bytes / MIB:,.0f} MiB, without the API {found.below_bytes / MIB:,.0f}"


def ratios(theirs: list[float], ours: list[float]) -> str:
    """Median, lowest and highest of how many times theirs takes ours."""
    each = [a / b for a, b in zip(theirs, ours, strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})"


def dlt(folder: Path) -> Peer:
    """dlt's `sql_database` with its fastest backend, PostgreSQL to Parquet files."""

    def run(how: Callable[..., T]) -> T:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            return how("dlt_table.py", POSTGRES_URL, "bench_orders", "connectorx", out)

    return Peer(lambda: run(peers.run)[0], lambda: run(peers.peak_bytes))


def postgres_source(**selection: Any) -> dict[str, Any]:
    """The table as a source."""
    return {
        "connection": {"database": {"engine": "POSTGRESQL", "url": POSTGRES_URL}},
        "tables": [{"name": "bench_orders"} | selection],
    }


def increments(server: ServerProcess, connection: psycopg.Connection) -> None:
    """What a merging sync of the same table costs when nothing is new, and when 10,000 rows are."""
    client = server.client()
    source = postgres_source(mode="MERGE", cursorColumn="at")
    source_id, job_id = connected(client, "increments", source)
    full = sync_seconds(client, job_id)
    nothing = [sync_seconds(client, synced(client, source_id)) for _ in range(ROUNDS)]
    changed = []
    for _ in range(ROUNDS):
        connection.execute(
            "UPDATE bench_orders SET note = note || '!', at = (SELECT max(at) FROM bench_orders) + interval '1 hour'"
            " WHERE id % 200 = 7"
        )
        changed.append(sync_seconds(client, synced(client, source_id)))
    print(
        f"merging sync of {POSTGRES_ROWS:,} rows   first {full:.2f} s   nothing new {statistics.median(nothing):.2f} s"
        f"   10,000 rows changed {statistics.median(changed):.2f} s",
        flush=True,
    )


def growth(server: ServerProcess, connection: psycopg.Connection, folder: Path) -> None:
    """Ten times the rows: seconds and memory."""
    client = server.client()
    grown = folder / "grown.csv"
    cases: list[tuple[str, int, Callable[[int], None], dict[str, Any]]] = [
        ("PostgreSQL", POSTGRES_ROWS, partial(make_postgres_table, connection), postgres_source()),
        ("CSV", CSV_ROWS, partial(make_csv, grown), {"path": grown}),
    ]
    for name, rows_of, make, source in cases:
        told = []
        for rows_now in (rows_of // 10, rows_of):
            make(rows_now)
            _, job_id = connected(client, f"growth of {name}", source)
            seconds = sync_seconds(client, job_id)
            memory = peak(server, f"growth of {name}", source)
            told.append(f"{rows_now:,} rows {seconds:.2f} s, {memory}")
        print(f"growth of {name:<20} " + "   ".join(told), flush=True)


def main() -> None:
    """Every comparison, one after the other in one run."""
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as name,
        psycopg.connect(POSTGRES_URL, autocommit=True) as connection,
        ServerProcess(Path(name) / "data") as server,
    ):
        folder = Path(name)
        server.wait_until_ready()
        assert server.process is not None
        time.sleep(IDLE_SECONDS)
        idle = memory_bytes(tree(server.process.pid)) / MIB
        print(f"idle, before the first sync: {idle:,.0f} MiB", flush=True)
        make_postgres_table(connection)
        compare(
            server, f"PostgreSQL {POSTGRES_ROWS:,} × 12", POSTGRES_ROWS,
            lambda: copy_to_nowhere(connection), postgres_source(), dlt(folder),
        )  # fmt: skip
        increments(server, connection)
        with closing(pymysql.connect(host="127.0.0.1", user="root", autocommit=True)) as mariadb:
            with mariadb.cursor() as cursor:
                make_mariadb_table(cursor)
            database, _, table = MARIADB_TABLE.partition(".")
            source = {
                "connection": {"database": {"engine": "MYSQL", "url": MARIADB_URL + database}},
                "tables": [{"name": table}],
            }
            compare(
                server, f"MariaDB {MARIADB_ROWS:,} × 12", MARIADB_ROWS, mariadb_to_nowhere, source
            )
            with mariadb.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {database}")
        path = folder / "orders.csv"
        make_csv(path)
        title = f"CSV {CSV_ROWS:,} × 12, {path.stat().st_size / MIB:,.0f} MiB"
        source_id = compare(server, title, CSV_ROWS, lambda: csv_to_parquet(path), {"path": path})
        rows.measure(server.client(), source_id)
        path.unlink()
        growth(server, connection, folder)
        connection.execute("DROP TABLE bench_orders")


if __name__ == "__main__":
    main()
