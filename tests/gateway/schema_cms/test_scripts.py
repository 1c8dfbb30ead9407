"""Scripts run as their contract says: each on the global `df`, one after the other."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import pandas as pd

from tests.gateway.places import Place, one_server
from tests.gateway.schema_cms.clients import SOURCES, brought, connected, draft, finished
from tests.gateway.schema_cms.conftest import SCORES

pytestmark = one_server

FIRST = """
df['name'] = df['name'].str.upper()
df['level'] = np.ceil(df['score'].fillna(0))
df['gross'] = df['price'].apply(lambda price: price * 1.19)
df['root'] = np.sqrt(df['price'])
df['mean'] = df['price'].mean()
df['year'] = df['day'].str[:4]
df['size'] = np.where(df['team'] > 7, 'large', 'small')
"""
SECOND = "df = df[df['level'] > 1].head(10)\ndf = df.sort_values('id', ascending=False)\n"


def test_steps_run_in_their_order_and_give_what_pandas_gives(
    alice: httpx.Client, scores: int
) -> None:
    assert brought(alice, scores, "first.py", FIRST).status_code == httpx.codes.CREATED
    assert brought(alice, scores, "second.py", SECOND).status_code == httpx.codes.CREATED
    space: dict[str, Any] = {"df": pd.read_csv(io.StringIO(SCORES)), "pd": pd, "np": np}
    exec(FIRST, space)
    exec(SECOND, space)
    wanted = io.StringIO(space["df"].drop_duplicates().to_csv(index=False))

    job = finished(
        alice,
        scores,
        [
            {"key": "s3:scripts/second.py", "exec_order": 2},
            {"key": "local:drop_duplicates", "exec_order": 3},
            {"key": "s3:scripts/first.py", "exec_order": "1"},
        ],
    )

    assert (job["job_state"], job["error"]) == ("success", "")
    assert [step["exec_order"] for step in job["steps"]] == [1, 2, 3]
    result = io.StringIO(alice.get(job["result"], follow_redirects=True).text)
    pd.testing.assert_frame_equal(pd.read_csv(result), pd.read_csv(wanted))
    shown = alice.get(f"/api/v1/job/{job['pk']}/preview").json()
    assert [row["name"] for row in shown["data"]] == ["EVE", "BOB", "ANN"]


def test_a_script_that_raises_fails_its_job_in_its_own_words(
    alice: httpx.Client, scores: int
) -> None:
    brought(alice, scores, "wrong.py", "df = df.drop(columns='nowhere')")

    job = finished(alice, scores, [{"key": "s3:scripts/wrong.py"}])

    assert (job["job_state"], job["result"]) == ("failed", None)
    assert "nowhere" in job["error"]
    assert "wrong.py" in job["error"]
    for path in ("preview", "result"):
        assert alice.get(f"/api/v1/jobs/{job['pk']}/{path}").status_code == httpx.codes.NOT_FOUND


def test_a_script_that_cannot_run_is_refused(alice: httpx.Client, server: Place) -> None:
    pk = draft(alice, server.project())

    syntax = brought(alice, pk, "a.py", "df = = 1")
    contract = brought(alice, pk, "a.py", "x = 1")
    kind = brought(alice, pk, "a.txt", "df = df")
    empty = brought(alice, pk, "a.py", "")
    missing = alice.post(f"{SOURCES}/{pk}/script-upload", data={"name": "a.py"})
    text = alice.post(f"{SOURCES}/{pk}/script-upload", json={"script": "df = df"})

    replies = [syntax, contract, kind, empty, missing, text]
    assert {reply.status_code for reply in replies} == {400}
    said = [reply.json()["script"][0] for reply in replies]
    assert said[0] == "Line 1: invalid syntax. It says: df = = 1"
    assert said[1].startswith("The script defines no function `run` and does not use `df`.")
    assert said[2:] == [
        "File extension 'txt' is not allowed. Allowed extensions are: 'py'.",
        "The submitted file is empty.",
        "No file was submitted.",
        "The submitted data was not a file. Check the encoding type on the form.",
    ]
    keys = [each["key"] for each in alice.get(f"{SOURCES}/{pk}/script").json()]
    assert all(key.startswith("local:") for key in keys)


def test_every_key_has_one_colon_and_leads_back_to_its_script(
    alice: httpx.Client, scores: int
) -> None:
    script = {"script": ("a.py", b"df = df")}
    alice.post(f"{SOURCES}/{scores}/script-upload", data={"name": "a:b/50%3A.py"}, files=script)

    scripts = alice.get(f"{SOURCES}/{scores}/script").json()

    assert all(each["key"].count(":") == 1 for each in scripts)
    (own,) = [each["key"] for each in scripts if "50" in each["key"]]
    job = finished(alice, scores, [{"key": own}])
    assert job["job_state"] == "success"
    assert job["steps"] == [{"key": own, "exec_order": 0}]


def test_predefined_scripts_take_parameters(alice: httpx.Client, scores: int) -> None:
    step = {"key": "local:sort_rows", "parameters": {"columns": ["score"], "descending": True}}

    job = finished(alice, scores, [step])

    shown = alice.get(f"/api/v1/jobs/{job['pk']}/preview").json()
    assert [row["id"] for row in shown["data"]] == [5, 2, 2, 1, 4]


def test_wrong_steps_are_told_where_they_stand(alice: httpx.Client, scores: int) -> None:

    def errors(steps: object) -> object:
        response = alice.post(f"{SOURCES}/{scores}/job", json={"steps": steps})
        assert response.status_code == httpx.codes.BAD_REQUEST
        return response.json()["steps"]

    assert errors([{"key": "local:drop_duplicates"}, {"key": "local:nothing"}]) == [
        {},
        {"key": ["The data source has no script 'local:nothing'."]},
    ]
    assert errors([{"key": "ftp:a.py"}]) == [
        {"key": ["There is no script with the key 'ftp:a.py'."]}
    ]
    assert errors([{"exec_order": "x"}]) == [
        {"key": ["This field is required."], "exec_order": ["A valid integer is required."]}
    ]
    assert errors([{"key": "local:drop_duplicates"}] * 100) == [
        "Ensure this field has no more than 99 elements."
    ]
    assert errors("all") == {"non_field_errors": ['Expected a list of items but got type "str".']}
    assert errors([7]) == [
        {"non_field_errors": ["Invalid data. Expected a dictionary, but got int."]}
    ]
    assert errors(None) == ["This field may not be null."]


def test_a_sync_is_no_job_of_this_api(alice: httpx.Client, server: Place) -> None:
    project = server.project()
    connected(alice, project)
    jobs = server.graphql().data(
        "query ($id: ID!) { project(id: $id) { jobs { nodes { pk kind } } } }", id=project["id"]
    )["project"]["jobs"]["nodes"]

    assert [job["kind"] for job in jobs] == ["SYNC"]
    for suffix in ("", "/preview", "/result"):
        reply = alice.get(f"/api/v1/job/{jobs[0]['pk']}{suffix}")
        assert (reply.status_code, reply.json()) == (404, {"detail": "Not found."})
