"""What clients write about a connection, and which tables they want, as GraphQL has it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.failures import Failure
from gateway.prometheux import choosing, connections
from gateway.prometheux.replies import bind_annotation, predicate_of, state_of

HOST = {"host": "db.example.com", "database": "customers", "username": "user"}
UPLOADED = "disk/uploads/1/0a0b/cities.csv"


@pytest.mark.parametrize(
    ("type_", "config", "given"),
    [
        ("database", HOST, {"database": {"engine": "POSTGRESQL"} | HOST}),
        ("database", HOST | {"port": "3306"}, {"database": {"engine": "MYSQL", "port": 3306} | HOST}),
        ("database", HOST | {"engine": "MariaDB"}, {"database": {"engine": "MYSQL"} | HOST}),
        ("mysql", HOST | {"port": 0}, {"database": {"engine": "MYSQL"} | HOST}),
        ("postgres", {"host": "h", "dbname": "d", "user": "u", "sslmode": "require"},
         {"database": {"engine": "POSTGRESQL", "host": "h", "database": "d", "username": "u", "sslMode": "require"}}),
        ("database", {"url": "jdbc:mysql://h:1/d", "username": "a@b", "password": "p/q"},
         {"database": {"engine": "MYSQL", "url": "mysql://a%40b:p%2Fq@h:1/d"}}),
        ("database", {"url": "postgres://u:p@h/d", "username": "other"},
         {"database": {"engine": "POSTGRESQL", "url": "postgres://u:p@h/d"}}),
        ("database", {"type": "sqlite", "file_path": "disk/uploads/1/0a/x.db"},
         {"database": {"engine": "SQLITE", "objectKey": "uploads/1/0a"}}),
        ("file", {"file_path": UPLOADED, "delimiter": ";"}, {"file": {"objectKey": "uploads/1/0a0b", "delimiter": ";"}}),
        ("csv", {"host": "/disk/uploads/1/0a0b/", "database": "cities.csv", "options": {"encoding": "latin-1"}},
         {"file": {"objectKey": "uploads/1/0a0b", "encoding": "latin-1"}}),
        ("excel", {"path": "https://example.com/a.xlsx"}, {"file": {"url": "https://example.com/a.xlsx"}}),
        ("file", {"object_key": "uploads/1/0a0b"}, {"file": {"objectKey": "uploads/1/0a0b"}}),
        ("api", {"base_url": "https://a.example", "token": "t", "resources": ["/items", {"name": "x", "path": "/y", "primary_key": ["id"]}]},
         {"api": {"baseUrl": "https://a.example", "auth": {"bearer": "t"}, "resources": [
             {"name": "items", "path": "/items"}, {"name": "x", "path": "/y", "primaryKey": ["id"]}]}}),
        ("api", {"base_url": "https://a.example", "username": "u", "password": "p", "headers": {"X-A": "1"}},
         {"api": {"baseUrl": "https://a.example", "auth": {"basic": {"username": "u", "password": "p"}}, "headers": {"X-A": "1"}}}),
        ("rest", {"url": "https://a.example", "api_key": "k", "api_key_name": "X-Key"},
         {"api": {"baseUrl": "https://a.example", "auth": {"apiKey": {"value": "k", "name": "X-Key"}}}}),
    ],
)  # fmt: skip
def test_a_connection_in_their_words_is_one_in_ours(
    type_: str, config: dict[str, Any], given: dict[str, Any]
) -> None:
    assert connections.of_source(type_, config, "sources.0").given == given


def test_it_is_said_where_nothing_tells_the_engine() -> None:
    (note,) = connections.of_source("database", HOST, "sources.0").notes

    assert "taken as PostgreSQL" in note
    assert connections.of_source("database", HOST | {"type": "mysql"}, "sources.0").notes == []


@pytest.mark.parametrize("kind", ["snowflake", "mongodb", "neo4j", "sqlserver", "oracle"])
def test_kinds_that_headwater_has_not_are_unsupported(kind: str) -> None:
    with pytest.raises(Failure) as caught:
        connections.of_database({"databaseType": kind, "host": "h"})

    assert (caught.value.code, kind in caught.value.message) == ("UNSUPPORTED", True)


def table(name: str, schema: str | None = None, *columns: str) -> dict[str, Any]:
    return {"name": name, "schema": schema, "columns": [{"name": each} for each in columns]}


FOUND = [table("a", "x", "id", "n"), table("a", "y", "id"), table("b", "x", "m")]


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ({}, [{"name": "a", "schema": "x"}, {"name": "a", "schema": "y"}, {"name": "b", "schema": "x"}]),
        ({"schema": "y"}, [{"name": "a", "schema": "y"}]),
        ({"tables": ["b", "y.a"]}, [{"name": "a", "schema": "y"}, {"name": "b", "schema": "x"}]),
        ({"selectedTables": [{"name": "a", "schema": "x", "mode": "merge", "cursor_column": "n"}]},
         [{"name": "a", "schema": "x", "mode": "MERGE", "cursorColumn": "n"}]),
        ({"ignoreTables": "x.a, b"}, [{"name": "a", "schema": "y"}]),
        ({"selectedColumns": ["n", "m"]},
         [{"name": "a", "schema": "x", "columns": ["n"]}, {"name": "b", "schema": "x", "columns": ["m"]}]),
        ({"schema": "x", "ignoreColumns": ["a.n"]},
         [{"name": "a", "schema": "x", "columns": ["id"]}, {"name": "b", "schema": "x", "columns": ["m"]}]),
    ],
)  # fmt: skip
def test_tables_are_chosen_by_name_schema_and_columns(
    said: dict[str, Any], chosen: list[dict[str, Any]]
) -> None:
    found = choosing.choose(FOUND, choosing.wanted(said, "database"))

    assert [selection for _, selection in found] == chosen


def test_data_sources_are_called_like_their_tables() -> None:
    assert choosing.titles(FOUND) == ["x.a", "y.a", "b"]


def test_an_annotation_is_in_the_form_that_programs_read() -> None:
    row = {
        "datasource_type": "postgresql", "host": "it's", "port": "5432", "database_name": 'd"b',
        "schema_name": None, "table_name": "2 Big-Tables",
    }  # fmt: skip

    assert predicate_of("2 Big-Tables") == "p_2_big_tables"
    assert bind_annotation(row) == (
        r"""@bind("p_2_big_tables", "postgresql host='it\\'s', port=5432", "d\"b", "2 Big-Tables")."""
    )


def test_syncs_fail_together_only_once_all_are_over() -> None:
    states = {
        (): "completed",
        ("SUCCEEDED",): "completed",
        ("SUCCEEDED", "FAILED"): "failed",
        ("CANCELLED",): "failed",
        ("FAILED", "RUNNING"): "running",
    }

    for statuses, state in states.items():
        assert state_of([{"status": status} for status in statuses]) == state
