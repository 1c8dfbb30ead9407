"""Every kind of source keeps the promises of `conformance.py`."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import openpyxl
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlwt

import connectors
from connectors.connector import Connection
from tests import databases
from tests.connectors.conformance import COLUMNS, PROMISES, ROWS, Case
from tests.connectors.peers import LOOPBACK
from tests.http_server import HttpServer

OBJECTS = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
CREATE = "CREATE TABLE people (id int PRIMARY KEY, name varchar(30), score double precision)"


def delimited(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(COLUMNS)
        writer.writerows(ROWS)


def json_document(path: Path) -> None:
    path.write_text(json.dumps({"people": OBJECTS, "next": None}))


def json_lines(path: Path) -> None:
    path.write_text("".join(json.dumps(each) + "\n" for each in OBJECTS))


def parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(OBJECTS), path, row_group_size=60)


def xlsx(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("people", 0)
    for row in [COLUMNS, *ROWS]:
        sheet.append(row)
    book.save(path)


def xls(path: Path) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("people")
    for at, row in enumerate([COLUMNS, *ROWS]):
        for place, value in enumerate(row):
            if value is not None:
                sheet.write(at, place, value)
    book.save(str(path))


def sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as session:
        session.execute(CREATE)
        session.executemany("INSERT INTO people VALUES (?, ?, ?)", ROWS)
        session.commit()


FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "csv": ("people.csv", delimited),
    "tsv": ("people.tsv", delimited),
    "json": ("people.json", json_document),
    "ndjson": ("people.ndjson", json_lines),
    "parquet": ("people.parquet", parquet),
    "xlsx": ("people.xlsx", xlsx),
    "xls": ("people.xls", xls),
    "sqlite": ("people.db", sqlite),
}


def of_file(kind: str, folder: Path) -> Case:
    name, make = FILES[kind]
    path = folder / name
    make(path)
    raw = {"object_key": "uploads/1/00", "file_name": name}
    settings, secrets = connectors.parse(kind, raw)
    return Case(Connection(kind, settings, secrets, path), raw)


def of_server(kind: str, raw: dict[str, Any], schema: str | None) -> Case:
    settings, secrets = connectors.parse(kind, raw)
    return Case(Connection(kind, settings, secrets, guard=LOOPBACK), raw, schema=schema)


@pytest.fixture(scope="module")
def postgresql(postgres_url: str) -> Iterator[Case]:
    assert postgres_url
    with databases.postgres_database() as url:
        with psycopg.connect(url) as session, session.cursor() as cursor:
            cursor.execute(CREATE)
            cursor.executemany("INSERT INTO people VALUES (%s, %s, %s)", ROWS)
        yield of_server("postgresql", {"url": url}, "public")


@contextmanager
def mysql(server: databases.MysqlServer) -> Iterator[Case]:
    server.need()
    with databases.mysql_database(server.url) as url:
        with databases.mysql_session(url) as cursor:
            cursor.execute(CREATE)
            cursor.executemany("INSERT INTO people VALUES (%s, %s, %s)", ROWS)
        yield of_server("mysql", {"url": url}, None)


@pytest.fixture(scope="module")
def rest(http_server: HttpServer) -> Case:
    people = {"name": "people", "path": "/people/x", "pagination": {"kind": "PAGE"}}
    return of_server("rest", {"base_url": http_server.url, "resources": [people]}, None)


# Tables of parts, which hold no people: see `files/test_documents.py`.
DOCUMENTS = {"text", "markdown", "pdf", "docx", "doc", "pptx", "ppt"}


SERVERS = {server.name: server for server in databases.MYSQL_SERVERS}
KINDS = [*sorted(connectors.kinds().keys() - DOCUMENTS - {"mysql"}), *SERVERS]


@pytest.fixture(scope="module", params=KINDS)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    kind = str(request.param)
    if kind in FILES:
        yield of_file(kind, tmp_path_factory.mktemp(kind))
    elif kind in SERVERS:
        with mysql(SERVERS[kind]) as made:
            yield made
    else:
        yield request.getfixturevalue(kind)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_kind_keeps_its_promises(promise: Callable[[Case], None], case: Case) -> None:
    promise(case)
