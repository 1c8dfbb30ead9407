"""What is said of states and users, without a server."""

from __future__ import annotations

import pytest

from gateway.dialect import Data
from gateway.schema_cms import replies, scripts


@pytest.mark.parametrize(
    ("status", "job", "said"),
    [
        ("DRAFT", None, "draft"),
        ("PENDING", None, "ready_for_processing"),
        ("SYNCING", "QUEUED", "ready_for_processing"),
        ("SYNCING", "RUNNING", "processing"),
        ("SYNCING", None, "processing"),
        ("SYNCED", "SUCCEEDED", "done"),
        ("FAILED", "FAILED", "error"),
    ],
)
def test_a_data_source_is_as_far_as_its_sync(status: str, job: str | None, said: str) -> None:
    nodes = [] if job is None else [{"status": job}]
    source: Data = {"status": status, "jobs": {"nodes": nodes}}

    assert replies.status_of(source) == said


def test_a_user_has_one_uuid_for_ever() -> None:
    assert replies.user_uuid("user-kR3UVw8hZB") == "14126080-7a7b-5494-b9dd-7e0f63bae4f2"


def test_times_have_no_colon_in_their_zone() -> None:
    assert replies.time_of("2019-11-04T13:28:56.123Z") == "2019-11-04T13:28:56+0000"


@pytest.mark.parametrize("key", ["a.py", "local:trim", "a:b%3A%.py", "clean/é x.py", "%253A"])
def test_a_key_leads_back_to_its_script(key: str) -> None:
    spelled = scripts.own_key(key)

    assert spelled.count(":") == 1
    assert scripts.graphql_key(spelled) == key
