"""Scripts and script jobs as clients see them: what is answered, and what is read for it."""

import hashlib
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.datastructures import UploadFile

from base.ids import public_id
from base.tables import TableSchema
from graph import context
from graph.scripts import texts
from models import DataSource, Job, JobStatus, JobStep, Role, Script, Snapshot
from models.database import Database
from services.platform import Platform
from storage.snapshots.manifest import Manifest, StoredTable
from tests import factories
from tests.graph.asking import Asker, statements
from tests.graph.test_mutations import do, refusal
from tests.services.places import Place, make_place

SAME = "def run(df):\n    return df\n"
TABLES = Manifest((StoredTable(TableSchema("t", ()), ()),)).to_json()


@pytest.fixture
async def source(place: Place) -> DataSource:
    """A source with a current snapshot of one table."""
    source = await factories.make_source(place.project, place.dataset)
    snapshot = await factories.make_snapshot(source, manifest=TABLES)
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    return await DataSource.get(id=source.id)


def id_of(row: Any) -> str:
    return public_id(
        {DataSource: "datasource", Job: "job", Script: "script", Snapshot: "snapshot"}[type(row)],
        row.id,
    )


async def test_a_script_is_brought_shown_replaced_and_deleted(
    asker: Asker, place: Place, source: DataSource
) -> None:
    asked = """script { id pk key body sha256 contract createdAt updatedAt
      dataSource { id } creator { username } }"""
    given = {"dataSourceId": id_of(source), "key": "clean/trim.py"}

    made = (await do(asker, "uploadScript", asked, **given, body=SAME))["script"]

    assert made == {
        "id": public_id("script", made["pk"]),
        "pk": made["pk"],
        "key": "clean/trim.py",
        "body": SAME,
        "sha256": hashlib.sha256(SAME.encode()).hexdigest(),
        "contract": "DATAFRAME",
        "createdAt": made["createdAt"],
        "updatedAt": made["createdAt"],
        "dataSource": {"id": id_of(source)},
        "creator": {"username": place.viewer.username},
    }
    changed = (await do(asker, "uploadScript", asked, **given, body="df = df"))["script"]
    assert (changed["id"], changed["body"], changed["contract"]) == (
        made["id"],
        "df = df",
        "GLOBAL",
    )
    query = "query ($id: ID!) { script(id: $id) { key } node(id: $id) { ... on Script { body } } }"
    shown = await asker.data(query, id=made["id"])
    assert shown == {"script": {"key": "clean/trim.py"}, "node": {"body": "df = df"}}
    assert await do(asker, "deleteScript", "id", id=made["id"]) == {"id": made["id"]}
    assert await asker.data(query, id=made["id"]) == {"script": None, "node": None}
    assert await refusal(asker, "deleteScript", id=made["id"]) == ("NOT_FOUND", "input.id")


async def test_a_script_is_brought_as_a_file(asker: Asker, source: DataSource) -> None:
    file = UploadFile(io.BytesIO(SAME.encode()), filename="ignored.txt")

    made = await do(
        asker,
        "uploadScript",
        "script { key body }",
        dataSourceId=id_of(source),
        key="a.py",
        file=file,
    )

    assert made["script"] == {"key": "a.py", "body": SAME}


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"body": "def run(df:\n"}, "INVALID_INPUT", "input.body"),
        ({"body": "x" * (1024**2 + 1)}, "PAYLOAD_TOO_LARGE", "input.body"),
        ({}, "INVALID_INPUT", "input"),
        ({"file": "text"}, "INVALID_INPUT", "input.file"),
        ({"body": SAME, "key": "../a.py"}, "INVALID_INPUT", "input.key"),
        ({"body": SAME, "key": "local:a"}, "INVALID_INPUT", "input.key"),
        ({"body": SAME, "dataSourceId": "datasource-x"}, "NOT_FOUND", "input.dataSourceId"),
    ],
)
async def test_what_is_no_script_is_refused(
    asker: Asker, source: DataSource, given: dict[str, Any], code: str, field: str
) -> None:
    shape = {"dataSourceId": id_of(source), "key": "a.py"}

    assert await refusal(asker, "uploadScript", **shape | given) == (code, field)


async def test_the_scripts_of_sources_are_listed_by_key(
    asker: Asker, place: Place, source: DataSource
) -> None:
    other = await factories.make_source(place.project, place.dataset)
    for key in ("b.py", "a/z.py", "a.py"):
        await factories.make_script(source, key)
    await factories.make_predefined("local:same")
    query = "{ dataSources { nodes { id scripts { key body dataSource { id } } } } }"

    shown = (await asker.data(query))["dataSources"]["nodes"]

    own = {"id": id_of(source)}
    keys = ["a.py", "a/z.py", "b.py"]
    assert shown == [
        {"id": own["id"], "scripts": [{"key": k, "body": SAME, "dataSource": own} for k in keys]},
        {"id": id_of(other), "scripts": []},
    ]


async def test_predefined_scripts_are_there_for_everybody(platform: Platform) -> None:
    for key in ("local:some", "local:same"):
        await factories.make_predefined(key)
    stranger = await factories.make_viewer(role=None)
    query = "{ predefinedScripts { id key body dataSource { id } creator { id } } }"

    shown = (await Asker(platform, stranger).data(query))["predefinedScripts"]

    assert [each["key"] for each in shown] == ["local:same", "local:some"]
    assert shown[0] | {"id": None, "key": None} == {
        "id": None,
        "key": None,
        "body": SAME,
        "dataSource": None,
        "creator": None,
    }
    query = "query ($id: ID!) { script(id: $id) { key } }"
    found = await Asker(platform, stranger).data(query, id=shown[1]["id"])
    assert found == {"script": {"key": "local:some"}}
    admin = Asker(platform, (await make_place()).viewer)
    assert await refusal(admin, "deleteScript", id=shown[0]["id"]) == ("FORBIDDEN", "input.id")


JOB = """job { id kind status reused attempts dataSource { id } inputSnapshot { number } snapshot { id }
  progress { fraction rowsDone } steps { key execOrder status body sha256 parameters script { key } } }"""


async def test_a_job_is_made_and_shows_what_it_will_run(asker: Asker, source: DataSource) -> None:
    await factories.make_script(source, "a.py")
    await factories.make_predefined("local:same", "df = df")
    steps = [
        {"key": "a.py", "execOrder": 2, "parameters": {"n": [1, None, "x"]}},
        {"key": "local:same"},
    ]

    made = (await do(asker, "createJob", JOB, dataSourceId=id_of(source), steps=steps))["job"]

    assert made == {
        "id": made["id"],
        "kind": "SCRIPT",
        "status": "QUEUED",
        "reused": False,
        "attempts": 0,
        "dataSource": {"id": id_of(source)},
        "inputSnapshot": {"number": 1},
        "snapshot": None,
        "progress": {"fraction": None, "rowsDone": 0},
        "steps": [
            {
                "key": "local:same",
                "execOrder": 0,
                "status": "QUEUED",
                "body": "df = df",
                "sha256": hashlib.sha256(b"df = df").hexdigest(),
                "parameters": {},
                "script": {"key": "local:same"},
            },
            {
                "key": "a.py",
                "execOrder": 2,
                "status": "QUEUED",
                "body": SAME,
                "sha256": hashlib.sha256(SAME.encode()).hexdigest(),
                "parameters": {"n": [1, None, "x"]},
                "script": {"key": "a.py"},
            },
        ],
    }
    kinds = "{ jobs(filter: {kind: [SCRIPT], status: [QUEUED]}) { nodes { id } totalCount } }"
    assert await asker.data(kinds) == {"jobs": {"nodes": [{"id": made["id"]}], "totalCount": 1}}


async def test_nulls_are_the_defaults(asker: Asker, source: DataSource) -> None:
    await factories.make_script(source, "a.py")
    nulls = dict.fromkeys(("table", "schema", "snapshotId", "reuse", "idempotencyKey"))
    steps = [{"key": "a.py", "execOrder": None, "parameters": None}]

    await do(asker, "createJob", "job { id }", dataSourceId=id_of(source), steps=steps, **nulls)

    job = await Job.get()
    assert job.options == {"table": [None, "t"], "reuse": True}
    assert (await JobStep.get()).exec_order == 0


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"steps": []}, "INVALID_INPUT", "input.steps"),
        ({"steps": [{"key": "b.py"}]}, "NOT_FOUND", "input.steps[0].key"),
        ({"table": "u"}, "INVALID_INPUT", "input.table"),
        ({"snapshotId": "snapshot-x"}, "NOT_FOUND", "input.snapshotId"),
        (
            {"steps": [{"key": "a.py", "parameters": "text"}]},
            "INVALID_INPUT",
            "input.steps[0].parameters",
        ),
    ],
)
async def test_what_cannot_run_is_refused(
    asker: Asker, source: DataSource, given: dict[str, Any], code: str, field: str
) -> None:
    await factories.make_script(source, "a.py")
    shape = {"dataSourceId": id_of(source), "steps": [{"key": "a.py"}]}

    assert await refusal(asker, "createJob", **shape | given) == (code, field)


async def test_numbers_past_64_bits_are_refused_in_parameters(
    asker: Asker, source: DataSource
) -> None:
    await factories.make_script(source, "a.py")
    query = f"""mutation {{ createJob(input: {{dataSourceId: "{id_of(source)}", idempotencyKey: "k",
      steps: [{{key: "a.py", parameters: {{n: {2**70}}}}}]}}) {{ job {{ id }} }} }}"""

    assert await asker.code(query) == ("INVALID_INPUT", "input.steps[0].parameters")


async def test_a_reused_job_shows_the_earlier_result(asker: Asker, source: DataSource) -> None:
    await factories.make_script(source, "a.py")
    given = {"dataSourceId": id_of(source), "steps": [{"key": "a.py"}]}
    await do(asker, "createJob", "job { id }", **given)
    first = await Job.get()
    derived = await factories.make_snapshot(
        source, job=first, is_derived=True, base_id=source.current_snapshot_id, manifest=TABLES
    )
    await Job.filter(id=first.id).update(status=JobStatus.SUCCEEDED, snapshot_id=derived.id)

    again = (await do(asker, "createJob", JOB, **given))["job"]

    assert again["id"] != id_of(first)
    assert (again["status"], again["reused"], again["attempts"]) == ("SUCCEEDED", True, 0)
    assert again["snapshot"] == {"id": id_of(derived)}
    assert again["progress"]["fraction"] == 1.0
    assert [step["status"] for step in again["steps"]] == ["SUCCEEDED"]


async def test_a_derived_snapshot_tells_what_it_was_made_of(
    asker: Asker, place: Place, source: DataSource
) -> None:
    job = await factories.make_script_job(source)
    derived = await factories.make_snapshot(
        source, job=job, is_derived=True, base_id=source.current_snapshot_id, manifest=TABLES
    )
    await DataSource.filter(id=source.id).update(derived_snapshot_id=derived.id)
    query = """{ dataSources { nodes { snapshot { number isDerived derivedFrom { number } }
      derivedSnapshot { number isDerived derivedFrom { number isDerived } job { kind } tables { name } }
      snapshots { nodes { number isDerived derivedFrom { number } } } } } }"""

    (shown,) = (await asker.data(query))["dataSources"]["nodes"]

    current = {"number": 1, "isDerived": False, "derivedFrom": None}
    assert shown == {
        "snapshot": current,
        "derivedSnapshot": {
            "number": 2,
            "isDerived": True,
            "derivedFrom": {"number": 1, "isDerived": False},
            "job": {"kind": "SCRIPT"},
            "tables": [{"name": "t"}],
        },
        "snapshots": {
            "nodes": [{"number": 2, "isDerived": True, "derivedFrom": {"number": 1}}, current]
        },
    }
    await Snapshot.all().update(removed_at=datetime.now(UTC))
    (gone,) = (await asker.data(query))["dataSources"]["nodes"]
    assert (gone["derivedSnapshot"], gone["snapshot"]) == (None, None)


async def test_partitions_are_in_no_list(asker: Asker, place: Place, source: DataSource) -> None:
    whole = await factories.make_script_job(source)
    part = await factories.make_script_job(source, parent=whole)
    query = """query ($id: ID!) { job(id: $id) { id } node(id: $id) { id } jobs { totalCount nodes { id } }
      dataSources { nodes { jobs { totalCount nodes { id } } } }
      projects { nodes { jobs { totalCount nodes { id } } } } }"""

    shown = await asker.data(query, id=id_of(part))

    one = {"totalCount": 1, "nodes": [{"id": id_of(whole)}]}
    assert shown == {
        "job": None,
        "node": None,
        "jobs": one,
        "dataSources": {"nodes": [{"jobs": one}]},
        "projects": {"nodes": [{"jobs": one}]},
    }


async def test_a_step_of_a_sync_has_no_script(asker: Asker, source: DataSource) -> None:
    job = await factories.make_job(source)
    await JobStep.create(job=job, key="t", exec_order=0, position=0)
    query = "{ jobs { nodes { reused inputSnapshot { id } steps { script { id } body sha256 parameters } } } }"

    (shown,) = (await asker.data(query))["jobs"]["nodes"]

    none: dict[str, Any] = {"script": None, "body": None, "sha256": None, "parameters": {}}
    assert shown == {"reused": False, "inputSnapshot": None, "steps": [none]}


async def test_a_text_is_read_only_where_it_is_selected(
    asker: Asker, source: DataSource, database: Database
) -> None:
    for number in range(3):
        await factories.make_script(source, f"{number}.py")
    await factories.make_script_job(source)
    queries = [
        "{ dataSources { nodes { scripts { key sha256 } } } }",
        "{ jobs { nodes { steps { key sha256 parameters } } } }",
    ]

    for query in queries:
        async with statements(database) as sent:
            await asker.data(query)
        assert len(sent) == 2
        assert not any('"body"' in statement.partition(" FROM ")[0] for statement in sent)
    async with statements(database) as sent:
        await asker.data("{ dataSources { nodes { scripts { key body } } } }")
    assert len(sent) == 3


async def test_an_operation_reads_so_much_text_and_no_more(
    asker: Asker, source: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "TEXT_BYTES_MAX", 2 * texts.TEXTS_AT_ONCE * len(SAME))
    for number in range(2 * texts.TEXTS_AT_ONCE):
        await factories.make_script(source, f"{number}.py")
    query = "{ dataSources { nodes { scripts { body } } } }"

    (node,) = (await asker.data(query))["dataSources"]["nodes"]

    assert node["scripts"] == [{"body": SAME}] * 2 * texts.TEXTS_AT_ONCE
    twice = "{ dataSources { nodes { scripts { body } again: scripts { body } } } }"
    assert (await asker.code(twice))[0] == "QUERY_TOO_COMPLEX"


async def test_roles_that_may_run_but_not_write(platform: Platform, place: Place) -> None:
    source = await factories.make_source(place.project, place.dataset)
    snapshot = await factories.make_snapshot(source, manifest=TABLES)
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    script = await factories.make_script(source, "a.py")
    executor = Asker(platform, await place.member(Role.EXECUTE))
    given = {"dataSourceId": id_of(source)}

    made = await do(executor, "createJob", "job { status }", **given, steps=[{"key": "a.py"}])

    assert made == {"job": {"status": "QUEUED"}}
    body = given | {"key": "a.py", "body": SAME}
    assert await refusal(executor, "uploadScript", **body) == ("FORBIDDEN", "input.dataSourceId")
    assert await refusal(executor, "deleteScript", id=id_of(script)) == ("FORBIDDEN", "input.id")
