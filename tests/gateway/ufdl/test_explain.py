"""What the gateway tells of the requests of this dialect, for moving to GraphQL."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.places import Place, one_server

pytestmark = one_server


def explained(server: Place, method: str, path: str, **asked: str) -> list[dict[str, Any]]:
    """The operations that a request would become."""
    answer = server.rest(None).get(
        "/gateway/explain", params={"method": method, "path": path, **asked}
    )
    operations: list[dict[str, Any]] = answer.json()["operations"]
    return operations


def test_a_filter_spec_is_shown_as_a_filter(server: Place) -> None:
    spec = (
        '{"expressions": [{"type": "exact", "field": "pk", "value": 7}], "include_inactive": true}'
    )

    (operation,) = explained(server, "POST", "/v1/projects/list", body=spec)

    assert operation["variables"] == {
        "filter": {"and": [{"pk": {"eq": 7}}], "deleted": None},
        "orderBy": [{"field": "PK", "direction": "ASC"}],
    }


def test_without_a_body_the_example_of_the_document_is_shown(server: Place) -> None:
    (operation,) = explained(server, "POST", "/v1/projects/list")

    assert operation["variables"]["orderBy"] == [{"field": "NAME", "direction": "DESC"}]


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("DELETE", "/v1/projects/1/hard", ["IsStaff", "DestroyProject", "HardDeleteProject"]),
        ("DELETE", "/v1/projects/1/reinstate", ["IsStaff", "ReinstateProject"]),
        ("PATCH", "/v1/teams/1/memberships", ["RetrieveMember"]),
        ("GET", "/v1/users/ada", ["RetrieveUserByName"]),
    ],
)
def test_requests_tell_their_operations(
    server: Place, method: str, path: str, names: list[str]
) -> None:
    assert [each["name"] for each in explained(server, method, path)] == names
