"""Mutations as clients write them: what they answer, what may be left out, and which field an error is about."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.datastructures import UploadFile

from base.ids import public_id
from models import ApiToken, Dataset, DataSource, Job, JobStatus, Membership, Project, Role
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker
from tests.services.places import Place, everything, put_upload
from tests.services.test_selections import selected


async def do(asker: Asker, mutation: str, asked: str, /, **values: Any) -> Any:
    """The payload of a mutation."""
    data = await asker.data(document(mutation, asked), input=values)
    return data[mutation]


async def refusal(asker: Asker, mutation: str, /, **values: Any) -> tuple[str, str | None]:
    """Code and field of a refusal, which changes nothing."""
    before = await everything()
    found = await asker.code(document(mutation, "__typename"), input=values)
    assert await everything() == before
    return found


def document(name: str, asked: str) -> str:
    kind = f"{name[0].upper()}{name[1:]}Input"
    return f"mutation ($input: {kind}!) {{ {name}(input: $input) {{ {asked} }} }}"


def postgres(**values: Any) -> dict[str, Any]:
    settings = {"engine": "POSTGRESQL", "host": "db.example.com", "database": "shop"}
    return {"database": settings | {"username": "ada"} | values}


async def test_a_team_is_made_and_filled(asker: Asker, place: Place) -> None:
    await factories.make_user("bob")

    made = await do(
        asker, "createTeam", "team { id name members { role user { username } } }", name=" New "
    )

    team = made["team"]
    own = {"role": "ADMIN", "user": {"username": place.viewer.username}}
    assert (team["name"], team["members"]) == ("New", [own])
    asked = "team { members { role user { username } } }"
    set_member = {"teamId": place.team_id, "username": "bob"}
    added = await do(asker, "setTeamMember", asked, **set_member, role="EXECUTE")
    assert added["team"]["members"] == [own, {"role": "EXECUTE", "user": {"username": "bob"}}]
    removed = await do(asker, "setTeamMember", asked, **set_member, role=None)
    assert removed["team"]["members"] == [own]


async def test_a_forgotten_role_removes_nobody(asker: Asker, place: Place) -> None:
    bob = await factories.make_user("bob")
    await factories.make_membership(bob, place.team, Role.READ)

    found = await refusal(asker, "setTeamMember", teamId=place.team_id, username="bob")

    assert found == ("INVALID_INPUT", "input.role")
    assert await Membership.filter(user=bob).count() == 1


async def test_a_token_is_made_shown_and_revoked(asker: Asker, place: Place) -> None:
    end = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="milliseconds")

    made = await do(
        asker,
        "createApiToken",
        "secret token { id name prefix role project { id } expiresAt lastUsedAt }",
        name="robot",
        role="WRITE",
        projectId=place.project_id,
        expiresAt=end,
    )

    token = made["token"]
    assert made["secret"].startswith(token["prefix"])
    assert token == {
        "id": token["id"],
        "name": "robot",
        "prefix": made["secret"][:9],
        "role": "WRITE",
        "project": {"id": place.project_id},
        "expiresAt": end.replace("+00:00", "Z"),
        "lastUsedAt": None,
    }
    assert await do(asker, "revokeApiToken", "id", id=token["id"]) == {"id": token["id"]}
    assert (await ApiToken.all())[0].revoked_at is not None


async def test_a_project_is_made_changed_deleted_and_brought_back(
    asker: Asker, place: Place
) -> None:
    asked = "project { id pk name description team { id } deletedAt datasets { nodes { name } } }"

    made = (await do(asker, "createProject", asked, name=" Rivers "))["project"]

    assert made == {
        "id": public_id("project", made["pk"]),
        "pk": made["pk"],
        "name": "Rivers",
        "description": None,
        "team": {"id": place.team_id},
        "deletedAt": None,
        "datasets": {"nodes": [{"name": "Default"}]},
    }
    change = {"id": made["id"], "name": "Lakes", "description": "wet"}
    changed = (await do(asker, "updateProject", asked, **change))["project"]
    assert changed == made | {"name": "Lakes", "description": "wet"}
    cleared = (await do(asker, "updateProject", asked, id=made["id"], description=None))["project"]
    assert cleared == made | {"name": "Lakes"}
    deleted = (await do(asker, "deleteProject", asked, id=made["id"]))["project"]
    assert deleted["deletedAt"] is not None
    assert deleted["datasets"]["nodes"] == []
    again = (await do(asker, "deleteProject", asked, id=made["id"]))["project"]
    assert again == deleted
    back = (await do(asker, "reinstateProject", asked, id=made["id"]))["project"]
    assert back == cleared


async def test_a_project_that_is_removed_for_good_is_shown_once_more(
    platform: Platform, place: Place
) -> None:
    user = await factories.make_user(is_staff=True)
    staff = Asker(platform, await factories.make_viewer(role=None, user=user))
    upload = await put_upload(platform, place.project)
    asked = "project { id name team { id } datasets { nodes { id } } }"

    gone = (await do(staff, "hardDeleteProject", asked, id=place.project_id))["project"]

    assert gone == {
        "id": place.project_id,
        "name": place.project.name,
        "team": {"id": place.team_id},
        "datasets": {"nodes": []},
    }
    assert await Project.all().count() == 0
    assert await platform.store.head(upload.object_key) is None
    assert await refusal(staff, "hardDeleteProject", id=place.project_id) == (
        "NOT_FOUND", "input.id",
    )  # fmt: skip


async def test_a_dataset_is_made_changed_and_deleted(asker: Asker, place: Place) -> None:
    asked = "dataset { id name description project { id } statusCounts { pending } }"

    made = await do(
        asker, "createDataset", asked, projectId=place.project_id, name="Rain", description="mm"
    )

    dataset = made["dataset"]
    assert dataset == {
        "id": dataset["id"],
        "name": "Rain",
        "description": "mm",
        "project": {"id": place.project_id},
        "statusCounts": {"pending": 0},
    }
    changed = await do(asker, "updateDataset", asked, id=dataset["id"], name="Snow")
    assert changed["dataset"] == dataset | {"name": "Snow"}
    assert await do(asker, "deleteDataset", "id", id=dataset["id"]) == {"id": dataset["id"]}
    assert await Dataset.filter(deleted_at=None).count() == 1


@pytest.mark.parametrize(
    ("name", "values"),
    [("updateProject", {"name": None}), ("updateProject", {"teamId": None})],
)
async def test_null_is_not_left_out(
    asker: Asker, place: Place, name: str, values: dict[str, Any]
) -> None:
    (key,) = values

    found = await refusal(asker, name, id=place.project_id, **values)

    assert found == ("INVALID_INPUT", f"input.{key}")


async def test_a_file_is_uploaded_connected_and_downloaded(
    platform: Platform, asker: Asker, place: Place
) -> None:
    file = UploadFile(io.BytesIO(b"a,b\n1,2\n"), filename="../rain.csv")

    stored = await do(
        asker,
        "uploadFile",
        "objectKey fileName sizeBytes sha256",
        projectId=place.project_id,
        file=file,
    )

    assert (stored["fileName"], stored["sizeBytes"], len(stored["sha256"])) == ("rain.csv", 8, 64)
    source = {
        "name": "rain",
        "connection": {"file": {"objectKey": stored["objectKey"], "delimiter": ","}},
        "metadata": {"unit": "mm"},
        "tables": [{"name": "rain", "mode": "FULL", "columns": ["a"]}],
    }
    asked = """dataSources { id name type status scope metadata connection { kind settings hasSecret }
      dataset { id } project { id } creator { username } } jobs { kind status dataSource { name } }"""
    made = await do(
        asker, "connectDataSources", asked, projectId=place.project_id, sources=[source]
    )
    (shown,) = made["dataSources"]
    assert shown == {
        "id": shown["id"],
        "name": "rain",
        "type": "FILE",
        "status": "SYNCING",
        "scope": "user",
        "metadata": {"unit": "mm"},
        "connection": {
            "kind": "csv",
            "settings": {
                "object_key": stored["objectKey"],
                "file_name": "rain.csv",
                "delimiter": ",",
            },
            "hasSecret": False,
        },
        "dataset": {"id": public_id("dataset", place.dataset.id)},
        "project": {"id": place.project_id},
        "creator": {"username": place.viewer.username},
    }
    assert made["jobs"] == [{"kind": "SYNC", "status": "QUEUED", "dataSource": {"name": "rain"}}]
    link = await do(asker, "presignDataSource", "url expiresAt", id=shown["id"], expiresIn=60)
    url = httpx.URL(link["url"])
    assert (url.host, url.path) == ("127.0.0.1", f"/files/{stored['objectKey']}")


@pytest.mark.parametrize("file", ["a.csv", {"name": "a.csv"}, 5, True])
async def test_a_file_that_is_none_is_refused(asker: Asker, place: Place, file: Any) -> None:
    found = await refusal(asker, "uploadFile", projectId=place.project_id, file=file)

    assert found == ("INVALID_INPUT", "input.file")


async def test_a_source_is_renamed_reconnected_and_its_tables_chosen(
    asker: Asker, place: Place
) -> None:
    connected = await do(
        asker,
        "connectDataSources",
        "dataSources { id } jobs { id }",
        datasetId=public_id("dataset", place.dataset.id),
        sources=[{"name": "shop", "connection": postgres(password="canary-of-mutations")}],
        sync=False,
        scope="lab",
    )
    source_id = connected["dataSources"][0]["id"]
    assert connected["jobs"] == []
    asked = "dataSource { name scope metadata connection { settings hasSecret } }"

    changed = await do(
        asker,
        "updateDataSource",
        asked,
        id=source_id,
        name="store",
        metadata={"a": 1},
        tables=[{"name": "orders", "schema": "public"}],
        connection=postgres(host="new.example.com", password="canary-again"),
    )

    shown = changed["dataSource"]
    assert (shown["name"], shown["scope"], shown["metadata"]) == ("store", "lab", {"a": 1})
    assert (shown["connection"]["settings"]["host"], shown["connection"]["hasSecret"]) == (
        "new.example.com", True,
    )  # fmt: skip
    (row,) = await DataSource.all()
    assert row.selections == [selected("orders", schema="public")]
    await do(asker, "updateDataSource", asked, id=source_id, tables=None)
    assert (await DataSource.get(id=row.id)).selections == []
    assert await refusal(asker, "updateDataSource", id=source_id, connection=postgres()) == (
        "INVALID_INPUT", "input.connection.database.password",
    )  # fmt: skip


async def test_an_error_names_the_input_that_is_to_blame(asker: Asker, place: Place) -> None:
    good = {"name": "a", "connection": postgres()}
    bad = {"name": "b", "connection": postgres(port=0)}

    found = await refusal(
        asker, "connectDataSources", projectId=place.project_id, sources=[good, bad]
    )

    assert found == ("INVALID_INPUT", "input.sources[1].connection.database.port")


@pytest.mark.parametrize(
    "connection",
    [{}, {"file": None}, {"file": {"objectKey": "x"}, **postgres()}, {"database": {}}, None],
    ids=["none", "null", "both", "no engine", "nothing"],
)
async def test_a_connection_is_exactly_one_thing(
    asker: Asker, place: Place, connection: Any
) -> None:
    before = await everything()

    answer = await asker.answer(
        document("testConnection", "ok"),
        input={"projectId": place.project_id, "connection": connection},
    )

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert error["extensions"]["field"].startswith("input.connection")
    assert await everything() == before


async def test_a_source_that_says_no_is_an_answer(asker: Asker, place: Place) -> None:
    tested = await do(
        asker,
        "testConnection",
        "ok message serverVersion latencyMs error { code message hint at }",
        projectId=place.project_id,
        connection=postgres(host="169.254.169.254"),
    )

    error = tested.pop("error")
    assert tested == {
        "ok": False,
        "message": error["message"],
        "serverVersion": None,
        "latencyMs": None,
    }
    assert error["code"] == "CONNECTION_FAILED"
    at = datetime.fromisoformat(error["at"])
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


async def test_a_file_can_be_tried_and_looked_into(
    platform: Platform, asker: Asker, place: Place
) -> None:
    upload = await put_upload(platform, place.project)
    connection = {"file": {"objectKey": upload.object_key}}

    tested = await do(
        asker,
        "testConnection",
        "ok error { code }",
        projectId=place.project_id,
        connection=connection,
    )

    assert tested == {"ok": True, "error": None}
    made = await do(
        asker,
        "connectDataSources",
        "dataSources { id tables { name } }",
        projectId=place.project_id,
        sources=[{"name": "rain", "connection": connection}],
        sync=None,
    )
    (source,) = made["dataSources"]
    assert source["tables"] == []
    looked = await do(
        asker,
        "introspectDataSource",
        "dataSource { tables { name columns { name } } }",
        id=source["id"],
    )
    (table,) = looked["dataSource"]["tables"]
    assert [column["name"] for column in table["columns"]] == ["a", "b"]


async def test_sources_are_synced_and_cleaned_up(asker: Asker, place: Place) -> None:
    sources = [await factories.make_source(place.project, place.dataset) for _ in range(2)]
    ids = [public_id("datasource", source.id) for source in sources]
    sync = {
        "dataSourceIds": ids,
        "options": {"batchSize": 5, "incremental": False},
        "idempotencyKey": "k",
    }

    queued = await do(asker, "syncDataSources", "jobs { id status dataSource { id } }", **sync)

    assert [job["dataSource"]["id"] for job in queued["jobs"]] == ids
    assert await do(asker, "syncDataSources", "jobs { id status dataSource { id } }", **sync) == (
        queued
    )
    how = {"batch_rows": 5, "incremental": False}
    assert [job.options for job in await Job.all()] == [how] * 2
    assert await refusal(asker, "syncDataSources", projectId=place.project_id, options={"batchSize": 0}) == (
        "INVALID_INPUT", "input.options.batchSize",
    )  # fmt: skip
    first = await do(
        asker,
        "cleanupDataSources",
        "deletedIds deletedCount",
        projectId=place.project_id,
        dataSourceIds=ids[:1],
    )
    assert first == {"deletedIds": ids[:1], "deletedCount": 1}
    rest = await do(
        asker,
        "cleanupDataSources",
        "deletedIds deletedCount",
        projectId=place.project_id,
        all=True,
    )
    assert rest == {"deletedIds": ids[1:], "deletedCount": 1}


async def test_a_job_is_cancelled_and_tried_again(asker: Asker, place: Place) -> None:
    source = await factories.make_source(place.project, place.dataset)
    job = await factories.make_job(source)
    job_id = public_id("job", job.id)

    cancelled = await do(asker, "cancelJob", "job { id status }", id=job_id)

    assert cancelled["job"] == {"id": job_id, "status": "CANCELLED"}
    assert await do(asker, "cancelJob", "job { id status }", id=job_id) == cancelled
    again = await do(asker, "retryJob", "job { id status dataSource { id } }", id=job_id)
    assert again["job"]["id"] != job_id
    assert again["job"]["status"] == "QUEUED"
    await Job.filter(id=job.id).update(status=JobStatus.SUCCEEDED)
    assert await refusal(asker, "retryJob", id=job_id) == ("CONFLICT", "input.id")


async def test_the_sync_of_a_source_that_is_gone_is_not_tried_again(
    asker: Asker, place: Place
) -> None:
    source = await factories.make_source(place.project, place.dataset)
    job = await factories.make_job(source, status=JobStatus.FAILED)
    await DataSource.filter(id=source.id).update(deleted_at=datetime.now(UTC))

    assert await refusal(asker, "retryJob", id=public_id("job", job.id)) == ("CONFLICT", "input.id")
    assert await Job.filter(status=JobStatus.QUEUED).count() == 0


async def test_mutations_of_one_request_run_in_their_order(asker: Asker, place: Place) -> None:
    query = f"""mutation {{
      a: updateProject(input: {{id: "{place.project_id}", name: "one"}}) {{ project {{ name }} }}
      b: updateProject(input: {{id: "{place.project_id}", name: "two"}}) {{ project {{ name }} }} }}"""

    data = await asker.data(query)

    assert data == {"a": {"project": {"name": "one"}}, "b": {"project": {"name": "two"}}}


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "\r\nX-Evil: 1", "\x1b[31mred", "'; DROP TABLE users; --"]
)
async def test_odd_names_come_back_as_they_are(asker: Asker, name: str) -> None:
    made = await do(asker, "createProject", "project { name }", name=f"x{name}x")

    assert made["project"]["name"] == f"x{name}x"
