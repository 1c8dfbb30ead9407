"""Subscriptions to jobs: what they tell, to whom, and that nothing is missed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from base.errors import Internal
from base.ids import public_id
from graph.http import GraphQLEndpoint
from graph.schema import schema
from models import ApiToken, Job, JobStatus, Membership, Role
from server.auth import ContextFactory
from services import authentication, jobs, leases, progress
from services.leases import Progress
from services.platform import Platform
from tests import factories
from tests.graph.asking import ENGINE, Asker
from tests.graph.live import JOB, PROJECT, live, make_person, nothing, running
from tests.sockets import SocketClient, signed_in


async def told(client: SocketClient, name: str = "1") -> tuple[str, int]:
    """Status and rows of the next event."""
    (job,) = (await client.next(name)).values()
    return job["status"], job["progress"]["rowsDone"]


async def test_a_job_is_told_as_it_is_then_with_each_change_until_it_is_over(
    platform: Platform,
) -> None:
    person = await make_person()
    job_id, lease = await running(person.project)
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("1", JOB, id=job_id)

        assert await told(client) == ("RUNNING", 0)
        await leases.report(lease, Progress(10, 100))
        assert await told(client) == ("RUNNING", 10)
        await leases.finish(lease, nothing)
        assert await told(client) == ("SUCCEEDED", 10)
        assert await client.of("1") == {"type": "complete", "id": "1"}


async def test_a_job_that_is_over_is_told_once(platform: Platform) -> None:
    person = await make_person()
    job_id, lease = await running(person.project)
    await leases.fail(lease, Internal("No luck."))
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("1", JOB, id=job_id)

        assert await told(client) == ("FAILED", 0)
        assert await client.of("1") == {"type": "complete", "id": "1"}


async def test_who_comes_back_is_told_what_happened_meanwhile(platform: Platform) -> None:
    person = await make_person()
    job_id, lease = await running(person.project)
    async with live(platform) as here:
        async with signed_in(here.url, person.secret) as client:
            await client.subscribe("1", JOB, id=job_id)
            assert await told(client) == ("RUNNING", 0)
        await leases.report(lease, Progress(10, 100))
        await leases.finish(lease, nothing)

        async with signed_in(here.url, person.secret) as client:
            await client.subscribe("1", JOB, id=job_id)

            assert await told(client) == ("SUCCEEDED", 10)
            assert await client.of("1") == {"type": "complete", "id": "1"}


async def test_a_project_tells_of_its_active_jobs_then_of_whatever_changes(
    platform: Platform,
) -> None:
    person = await make_person()
    first_id, first = await running(person.project)
    second_id, second = await running(person.project)
    _, over = await running(person.project)
    await leases.finish(over, nothing)
    _, foreign = await running(await factories.make_project())
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("1", PROJECT, id=person.project_id)
        known = [(await client.next("1"))["projectJobs"]["id"] for _ in range(2)]
        assert known == [first_id, second_id]

        await leases.report(foreign, Progress(5, 5))
        await leases.finish(second, nothing)
        ended = (await client.next("1"))["projectJobs"]
        assert (ended["id"], ended["status"]) == (second_id, "SUCCEEDED")
        source = await factories.make_source(person.project)
        queued = await jobs.sync(source, None)
        new = (await client.next("1"))["projectJobs"]
        assert (new["id"], new["status"]) == (public_id("job", queued.id), "QUEUED")
        await leases.cancel(queued.id)
        assert await told(client) == ("CANCELLED", 0)
        await leases.report(first, Progress(7, 7))
        assert await told(client) == ("RUNNING", 7)


async def test_a_partition_of_a_job_is_never_shown(platform: Platform) -> None:
    person = await make_person()
    whole_id, whole = await running(person.project)
    part_id, part = await running(person.project, parent_id=whole.job_id)
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("1", JOB, id=part_id)
        refused = await client.of("1")
        assert refused["payload"][0]["extensions"]["code"] == "NOT_FOUND"

        await client.subscribe("2", PROJECT, id=person.project_id)
        assert (await client.next("2"))["projectJobs"]["id"] == whole_id
        await leases.report(part, Progress(5, 5))
        await leases.report(whole, Progress(6, 6))
        assert (await client.next("2"))["projectJobs"]["id"] == whole_id


@pytest.mark.parametrize("query", [JOB, PROJECT])
async def test_what_is_foreign_looks_as_if_it_were_not_there(
    platform: Platform, query: str
) -> None:
    person, stranger = await make_person(), await make_person()
    job_id, _ = await running(person.project)
    is_job = query == JOB
    foreign = job_id if is_job else person.project_id
    missing = public_id("job" if is_job else "project", 10**9)
    answers: list[Any] = []
    async with live(platform) as here, signed_in(here.url, stranger.secret) as client:
        for number, each in enumerate((foreign, missing, "nonsense", public_id("team", 1))):
            await client.subscribe(str(number), query, id=each)
            message = await client.of(str(number))
            assert message["type"] == "error"
            (error,) = message["payload"]
            assert error["extensions"].pop("traceId")
            answers.append([error.get("path"), error["message"], error["extensions"]])

    assert answers[0] == answers[1]
    assert {answer[1] for answer in answers} == {answers[0][1]}
    assert {answer[2]["code"] for answer in answers} == {"NOT_FOUND"}


async def test_a_token_of_another_project_sees_nothing(platform: Platform) -> None:
    person = await make_person()
    job_id, _ = await running(person.project)
    other = await factories.make_project(await person.project.team)
    _, secret = await factories.make_token(person.user, project=other)
    async with live(platform) as here, signed_in(here.url, secret) as client:
        await client.subscribe("1", JOB, id=job_id)
        await client.subscribe("2", PROJECT, id=person.project_id)

        assert (await client.of("1"))["type"] == "error"
        assert (await client.of("2"))["type"] == "error"


async def test_whoever_leaves_the_team_is_told_no_more(platform: Platform) -> None:
    person = await make_person()
    job_id, lease = await running(person.project)
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("1", JOB, id=job_id)
        await client.subscribe("2", PROJECT, id=person.project_id)
        assert await told(client, "1") == await told(client, "2") == ("RUNNING", 0)

        await Membership.filter(user=person.user).delete()
        authentication.forget()
        await leases.report(lease, Progress(10, 100))

        for name in ("1", "2"):
            message = await client.of(name)
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("is_told", [True, False], ids=["here", "by another process"])
async def test_a_revoked_token_closes_its_idle_sockets(
    platform: Platform, *, is_told: bool
) -> None:
    person, other = await make_person(), await make_person()
    job_id, _ = await running(person.project)
    async with (
        live(platform) as here,
        signed_in(here.url, person.secret) as client,
        signed_in(here.url, other.secret) as beside,
    ):
        await client.subscribe("1", JOB, id=job_id)
        assert await told(client) == ("RUNNING", 0)

        await ApiToken.filter(user=person.user).update(revoked_at=datetime.now(UTC))
        if is_told:
            authentication.forget()

        assert await client.closed() == 4403
        await beside.send("ping")
        assert await beside.receive() == {"type": "pong"}


async def test_a_change_is_told_once_however_often_it_is_hinted_at(platform: Platform) -> None:
    person = await make_person()
    job_id, lease = await running(person.project)
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("1", JOB, id=job_id)
        assert await told(client) == ("RUNNING", 0)

        for _ in range(5):
            here.hub._take(f"{lease.job_id}:{lease.project_id}")
        await here.hub._look()
        await leases.report(lease, Progress(10, 100))

        assert await told(client) == ("RUNNING", 10)


async def test_without_any_hint_the_poll_finds_the_change(platform: Platform) -> None:
    person = await make_person()
    job_id, lease = await running(person.project)
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        progress.stop_publishing()
        await client.subscribe("1", JOB, id=job_id)
        assert await told(client) == ("RUNNING", 0)

        await leases.report(lease, Progress(10, 100))
        assert await told(client) == ("RUNNING", 10)
        await leases.finish(lease, nothing)
        assert await told(client) == ("SUCCEEDED", 10)


@pytest.mark.parametrize(
    "query",
    [
        'subscription { job(id: "a") { id } projectJobs(projectId: "b") { id } }',
        'subscription { job(id: "a") { nothing } }',
        'subscription ($no: Boolean = false) { job(id: "a") @include(if: $no) { id } }',
        "subscription ($id: ID!) { job(id: $id) { id } }",
        'subscription { job(id: "a") { '
        + " ".join(f"a{n}: logs(first: 200) {{ lines {{ message }} }}" for n in range(60))
        + " } }",
    ],
)
async def test_an_operation_that_is_wrong_or_too_large_is_refused(
    platform: Platform, query: str
) -> None:
    person = await make_person()
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("1", query)

        message = await client.of("1")

    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] in {"INVALID_INPUT", "QUERY_TOO_COMPLEX"}


async def test_over_http_a_subscription_is_refused_with_the_way_to_it(platform: Platform) -> None:
    person = await make_person()
    job_id, _ = await running(person.project)
    endpoint = GraphQLEndpoint(schema, ContextFactory(platform), platform.settings)
    transport = httpx.ASGITransport(Starlette(routes=[Route("/graphql", endpoint)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
        response = await session.post(
            "/graphql",
            json={"query": JOB, "variables": {"id": job_id}},
            headers={
                "authorization": f"Bearer {person.secret}",
                "accept": "application/graphql-response+json",
            },
        )

    (error,) = response.json()["errors"]
    assert (response.status_code, error["extensions"]["code"]) == (400, "UNSUPPORTED")
    assert "graphql-transport-ws" in error["extensions"]["hint"]


async def test_nobody_can_subscribe_without_a_socket(platform: Platform) -> None:
    person = await make_person()
    job_id, _ = await running(person.project)
    viewer = await factories.make_viewer(await person.project.team, Role.ADMIN)
    asker = Asker(platform, viewer)

    assert ENGINE is not None
    assert (await asker.code(JOB, id=job_id))[0] == "NOT_FOUND"
    assert (await asker.code(PROJECT, id=person.project_id))[0] == "UNSUPPORTED"
    assert await Job.filter(status=JobStatus.RUNNING).count() == 1
