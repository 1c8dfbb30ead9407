"""From a file to its derived table: scripts brought, run by real children, and read as clients read anything else."""

from typing import Any

import pytest

from models import DataSource, JobLog
from services import scripts
from services.platform import Platform
from tests.graph.asking import Asker
from tests.graph.test_mutations import do
from tests.graph.working import children, work
from tests.services.places import Place, put_upload

__all__ = ["children"]
pytestmark = pytest.mark.usefixtures("children")

RAIN = b"place,mm\n  Ems ,3\nInn,\n Rur,7\n"
SCALE = """def run(df, context):
    print("scaling", len(df), "rows")
    df["mm"] = df["mm"] * context.parameters["by"]
    return df
"""
DROP = "df = df.dropna()\n"
COUNT = """def run_batches(batches):
    for batch in batches:
        batch["n"] = range(len(batch))
        yield batch
"""


async def connected(asker: Asker, platform: Platform, place: Place) -> str:
    """A synced file of rain; its public id."""
    stored = await put_upload(platform, place.project, "rain.csv", RAIN)
    source = {"name": "Rain", "connection": {"file": {"objectKey": stored.object_key}}}
    given = {"projectId": place.project_id, "sources": [source]}
    made = await do(asker, "connectDataSources", "dataSources { id }", **given)
    await work(platform)
    return str(made["dataSources"][0]["id"])


RESULT = """query ($id: ID!) { job(id: $id) { status reused error { message } inputSnapshot { number }
  steps { key status rowsIn rowsOut } logs { lines { message step } }
  snapshot { number isDerived derivedFrom { number } receipt { balanced }
    tables { name rowCount columns { name type } rows { rows } profile { column nulls } } } } }"""


async def test_steps_of_all_contracts_make_a_derived_table(
    asker: Asker, platform: Platform, place: Place
) -> None:
    await scripts.install_predefined(platform)
    source = await connected(asker, platform, place)
    for key, body in (("scale.py", SCALE), ("drop.py", DROP), ("count.py", COUNT)):
        await do(asker, "uploadScript", "script { id }", dataSourceId=source, key=key, body=body)
    steps: list[dict[str, Any]] = [
        {"key": "count.py", "execOrder": 9},
        {"key": "local:trim_whitespace"},
        {"key": "drop.py"},
        {"key": "scale.py", "execOrder": 1, "parameters": {"by": 10}},
    ]
    given = {"dataSourceId": source, "steps": steps}

    made = (await do(asker, "createJob", "job { id status }", **given))["job"]
    await work(platform)

    job = (await asker.data(RESULT, id=made["id"]))["job"]
    assert (made["status"], job["status"], job["error"]) == ("QUEUED", "SUCCEEDED", None)
    assert (job["reused"], job["inputSnapshot"]) == (False, {"number": 1})
    assert [list(step.values()) for step in job["steps"]] == [
        ["local:trim_whitespace", "SUCCEEDED", 3, 3],
        ["drop.py", "SUCCEEDED", 3, 2],
        ["scale.py", "SUCCEEDED", 2, 2],
        ["count.py", "SUCCEEDED", 2, 2],
    ]
    assert {"message": "scaling 2 rows", "step": "scale.py"} in job["logs"]["lines"]
    snapshot = job["snapshot"]
    assert (snapshot["number"], snapshot["isDerived"]) == (2, True)
    assert (snapshot["derivedFrom"], snapshot["receipt"]) == ({"number": 1}, {"balanced": True})
    (table,) = snapshot["tables"]
    assert [column["name"] for column in table["columns"]] == ["place", "mm", "n"]
    assert table["rows"]["rows"] == [["Ems", 30, 0], ["Rur", 70, 1]]
    assert [column["nulls"] for column in table["profile"]] == [0, 0, 0]

    again = (await do(asker, "createJob", "job { id status reused snapshot { number } }", **given))[
        "job"
    ]

    assert again == {
        "id": again["id"],
        "status": "SUCCEEDED",
        "reused": True,
        "snapshot": {"number": 2},
    }
    row = await DataSource.get()
    assert row.derived_snapshot_id is not None
    assert row.current_snapshot_id != row.derived_snapshot_id


async def test_a_failure_names_the_script_and_its_line_and_is_tried_again(
    asker: Asker, platform: Platform, place: Place
) -> None:
    source = await connected(asker, platform, place)
    body = "def run(df):\n    return df['nothing']\n"
    await do(asker, "uploadScript", "script { id }", dataSourceId=source, key="a/b.py", body=body)
    steps = [{"key": "a/b.py"}, {"key": "a/b.py"}]

    made = (await do(asker, "createJob", "job { id }", dataSourceId=source, steps=steps))["job"]
    await work(platform)

    job = (await asker.data(RESULT, id=made["id"]))["job"]
    assert (job["status"], job["snapshot"]) == ("FAILED", None)
    assert "nothing" in job["error"]["message"]
    assert "a/b.py, line 2" in job["error"]["message"]
    assert [step["status"] for step in job["steps"]] == ["FAILED", "CANCELLED"]
    assert not await JobLog.filter(message__contains=str(platform.settings.data_dir)).exists()
    again = (await do(asker, "retryJob", "job { id status steps { status } }", id=made["id"]))[
        "job"
    ]
    assert again["id"] != made["id"]
    assert [step["status"] for step in again["steps"]] == ["QUEUED", "QUEUED"]
