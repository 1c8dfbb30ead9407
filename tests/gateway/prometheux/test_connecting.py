"""Data sources as clients connect them: by the document's body, and by the one that published clients send."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.places import Place, one_server
from tests.gateway.prometheux.conftest import USER, Data, Database
from tests.http_server import ROWS, HttpServer

# What is proved here is the same over both databases, on which the conversations and the examples run.
pytestmark = one_server
CSV = b"id,city\n1,Oslo\n2,Bergen\n"


def source(name: str, config: dict[str, Any], type_: str = "database") -> dict[str, Any]:
    return {"type": type_, "name": name, "connection_config": config}


def test_a_database_becomes_a_data_source_a_table(data: Data, database: Database) -> None:
    answer = data.post("connect", {"database": database.body(), "computeRowCount": True})

    found = answer["data"]
    assert answer["message"] == "Database connection successful"
    assert (found["connectionStatus"], found["errorMessage"]) == (True, None)
    assert [(each["name"], each["type"], each["row_count"]) for each in found["sources"]] == [
        ("customers", "table", 3),
        ("notes", "table", 0),
        ("orders", "table", 2),
    ]
    assert found["connected_sources"] == found["sources"]


def test_a_row_of_the_list_has_what_clients_read_and_no_credential(
    data: Data, database: Database
) -> None:
    password = "canary" if database.kind == "postgresql" else None  # which here takes any
    body = database.body(password=password, selectedTables=["orders"], url=None)

    connected = data.post("connect", {"database": body})
    (row,) = data.get("list", scope="user")["data"]

    table = f"{row['schema_name']}.orders" if row["schema_name"] else "orders"
    where = f"host='{database.host}', port={database.port}"
    kind = {"postgresql": "postgresql", "mariadb": "mysql"}[database.kind]
    assert row["id"] == row["datasource_id"] == connected["data"]["sources"][0]["id"]
    assert (row["name"], row["type"], row["datasource_type"]) == ("orders", "database", kind)
    assert (row["table_name"], row["host"], row["port"]) == (
        "orders", database.host, str(database.port),
    )  # fmt: skip
    assert row["database_name"] == database.name
    assert (
        row["bind_annotation"]
        == f'@bind("orders", "{kind} {where}", "{database.name}", "{table}").'
    )
    assert row["predicate_placeholder"] == "orders"
    assert "canary" not in str(connected)
    assert data.get("list", scope="organization")["data"] == []


def test_tables_and_columns_are_chosen(data: Data, database: Database) -> None:
    some = database.body(ignoreTables=["notes"], ignoreColumns=["customers.name", "total"])

    data.post("connect", {"database": some, "computeRowCount": True})

    columns = {}
    for row in data.get("list")["data"]:
        (table,) = data.get("schema", source_id=row["id"])["data"]["tables"]
        columns[table["name"]] = [column["name"] for column in table["columns"]]
    assert columns == {"customers": ["id", "changed"], "orders": ["id"]}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"selectedTables": ["gone"]}, 'There is no table "gone" in the source.'),
        ({"selectedColumns": ["gone"]}, 'There is no column "gone"'),
        ({"ignoreColumns": ["id", "body"]}, 'No column of the table "'),
        ({"query": "SELECT 1"}, "Headwater reads tables and views"),
        ({"databaseType": "snowflake"}, "It has: csv, doc, docx, json,"),
        ({"databaseType": None, "port": None}, "`database.databaseType` is missing."),
        ({"port": "many"}, "`database.port` has to be of type integer."),
        ({"tables": [7]}, "`database.tables` holds names of tables"),
        ({"options": {"colour": 1}}, "This is not an option of a "),
    ],
)
def test_what_makes_no_sense_is_refused_and_connects_nothing(
    data: Data, database: Database, asked: dict[str, Any], says: str
) -> None:
    answer = data.post("connect", {"database": database.body(**asked)}, 400)

    assert (answer["data"], answer["status"]) == (None, "error")
    assert says in answer["message"]
    assert data.names == []


def test_a_database_that_does_not_answer_is_an_answer(data: Data, database: Database) -> None:
    wrong = database.config | {"database": "there_is_none"}

    by_table = data.post("connect", {"database": database.body(databaseName="there_is_none")})
    by_source = data.post(
        "connect", {"sources": [source("good", database.config), source("bad", wrong)]}
    )
    tested = data.post(
        "test-connection", {"source_config": {"type": "database", "connection_config": wrong}}
    )

    for answer in (by_table, by_source):
        assert answer["status"] == "error"
        assert answer["data"]["connectionStatus"] is False
        assert answer["data"]["sources"] == answer["data"]["connected_sources"] == []
        assert "there_is_none" in answer["data"]["errorMessage"]
    assert by_source["message"].startswith("Connection failed. bad: ")
    assert (tested["status"], tested["data"]["connectionStatus"]) == ("error", False)
    assert data.names == []


def test_sources_are_one_data_source_each(data: Data, database: Database, api: HttpServer) -> None:
    sources = [
        source("shop", database.config) | {"metadata": {"description": "all of it"}},
        source("items", {"base_url": f"{api.url}/all/prometheux", "api_key": "k-canary"}, "api"),
    ]

    answer = data.post("connect", {"scope": "organization", "sources": sources})
    shop, items = answer["data"]["connected_sources"]
    synced = data.post("sync", {"source_ids": [shop["id"], items["id"]]})

    assert answer["message"] == "Connected 2 data sources."
    assert (shop["type"], shop["metadata"], shop["scope"]) == (
        "database", {"description": "all of it"}, "organization",
    )  # fmt: skip
    assert (items["type"], items["datasource_type"]) == ("api", "api")
    assert items["host"] == f"{api.url}/all/prometheux"
    assert (synced["data"]["state"], synced["data"]["records_processed"]) == ("completed", 5 + ROWS)
    tables = data.get("schema", source_id=shop["id"])["data"]["tables"]
    assert [table["name"] for table in tables] == ["customers", "notes", "orders"]
    assert "canary" not in str([answer, data.get("list")])
    assert api.seen("prometheux")[-1]["headers"]["x-api-key"] == "k-canary"


def test_a_file_is_connected_by_the_path_of_its_upload(data: Data, server: Place) -> None:
    stored = data.rest.post(
        f"/api/v1/data/{data.workspace}/files/upload",
        files={"file": ("cities.csv", CSV)},
        data={"path": "maps"},
    ).json()["data"]
    folder, _, name = stored["filePath"].rpartition("/")
    file = {"databaseType": "csv", "host": folder, "port": 0, "databaseName": name}

    answer = data.post("connect", {"database": file, "computeRowCount": True})
    by_path = data.post(
        "connect",
        {"sources": [source("again", {"file_path": stored["filePath"]}, "file")]},
    )
    elsewhere = Data(data.rest, server.project(USER)["id"]).post("connect", {"database": file}, 404)
    rows = data.post(
        "preview", {"bind_annotation": answer["data"]["sources"][0]["bind_annotation"]}
    )

    assert (stored["fileName"], stored["filePath"].startswith("disk/")) == ("cities.csv", True)
    (row,) = answer["data"]["sources"]
    assert (row["name"], row["datasource_type"], row["row_count"]) == ("cities", "csv", 2)
    assert (row["host"], row["port"], row["database_name"]) == (folder, None, "cities.csv")
    assert row["bind_annotation"] == f'@bind("cities", "csv", "{folder}", "cities.csv").'
    assert by_path["data"]["connectionStatus"] is True
    assert "upload" in elsewhere["message"]
    assert rows["data"]["columns"] == ["id", "city"]
    assert rows["data"]["rows"] == [[1, "Oslo"], [2, "Bergen"]]


def test_a_connecting_call_is_repeated_with_its_key(data: Data, database: Database) -> None:
    body = {"database": database.body(selectedTables=["orders"])}

    first, again = (data.post("connect", body, key="one") for _ in range(2))
    other = data.post("connect", {"database": database.body()}, 409, key="one")

    assert first["data"]["sources"][0]["id"] == again["data"]["sources"][0]["id"]
    assert other["status"] == "error"
    assert data.names == ["orders"]


def test_who_has_no_project_gets_one_by_connecting(server: Place, database: Database) -> None:
    server.enrol("prometheux-new")
    for workspace in ("workspace_id/", ""):
        fresh = Data(server.rest("prometheux-new"), f"{workspace}").rest
        path = f"/jarvispy/org/user/api/v1/data/{workspace}"

        before = fresh.get(f"{path}list").json()
        done = fresh.post(
            f"{path}connect", json={"database": database.body(selectedTables=["notes"])}
        ).json()
        after = fresh.get(f"{path}list").json()

        assert done["status"] == "success"
        assert len(after["data"]) == len(before["data"]) + 1
    (workspace,) = fresh.get("/api/v1/workspaces/list").json()["data"]
    assert workspace["name"] == "Default"


def test_tables_of_a_database_are_told_before_it_is_connected(
    data: Data, database: Database
) -> None:
    found = data.post("infer-schema", {"database": database.body(ignoreTables=["notes"])})

    assert [table["name"] for table in found["data"]["tables"]] == ["customers", "orders"]
    assert "Vadalog" in found["message"]
    assert data.names == []
