"""Data sources as clients connect, change and sync them, and what they are told of it."""

from typing import Any

from models import DataSource, Upload
from models.database import Database
from services.platform import Platform
from tests.graph.asking import Asker, statements
from tests.graph.test_mutations import do, document, postgres, refusal
from tests.services.places import Place, everything, put_upload
from tests.services.test_selections import selected


async def test_tables_are_chosen_with_their_ways_to_sync(asker: Asker, place: Place) -> None:
    how = {
        "mode": "MERGE", "cursorColumn": "at", "primaryKey": ["a"],
        "detectDeletes": True, "lookbackSeconds": 5,
    }  # fmt: skip
    source = {"name": "s", "connection": postgres(), "tables": [{"name": "t"} | how]}

    await do(
        asker, "connectDataSources", "jobs { id }",
        projectId=place.project_id, sources=[source], sync=False,
    )  # fmt: skip

    (row,) = await DataSource.all()
    assert row.selections == [
        selected(
            "t", mode="merge", cursor_column="at", primary_key=["a"],
            detect_deletes=True, lookback_seconds=5,
        )
    ]  # fmt: skip


async def test_the_tables_that_were_chosen_are_told(asker: Asker, place: Place) -> None:
    asked = (
        "selectedTables { name schema mode columns cursorColumn primaryKey detectDeletes"
        " lookbackSeconds }"
    )
    how = {
        "name": "t", "schema": "s", "mode": "MERGE", "columns": ["a", "at"], "cursorColumn": "at",
        "primaryKey": ["a"], "detectDeletes": True, "lookbackSeconds": 5,
    }  # fmt: skip
    plain = dict.fromkeys(how) | {"name": "u", "mode": "FULL", "detectDeletes": False}
    chosen: list[dict[str, Any]] = [{"tables": [how, {"name": "u"}]}, {}]

    done = await do(
        asker, "connectDataSources", f"dataSources {{ {asked} }}", projectId=place.project_id,
        sources=[{"name": "s", "connection": postgres()} | each for each in chosen], sync=False,
    )  # fmt: skip

    assert [each["selectedTables"] for each in done["dataSources"]] == [[how, plain], None]


async def test_how_a_source_is_dealt_with_is_told_and_changed(asker: Asker, place: Place) -> None:
    asked = "driftPolicy quarantineRowsMax snapshotsKept snapshotsKeptDays heldSnapshot { id }"
    source = {"name": "s", "connection": postgres()}
    usual = {
        "driftPolicy": "EVOLVE", "quarantineRowsMax": 1000,
        "snapshotsKept": None, "snapshotsKeptDays": None, "heldSnapshot": None,
    }  # fmt: skip
    own = {
        "driftPolicy": "HOLD", "quarantineRowsMax": 0, "snapshotsKept": 1, "snapshotsKeptDays": 0
    }  # fmt: skip
    told = [source, source | own, source | dict.fromkeys(own)]

    done = await do(
        asker, "connectDataSources", f"dataSources {{ id {asked} }}",
        projectId=place.project_id, sources=told, sync=False,
    )  # fmt: skip

    ids = [each.pop("id") for each in done["dataSources"]]
    assert done["dataSources"] == [usual, usual | own, usual]

    async def changed(**values: Any) -> Any:
        payload = await do(
            asker, "updateDataSource", f"dataSource {{ {asked} }}", id=ids[1], **values
        )
        return payload["dataSource"]

    assert await changed(name="new") == usual | own
    assert await changed(driftPolicy="FAIL", snapshotsKept=7) == (
        usual | own | {"driftPolicy": "FAIL", "snapshotsKept": 7}
    )
    assert await changed(**dict.fromkeys(own)) == usual
    for wrong in (
        {"quarantineRowsMax": -1},
        {"quarantineRowsMax": 100_001},
        {"snapshotsKept": 0},
        {"snapshotsKeptDays": -1},
    ):
        field = f"input.{next(iter(wrong))}"
        assert await refusal(asker, "updateDataSource", id=ids[0], **wrong) == (
            "INVALID_INPUT", field,
        )  # fmt: skip


async def test_credentials_of_an_api_are_dropped_where_null_is_said(
    asker: Asker, place: Place
) -> None:
    api = {"baseUrl": "https://api.example.com"}
    kept = {"auth": {"bearer": "canary-bearer"}, "headers": {"X-Tenant": "canary-tenant"}}
    done = await do(
        asker, "connectDataSources", "dataSources { id }",
        projectId=place.project_id, sources=[{"name": "s", "connection": {"api": api | kept}}], sync=False,
    )  # fmt: skip
    source_id = done["dataSources"][0]["id"]
    shown = "dataSource { connection { hasSecret settings } }"

    for left_out in (api, api | {"auth": None}, api | {"headers": None}):
        assert await refusal(
            asker, "updateDataSource", id=source_id, connection={"api": left_out}
        ) == ("INVALID_INPUT", "input.connection.api.auth")
    assert (await DataSource.get()).secrets is not None
    payload = await do(
        asker, "updateDataSource", shown, id=source_id, sync=False,
        connection={"api": api | dict.fromkeys(kept)},
    )  # fmt: skip

    connection = payload["dataSource"]["connection"]
    assert connection["hasSecret"] is False
    assert (connection["settings"]["auth"], connection["settings"]["headers"]) == (None, [])


async def test_a_source_whose_file_comes_later_is_a_draft(asker: Asker, place: Place) -> None:
    asked = """dataSources { id type status connection { kind hasSecret } tables { name } snapshot { id }
      jobs { nodes { id } } dataset { statusCounts { draft pending } } } jobs { id }"""

    done = await do(
        asker, "connectDataSources", asked, projectId=place.project_id,
        sources=[{"name": "later", "connection": {"file": {}}}],
    )  # fmt: skip

    (draft,) = done["dataSources"]
    assert draft == {
        "id": draft["id"],
        "type": "FILE",
        "status": "DRAFT",
        "connection": {"kind": "file", "hasSecret": False},
        "tables": [],
        "snapshot": None,
        "jobs": {"nodes": []},
        "dataset": {"statusCounts": {"draft": 1, "pending": 0}},
    }
    assert done["jobs"] == []
    assert await refusal(asker, "syncDataSources", dataSourceIds=[draft["id"]]) == (
        "CONFLICT", "input.dataSourceIds[0]",
    )  # fmt: skip


async def test_a_name_may_have_to_be_the_only_one(asker: Asker, place: Place) -> None:
    ask = {"projectId": place.project_id, "uniqueNames": True}
    source = {"name": "rain", "connection": {"file": {}}}

    async def connected(*names: str, **values: Any) -> list[str]:
        told = ask | values | {"sources": [source | {"name": name} for name in names]}
        done = await do(asker, "connectDataSources", "dataSources { id }", **told)
        return [each["id"] for each in done["dataSources"]]

    await connected("rain")
    (snow,) = await connected("snow", uniqueNames=None)

    assert await refusal(asker, "connectDataSources", **ask, sources=[source]) == (
        "CONFLICT", "input.sources[0].name",
    )  # fmt: skip
    assert await refusal(asker, "updateDataSource", id=snow, name="rain", uniqueName=True) == (
        "CONFLICT", "input.name",
    )  # fmt: skip
    await do(asker, "updateDataSource", "dataSource { id }", id=snow, name="rain")


async def test_a_test_shows_what_there_is_to_connect(
    platform: Platform, asker: Asker, place: Place
) -> None:
    upload = await put_upload(platform, place.project, "rain.csv", b"id,mm\n1,0.5\n2,1.5\n")
    told = {
        "projectId": place.project_id,
        "connection": {"file": {"objectKey": upload.object_key}},
    }
    asked = """ok tables { name schema rowCount sizeBytes primaryKey quarantinedRows profile { column }
      columns { name type } }"""
    before = await everything()

    tested = await do(asker, "testConnection", asked, **told)

    assert tested["ok"] is True
    (table,) = tested["tables"]
    assert table.pop("columns") == [
        {"name": "id", "type": "INTEGER"}, {"name": "mm", "type": "DECIMAL"},
    ]  # fmt: skip
    assert table == {
        "name": "rain",
        "schema": None,
        "rowCount": 2,
        "sizeBytes": None,
        "primaryKey": [],
        "quarantinedRows": None,
        "profile": [],
    }
    rows = document("testConnection", "tables { rows { rows } }")
    assert await asker.code(rows, input=told) == ("CONFLICT", None)
    assert await everything() == before


async def test_a_source_tells_name_and_size_of_its_stored_file(
    platform: Platform, asker: Asker, place: Place, database: Database
) -> None:
    query = "{ dataSources { nodes { fileName fileBytes } } }"

    async def shown() -> tuple[list[tuple[str | None, int | None]], int]:
        async with statements(database) as sent:
            nodes = (await asker.data(query))["dataSources"]["nodes"]
        return [(node["fileName"], node["fileBytes"]) for node in nodes], len(sent)

    async def connected(*connections: dict[str, Any]) -> None:
        told = [{"name": "s", "connection": connection} for connection in connections]
        await do(
            asker, "connectDataSources", "jobs { id }",
            projectId=place.project_id, sources=told, sync=False,
        )  # fmt: skip

    async def file(name: str, size: int) -> dict[str, Any]:
        upload = await put_upload(platform, place.project, name, b"x" * size)
        return {"objectKey": upload.object_key}

    shop = {"database": {"engine": "SQLITE", **await file("shop.db", 20)}}
    url = {"file": {"url": "https://data.example.com/rain.csv"}}
    await connected({"file": await file("rain.csv", 10)}, {"file": {}}, url, postgres(), shop)

    found, count = await shown()

    assert found == [("rain.csv", 10), (None, None), (None, None), (None, None), ("shop.db", 20)]
    await connected(*[{"file": await file(f"{index}.csv", index)} for index in range(1, 5)])
    await Upload.filter(file_name="4.csv").delete()
    assert await shown() == (
        [*found, ("1.csv", 1), ("2.csv", 2), ("3.csv", 3), ("4.csv", None)], count,
    )  # fmt: skip


async def test_sources_are_found_by_their_connectors(asker: Asker, place: Place) -> None:
    connections: list[dict[str, Any]] = [
        postgres(), {"api": {"baseUrl": "https://api.example.com"}}, {"file": {}},
    ]  # fmt: skip
    sources = [{"name": "s", "connection": connection} for connection in connections]
    await do(
        asker, "connectDataSources", "jobs { id }",
        projectId=place.project_id, sources=sources, sync=False,
    )  # fmt: skip
    query = """query ($kind: [String!]) {
      dataSources(filter: {kind: $kind}) { nodes { connection { kind } } } }"""

    async def found(*kinds: str) -> list[str]:
        nodes = (await asker.data(query, kind=kinds))["dataSources"]["nodes"]
        return [node["connection"]["kind"] for node in nodes]

    assert await found("postgresql", "file", "csv", "Rest") == ["postgresql", "file"]
    assert await found() == []
    assert await asker.code(query, kind=["csv", "\x00"]) == ("INVALID_INPUT", "filter.kind")
    assert await asker.code(query, kind=["csv"] * 201) == ("INVALID_INPUT", "filter.kind")
