"""A data source of several tables, which this API does not know, is its first one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import httpx

from tests.gateway.places import Place, one_server
from tests.gateway.schema_cms.clients import SOURCES, finished

pytestmark = one_server


def test_a_database_is_shown_and_worked_on_by_its_first_table(
    alice: httpx.Client, server: Place, tmp_path: Path
) -> None:
    path = tmp_path / "two.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            "create table a (n integer, s text); insert into a values (1, 'x'), (1, 'x'), (2, 'y');"
            "create table b (z text); insert into b values ('q');"
        )
    project, graphql = server.project(), server.graphql()
    key = graphql.upload(project["id"], path)["objectKey"]
    database_input = {"engine": "SQLITE", "objectKey": key}
    made = graphql.data(
        "mutation ($input: ConnectDataSourcesInput!) { connectDataSources(input: $input)"
        " { dataSources { pk } } }",
        input={
            "projectId": project["id"],
            "sources": [{"name": "Two", "connection": {"database": database_input}}],
        },
    )
    pk = made["connectDataSources"]["dataSources"][0]["pk"]

    processed = alice.post(f"{SOURCES}/{pk}/process").json()
    item = alice.get(f"{SOURCES}/{pk}").json()
    job = finished(alice, pk, [{"key": "local:drop_duplicates"}])

    assert processed["data"] == [{"n": 1, "s": "x"}, {"n": 1, "s": "x"}, {"n": 2, "s": "y"}]
    assert (item["type"], item["status"], item["file"]) == ("database", "done", None)
    assert (item["meta_data"]["items"], item["meta_data"]["fields_names"]) == (3, ["n", "s"])
    shown = alice.get(f"/api/v1/jobs/{job['pk']}/preview").json()
    assert shown["data"] == [{"n": 1, "s": "x"}, {"n": 2, "s": "y"}]
