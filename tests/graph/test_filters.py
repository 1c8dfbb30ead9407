"""Filters: each part narrows the list, ids of the wrong kind match nothing, and texts are data."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.ids import public_id
from models import DataSourceStatus, DataSourceType, JobKind, JobStatus, Project
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker

AT = datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)
FILTERED = "query ($filter: {0}Filter) {{ {1}(filter: $filter) {{ nodes {{ pk }} totalCount }} }}"


async def filtered(asker: Asker, name: str, /, **by: Any) -> list[int]:
    query = FILTERED.format(name[0].upper() + name[1:-1], name)
    page = (await asker.data(query, filter=by))[name]
    assert page["totalCount"] == len(page["nodes"])
    return [node["pk"] for node in page["nodes"]]


async def test_filters_of_projects(platform: Platform) -> None:
    user = await factories.make_user(is_staff=True)
    one = await factories.make_project(name="Alpha")
    two = await factories.make_project(name="beta")
    gone = await factories.make_project(name="alpha", deleted_at=AT)
    await Project.filter(id=one.id).update(created_at=AT)
    asker = Asker(platform, await factories.make_viewer(role=None, user=user))

    async def found(**by: Any) -> list[int]:
        return await filtered(asker, "projects", **by)

    assert await found() == [one.id, two.id]
    assert await found(deleted=True) == [gone.id]
    assert await found(teamId=public_id("team", two.team_id)) == [two.id]  # type: ignore[attr-defined]
    assert await found(teamId=public_id("project", two.id)) == []
    assert await found(teamId="nonsense") == []
    assert await found(name={"eq": "Alpha"}) == [one.id]
    assert await found(name={"contains": "ALP"}) == [one.id]
    assert await found(name={"in": ["beta", "Alpha"], "contains": "t"}) == [two.id]
    assert await found(name={"in": []}) == []
    assert await found(createdBefore=(AT + timedelta(seconds=1)).isoformat()) == [one.id]
    assert await found(createdAfter=AT.isoformat()) == [two.id]


async def test_filters_of_datasets_sources_and_jobs(platform: Platform) -> None:
    user = await factories.make_user(is_staff=True)
    one = await factories.make_source(name="one", scope="mine", status=DataSourceStatus.SYNCED)
    two = await factories.make_source(name="two", type=DataSourceType.DATABASE)
    sync = await factories.make_job(one, status=JobStatus.SUCCEEDED)
    cleanup = await factories.make_job(two, kind=JobKind.CLEANUP)
    asker = Asker(platform, await factories.make_viewer(role=None, user=user))
    dataset = await two.dataset
    dataset.description = "About Birds"
    await dataset.save()
    project, own = public_id("project", two.project_id), public_id("dataset", dataset.id)  # type: ignore[attr-defined]

    assert await filtered(asker, "datasets", projectId=project) == [dataset.id]
    assert await filtered(asker, "datasets", search="birds") == [dataset.id]
    assert await filtered(asker, "datasets", search=dataset.name) == [dataset.id]
    assert await filtered(asker, "dataSources", projectId=project) == [two.id]
    assert await filtered(asker, "dataSources", datasetId=own) == [two.id]
    assert await filtered(asker, "dataSources", id=[public_id("datasource", two.id)]) == [two.id]
    assert await filtered(asker, "dataSources", id=[str(one.id), own, "nonsense"]) == [one.id]
    assert await filtered(asker, "dataSources", id=[]) == []
    assert await filtered(asker, "dataSources", type=["FILE"]) == [one.id]
    assert await filtered(asker, "dataSources", type=[]) == []
    assert await filtered(asker, "dataSources", status=["SYNCED", "FAILED"]) == [one.id]
    assert await filtered(asker, "dataSources", name={"eq": "two"}) == [two.id]
    assert await filtered(asker, "dataSources", scope="mine") == [one.id]
    assert await filtered(asker, "jobs", projectId=project) == [cleanup.id]
    assert await filtered(asker, "jobs", dataSourceId=public_id("datasource", one.id)) == [sync.id]
    assert await filtered(asker, "jobs", kind=["CLEANUP"]) == [cleanup.id]
    assert await filtered(asker, "jobs", status=["SUCCEEDED"]) == [sync.id]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": {"contains": "a\x00b"}}, "filter.name.contains"),
        ({"name": {"eq": "\x00"}}, "filter.name.eq"),
        ({"name": {"in": ["\x00"]}}, "filter.name.in"),
        ({"name": {"in": ["x"] * 201}}, "filter.name.in"),
    ],
)
async def test_filters_that_no_database_can_answer_are_refused(
    platform: Platform, given: Any, field: str
) -> None:
    asker = Asker(platform, await factories.make_viewer())
    query = FILTERED.format("Project", "projects")

    assert await asker.code(query, filter=given) == ("INVALID_INPUT", field)


async def test_so_many_ids_are_too_many(platform: Platform) -> None:
    asker = Asker(platform, await factories.make_viewer())
    query = FILTERED.format("DataSource", "dataSources")

    assert await asker.code(query, filter={"id": ["1"] * 201}) == ("INVALID_INPUT", "filter.id")
