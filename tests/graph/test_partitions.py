"""Jobs in partitions as clients see them: what they say, what is refused, and that they see one job."""

from __future__ import annotations

from typing import Any

import pytest

from base.tables import TableSchema
from models import DataSource, Job, Snapshot
from services.platform import Platform
from storage.snapshots.manifest import Manifest, Part, StoredTable
from tests import factories
from tests.graph.asking import Asker
from tests.graph.test_mutations import do, refusal
from tests.graph.test_schedules import make
from tests.graph.test_scripts import id_of
from tests.services.places import Place
from tests.workers.scripting import stored_source, worked

PARTS = tuple(Part(f"p{number}", 200_000, 1, "") for number in range(4))
TABLES = Manifest((StoredTable(TableSchema("t", ()), PARTS),)).to_json()
MAP, REDUCE = {"key": "a.py", "partitioned": True}, {"key": "a.py", "execOrder": 1}


@pytest.fixture
async def source(place: Place) -> DataSource:
    """A source with a script, and a current snapshot of one table in parts."""
    source = await factories.make_source(place.project, place.dataset)
    snapshot = await factories.make_snapshot(source, manifest=TABLES)
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    await factories.make_script(source, "a.py")
    return await DataSource.get(id=source.id)


async def create(asker: Asker, source: DataSource, *steps: dict[str, Any], **given: Any) -> Any:
    made = await do(
        asker,
        "createJob",
        "job { id partitions }",
        dataSourceId=id_of(source),
        steps=steps,
        **given,
    )
    return made["job"]


async def test_a_job_says_in_how_many_partitions_it_runs(asker: Asker, source: DataSource) -> None:
    assert (await create(asker, source, MAP, REDUCE))["partitions"] == 4
    assert (await create(asker, source, MAP, partitions=2))["partitions"] == 2
    assert (await create(asker, source, MAP, partitions=1))["partitions"] is None
    assert (await create(asker, source, {**MAP, "partitioned": None}))["partitions"] is None


async def test_what_cannot_be_shared_out_is_refused_where_it_stands(
    asker: Asker, source: DataSource
) -> None:
    given = {"dataSourceId": id_of(source)}
    late = [{"key": "a.py"}, MAP]

    assert await refusal(asker, "createJob", **given, steps=late) == (
        "INVALID_INPUT",
        "input.steps[1].partitioned",
    )
    for steps, partitions in (([MAP], 65), ([MAP], 0), ([REDUCE], 2)):
        refused = await refusal(asker, "createJob", **given, steps=steps, partitions=partitions)
        assert refused == ("INVALID_INPUT", "input.partitions")


async def test_a_schedule_keeps_what_is_to_be_shared_out(asker: Asker, source: DataSource) -> None:
    made = await make(asker, source, work={"job": {"steps": [MAP, REDUCE], "partitions": 3}})

    asked = "{ work { job { partitions steps { key partitioned } } } }"
    query = f'{{ schedule(id: "{made["id"]}") {asked} }}'
    assert (await asker.data(query))["schedule"]["work"]["job"] == {
        "partitions": 3,
        "steps": [{"key": "a.py", "partitioned": True}, {"key": "a.py", "partitioned": False}],
    }


async def test_clients_see_one_job_with_the_sums_of_its_partitions(
    asker: Asker, platform: Platform, place: Place
) -> None:
    source = await stored_source(
        platform, part_rows=250, project=place.project, dataset=place.dataset
    )
    await factories.make_script(source, "a.py", "def run(df):\n    print(len(df))\n    return df\n")
    made = await create(asker, source, MAP, partitions=4)
    job = await Job.get()
    await worked(platform, job)

    asked = """partitions attempts progress { fraction rowsDone } steps { status rowsIn rowsOut }
      logs { lines { message step } }"""
    answer = await asker.data(
        f'{{ job(id: "{made["id"]}") {{ {asked} }} jobs {{ totalCount nodes {{ id }} }} }}'
    )

    found = answer["job"]
    assert answer["jobs"] == {"totalCount": 1, "nodes": [{"id": made["id"]}]}
    assert (found["partitions"], found["attempts"]) == (4, 1)
    assert found["progress"] == {"fraction": 1.0, "rowsDone": 1000}
    assert found["steps"] == [{"status": "SUCCEEDED", "rowsIn": 1000, "rowsOut": 1000}]
    told = [line["message"] for line in found["logs"]["lines"] if line["message"].endswith("] 250")]
    assert told == ["[1/4] 250", "[2/4] 250", "[3/4] 250", "[4/4] 250"]
    assert await Snapshot.filter(is_derived=True).count() == 1
    assert await Job.all().count() == 5
