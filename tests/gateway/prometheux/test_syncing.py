"""Syncs that are waited for, what they read, and data sources that are removed."""

from __future__ import annotations

from tests.gateway.places import one_server
from tests.gateway.prometheux.conftest import Data, Database

# What is proved here is the same over both databases, on which the conversations and the examples run.
pytestmark = one_server
CUSTOMERS = {
    "name": "customers", "mode": "MERGE", "cursor_column": "changed", "lookback_seconds": 0,
}  # fmt: skip


def test_a_sync_reads_what_is_new_unless_told_otherwise(data: Data, own_database: Database) -> None:
    body = own_database.body(tables=[CUSTOMERS, "orders"])
    sources = data.post("connect", {"database": body, "computeRowCount": True})["data"]["sources"]
    customers = [row["id"] for row in sources if row["name"] == "customers"]
    own_database.run("INSERT INTO customers VALUES (4, 'Di', 4)")

    new = data.post(
        "sync",
        {"source_ids": customers, "sync_options": {"incremental": True, "batch_size": 1000}},
    )
    whole = data.post("sync", {"source_ids": customers, "sync_options": {"incremental": False}})
    every = data.post("sync", {"source_ids": None})

    assert new["data"]["state"] == "completed"
    assert new["data"]["records_processed"] == 2  # the last one that was known, and the new one
    assert new["message"] == "Synchronized 2 records of 1 data source"
    assert whole["data"]["records_processed"] == 4
    assert len(every["data"]["job_ids"]) == 2
    assert every["data"]["job_id"] == every["data"]["job_ids"][0]
    rows = {row["name"]: row["row_count"] for row in data.get("list")["data"]}
    assert rows == {"customers": 4, "orders": 2}


def test_a_sync_that_fails_says_which_and_why(data: Data, own_database: Database) -> None:
    body = own_database.body(ignoreTables=["notes"])
    data.post("connect", {"database": body, "computeRowCount": True})
    own_database.run("DROP TABLE orders")

    answer = data.post("sync", {})

    assert (answer["status"], answer["data"]["state"]) == ("error", "failed")
    assert answer["data"]["records_processed"] == 3
    assert answer["message"].startswith("1 of 2 data sources failed to sync. orders: ")
    states = {each["name"]: each["state"] for each in answer["data"]["sources"]}
    assert states == {"customers": "completed", "orders": "failed"}
    failed = [row for row in data.get("list")["data"] if row["name"] == "orders"]
    assert failed[0]["status"] == "failed"
    assert failed[0]["error_message"]


def test_a_schema_is_looked_up_before_the_first_sync(data: Data, database: Database) -> None:
    late = {"type": "database", "name": "late", "connection_config": database.config}
    answer = data.post("connect", {"sources": [late]})
    id_ = answer["data"]["sources"][0]["id"]

    found = data.get("schema", source_id=id_, scope="user")["data"]

    tables = {
        table["name"]: [(column["name"], column["type"]) for column in table["columns"]]
        for table in found["tables"]
    }
    assert tables["customers"] == [("id", "integer"), ("name", "text"), ("changed", "integer")]
    assert set(tables) == {"customers", "orders", "notes"}


def test_data_sources_are_removed_by_id_by_scope_or_all(data: Data, database: Database) -> None:
    for scope, tables in (("organization", ["orders"]), ("user", ["customers", "orders"])):
        data.post("connect", {"scope": scope, "database": database.body(tables=tables)})
    rows = data.get("list")["data"]
    of_user = [row["id"] for row in rows if row["scope"] == "user"]

    unknown = data.post("cleanup", {"source_ids": [of_user[0], "datasource-none"]}, 404)
    none = data.post("cleanup", {"source_ids": []})
    untouched = len(data.names)
    one = data.post("cleanup", {"source_ids": of_user[:1]})
    rest = data.post("cleanup", {"source_ids": None})
    left = data.get("list")["data"]
    others = data.post("cleanup", {"scope": "organization"})

    assert unknown == {"data": None, "message": "Data source not found", "status": "error"}
    assert (none["data"]["deleted_count"], untouched) == (0, 3)
    assert (one["data"]["deleted_count"], rest["data"]["deleted_count"]) == (1, 1)
    assert {row["scope"] for row in left} == {"organization"}
    assert others["message"] == "Removed 1 data source"
    assert data.names == []
