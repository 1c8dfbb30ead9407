"""Schedules as clients write and read them."""

from __future__ import annotations

from typing import Any

import pytest

from base.ids import public_id
from models import DataSource, JobKind, Role, Schedule
from services import schedules
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker
from tests.graph.test_mutations import do, refusal
from tests.services.places import Place

ASKED = """schedule { id name kind cron timeZone isEnabled nextRunAt lastRunAt lastJob { id }
  lastError { code message } creator { username } dataSource { id } project { id }
  work { sync { incremental batchSize } job { table schema reuse steps { key execOrder parameters } } } }"""


@pytest.fixture
async def source(place: Place) -> DataSource:
    return await factories.make_source(place.project, place.dataset)


def id_of(source: DataSource) -> str:
    return public_id("datasource", source.id)


async def make(asker: Asker, source: DataSource, **values: Any) -> Any:
    """What `createSchedule` shows of an hourly sync."""
    given = {"name": "Hourly", "cron": "0 * * * *", "work": {"sync": {}}}
    made = await do(asker, "createSchedule", ASKED, dataSourceId=id_of(source), **given | values)
    return made["schedule"]


async def test_a_schedule_is_made_shown_changed_and_deleted(
    asker: Asker, place: Place, source: DataSource
) -> None:
    made = await make(asker, source, work={"sync": {"incremental": False, "batchSize": 5}})

    assert made == {
        "id": made["id"],
        "name": "Hourly",
        "kind": "SYNC",
        "cron": "0 * * * *",
        "timeZone": "UTC",
        "isEnabled": True,
        "nextRunAt": made["nextRunAt"],
        "lastRunAt": None,
        "lastJob": None,
        "lastError": None,
        "creator": {"username": place.viewer.username},
        "dataSource": {"id": id_of(source)},
        "project": {"id": place.project_id},
        "work": {"sync": {"incremental": False, "batchSize": 5}, "job": None},
    }
    assert made["nextRunAt"].endswith(":00:00.000Z")
    changed = await do(
        asker, "updateSchedule", ASKED, id=made["id"], name="Daily", cron="0 0 * * *",
        timeZone="Asia/Kolkata", isEnabled=True,
    )  # fmt: skip
    assert changed["schedule"]["nextRunAt"].endswith("T18:30:00.000Z")
    same = {"name": "Daily", "cron": "0 0 * * *", "timeZone": "Asia/Kolkata"}
    assert {name: changed["schedule"][name] for name in same} == same
    paused = await do(asker, "updateSchedule", ASKED, id=made["id"], isEnabled=False)
    assert (paused["schedule"]["isEnabled"], paused["schedule"]["nextRunAt"]) == (False, None)
    assert await do(asker, "deleteSchedule", "id", id=made["id"]) == {"id": made["id"]}
    assert (await asker.data(f'{{ schedule(id: "{made["id"]}") {{ id }} }}'))["schedule"] is None


async def test_scripts_are_scheduled_with_the_defaults_of_a_job(
    asker: Asker, source: DataSource
) -> None:
    steps = [{"key": "a.py", "parameters": {"x": None}}, {"key": "local:b", "execOrder": -1}]

    made = await make(asker, source, work={"job": {"steps": steps, "table": "t"}})

    assert made["kind"] == "SCRIPT"
    assert made["work"] == {
        "sync": None,
        "job": {
            "table": "t",
            "schema": None,
            "reuse": True,
            "steps": [
                {"key": "a.py", "execOrder": 0, "parameters": {"x": None}},
                {"key": "local:b", "execOrder": -1, "parameters": {}},
            ],
        },
    }
    changed = await do(asker, "updateSchedule", ASKED, id=made["id"], work={"sync": {}})
    assert changed["schedule"]["kind"] == "SYNC"
    assert changed["schedule"]["work"] == {
        "sync": {"incremental": True, "batchSize": None},
        "job": None,
    }


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"cron": "61 * * * *"}, "input.cron"),
        ({"timeZone": "Europe/Bonn"}, "input.timeZone"),
        ({"name": ""}, "input.name"),
        ({"work": {"sync": {"batchSize": 0}}}, "input.work.sync.batchSize"),
        ({"work": {"job": {"steps": []}}}, "input.work.job.steps"),
        ({"work": {"job": {"steps": [{"key": ""}]}}}, "input.work.job.steps[0].key"),
        ({"work": {}}, "input.work"),
        ({"work": {"sync": {}, "job": {"steps": [{"key": "a.py"}]}}}, "input.work"),
        ({"work": {"sync": None}}, "input.work"),
    ],
)
async def test_what_is_wrong_is_named(
    asker: Asker, source: DataSource, values: dict[str, Any], field: str
) -> None:
    given = {"name": "Hourly", "cron": "0 * * * *", "work": {"sync": {}}}

    found = await refusal(asker, "createSchedule", dataSourceId=id_of(source), **given | values)

    assert found == ("INVALID_INPUT", field)


async def test_what_became_of_the_last_tick_is_shown(
    asker: Asker, place: Place, source: DataSource
) -> None:
    made = await make(asker, source)
    broken = await make(asker, source, work={"job": {"steps": [{"key": "a.py"}]}})
    await Schedule.all().update(next_run_ms=0)
    await schedules.tick()
    query = """query ($id: ID!) { schedules(projectId: $id) { totalCount nodes { id lastRunAt
      lastJob { kind creator { username } dataSource { id } } lastError { code message hint at } } } }"""

    shown = (await asker.data(query, id=place.project_id))["schedules"]

    assert shown["totalCount"] == 2
    first, second = shown["nodes"]
    assert (first["id"], second["id"]) == (made["id"], broken["id"])
    assert first["lastJob"] == {
        "kind": "SYNC",
        "creator": {"username": place.viewer.username},
        "dataSource": {"id": id_of(source)},
    }
    assert first["lastRunAt"] is not None
    assert first["lastError"] is None
    assert (second["lastJob"], second["lastRunAt"]) == (None, None)
    assert second["lastError"] == {
        "code": "CONFLICT",
        "message": f"{source.name!r} has no snapshot yet.",
        "hint": "Sync it with `syncDataSources` first.",
        "at": second["lastError"]["at"],
    }


async def test_schedules_are_listed_page_by_page(platform: Platform, place: Place) -> None:
    sources = [await factories.make_source(place.project) for _ in range(2)]
    made = [await factories.make_schedule(sources[number % 2]) for number in range(5)]
    await factories.make_schedule()
    ids = [public_id("schedule", each.id) for each in made]
    asker = Asker(platform, await place.member(Role.READ))
    page = "totalCount nodes { id } pageInfo { hasNextPage endCursor }"
    query = f"query ($after: String) {{ schedules(first: 3, after: $after) {{ {page} }} }}"

    first = (await asker.data(query))["schedules"]
    second = (await asker.data(query, after=first["pageInfo"]["endCursor"]))["schedules"]
    below = await asker.data(
        "query ($id: ID!) { dataSource(id: $id) { schedules { nodes { id } } project { schedules { totalCount } } } }",
        id=id_of(sources[0]),
    )

    assert [node["id"] for node in first["nodes"] + second["nodes"]] == ids
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (5, True)
    assert second["pageInfo"]["hasNextPage"] is False
    assert below["dataSource"] == {
        "schedules": {"nodes": [{"id": ids[0]}, {"id": ids[2]}, {"id": ids[4]}]},
        "project": {"schedules": {"totalCount": 5}},
    }


async def test_every_kind_that_there_is_can_be_shown(platform: Platform, place: Place) -> None:
    source = await factories.make_source(place.project)
    steps = [{"key": "a", "exec_order": 1, "parameters": {}}]
    options = {"table": None, "schema": "s", "reuse": False, "steps": steps}
    await factories.make_schedule(source, kind=JobKind.SCRIPT, options=options)

    shown = await Asker(platform, place.viewer).data(
        "{ schedules { nodes { kind work { job { schema reuse steps { key } } } } } }"
    )

    assert shown["schedules"]["nodes"] == [
        {
            "kind": "SCRIPT",
            "work": {"job": {"schema": "s", "reuse": False, "steps": [{"key": "a"}]}},
        }
    ]
