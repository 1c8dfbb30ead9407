"""The protocol `graphql-transport-ws` as clients meet it, good ones and bad ones."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from graph import protocol
from graph.sockets import Sockets
from models import JobLog
from services import leases
from services.leases import Progress
from services.platform import Platform
from tests.graph.live import JOB, live, make_person, nothing, running
from tests.sockets import WAIT_SECONDS, opened, signed_in

VIEWER = "{ viewer { username } }"


async def gone(sockets: Sockets, left: int) -> None:
    """Wait until so many sockets are left."""
    async with asyncio.timeout(WAIT_SECONDS):
        while len(sockets._sessions) > left:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("place", ["Authorization", "authorization", "token", "header"])
async def test_a_token_may_come_in_the_first_message_or_with_the_upgrade(
    platform: Platform, place: str
) -> None:
    person = await make_person()
    bearer = f"Bearer {person.secret}"
    headers = {"authorization": bearer} if place == "header" else {}
    payload = {place: person.secret if place == "token" else bearer} if not headers else None
    async with live(platform) as here, opened(here.url, additional_headers=headers) as client:
        await client.send("connection_init", payload=payload)
        assert await client.receive() == {"type": "connection_ack"}

        await client.subscribe("1", VIEWER)

        assert await client.next("1") == {"viewer": {"username": person.user.username}}
        assert await client.receive() == {"type": "complete", "id": "1"}


@pytest.mark.parametrize(
    "payload", [None, {}, {"token": "hw_wrong"}, {"Authorization": "hw_x"}, {"token": 5}]
)
async def test_without_a_valid_token_the_socket_is_closed(
    platform: Platform, payload: dict[str, Any] | None
) -> None:
    async with live(platform) as here, opened(here.url) as client:
        await client.send("connection_init", payload=payload)

        assert await client.closed() == 4403


async def test_nothing_is_answered_before_the_token_is_shown(platform: Platform) -> None:
    async with live(platform) as here, opened(here.url) as client:
        await client.send("ping", payload={"a": 1})
        assert await client.receive() == {"type": "pong", "payload": {"a": 1}}
        await client.subscribe("1", "{ serverInfo { version } }")

        assert await client.closed() == 4401


async def test_who_says_nothing_is_not_waited_for(platform: Platform) -> None:
    async with live(platform, init_seconds_max=0.05) as here, opened(here.url) as client:
        assert await client.closed() == 4408


async def test_a_second_initialisation_closes(platform: Platform) -> None:
    person = await make_person()
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.send("connection_init")

        assert await client.closed() == 4429


async def test_a_second_operation_of_the_same_id_closes(platform: Platform) -> None:
    person = await make_person()
    job_id, _ = await running(person.project)
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("1", JOB, id=job_id)
        await client.next("1")
        await client.subscribe("1", JOB, id=job_id)

        assert await client.closed() == 4409


@pytest.mark.parametrize(
    "message",
    [
        "",
        "null",
        "[]",
        "{",
        '"ping"',
        "{}",
        '{"type":5}',
        '{"type":"start","id":"1","payload":{"query":"{a}"}}',
        '{"type":"next","id":"1"}',
        '{"type":"ping","payload":[]}',
        '{"type":"ping","type":"ping"}',
        '{"type":"complete"}',
        '{"type":"complete","id":""}',
        '{"type":"subscribe","payload":{"query":"{a}"}}',
        '{"type":"subscribe","id":5,"payload":{"query":"{a}"}}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":"1","payload":{}}',
        '{"type":"subscribe","id":"1","payload":{"query":5}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":[]}}',
        '{"type":"subscribe","id":"' + "1" * 201 + '","payload":{"query":"{a}"}}',
        '{"type":"ping","payload":' + '{"a":' * 40 + "1" + "}" * 40 + "}",
        b'{"type":"ping"}',
    ],
)
async def test_what_is_no_message_closes(platform: Platform, message: str | bytes) -> None:
    person = await make_person()
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.connection.send(message)

        assert await client.closed() == 4400


async def test_a_message_over_the_limit_closes(platform: Platform) -> None:
    person = await make_person()
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.connection.send(json.dumps({"type": "ping", "payload": {"a": "x" * 70_000}}))

        assert await client.closed() == 1009


@pytest.mark.parametrize("subprotocols", [None, ["graphql-ws"], ["soap", "graphql-ws"]])
async def test_another_subprotocol_is_refused(
    platform: Platform, subprotocols: list[str] | None
) -> None:
    async with live(platform) as here:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(here.url, subprotocols=subprotocols):
                pass

    assert refused.value.response.status_code == 400


@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        (None, True),
        ("own", True),
        ("http://127.0.0.1:8000", True),  # the public URL
        ("https://app.example.com", True),
        ("https://app.example.com.evil.example", False),
        ("http://app.example.com", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
async def test_only_known_origins_open_sockets(
    platform: Platform, origin: str | None, *, is_let_in: bool
) -> None:
    settings = {"cors_origins": ("https://app.example.com",)}
    async with live(platform, settings=settings) as here:
        if origin == "own":
            origin = here.url.replace("ws:", "http:").removesuffix("/graphql")
        headers = {} if origin is None else {"origin": origin}
        try:
            async with opened(here.url, additional_headers=headers):
                status = 101
        except InvalidStatus as refused:
            status = refused.response.status_code

    assert status == (101 if is_let_in else 403)


async def test_queries_and_mutations_are_answered_as_over_http(platform: Platform) -> None:
    person = await make_person()
    job_id, _ = await running(person.project)
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("q", "query A { a: __typename } query B { b: __typename }")
        refused = await client.receive()
        assert (refused["type"], refused["id"]) == ("error", "q")
        cancel = "mutation ($id: ID!) { cancelJob(input: {id: $id}) { job { id } } }"
        await client.subscribe("m", cancel, id=job_id)
        forbidden = await client.receive()
        assert forbidden["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        assert await client.receive() == {"type": "complete", "id": "m"}
        await client.subscribe("q", VIEWER)  # the id is free again

        assert await client.next("q") == {"viewer": {"username": person.user.username}}


async def test_an_operation_that_was_ended_says_no_more(platform: Platform) -> None:
    person = await make_person()
    job_id, lease = await running(person.project)
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        for name in ("1", "2"):
            await client.subscribe(name, JOB, id=job_id)
            await client.next(name)
        await client.send("complete", "1")
        await client.send("complete", "nobody")
        await client.send("ping")
        assert await client.receive() == {"type": "pong"}

        await leases.report(lease, Progress(10, 10))

        assert (await client.receive())["id"] == "2"
        await client.subscribe("1", JOB, id=job_id)
        assert (await client.next("1"))["job"]["progress"]["rowsDone"] == 10


async def test_a_socket_has_a_hundred_operations_and_a_user_so_many_subscriptions(
    platform: Platform,
) -> None:
    person = await make_person()
    job_id, _ = await running(person.project)
    async with live(platform, settings={"subscriptions_per_user_max": 150}) as here:
        async with (
            signed_in(here.url, person.secret) as first,
            signed_in(here.url, person.secret) as second,
        ):
            for number in range(100):
                await first.subscribe(str(number), JOB, id=job_id)
                await first.next(str(number))
            await first.subscribe("one too many", JOB, id=job_id)
            assert await code(await first.of("one too many")) == "RATE_LIMITED"
            for number in range(50):
                await second.subscribe(str(number), JOB, id=job_id)
                await second.next(str(number))
            await second.subscribe("one too many", JOB, id=job_id)
            assert await code(await second.of("one too many")) == "RATE_LIMITED"
        await gone(here.sockets, 0)
        async with signed_in(here.url, person.secret) as third:
            await third.subscribe("1", JOB, id=job_id)
            await third.next("1")


async def code(message: dict[str, Any]) -> str:
    assert message["type"] == "error"
    found: str = message["payload"][0]["extensions"]["code"]
    return found


async def test_a_user_has_so_many_sockets(platform: Platform) -> None:
    person = await make_person()
    async with (
        live(platform, settings={"subscriptions_per_user_max": 1}) as here,
        signed_in(here.url, person.secret),
        opened(here.url) as client,
    ):
        await client.send("connection_init", payload={"token": person.secret})

        assert await client.closed() == protocol.TRY_LATER


async def test_stopping_closes_every_socket(platform: Platform) -> None:
    person = await make_person()
    job_id, _ = await running(person.project)
    async with (
        live(platform) as here,
        signed_in(here.url, person.secret) as first,
        opened(here.url) as second,
    ):
        await first.subscribe("1", JOB, id=job_id)
        await first.next("1")

        await here.sockets.stop()

        assert [await first.closed(), await second.closed()] == [1001, 1001]
        with pytest.raises(InvalidStatus) as refused:
            async with opened(here.url):
                pass
        assert refused.value.response.status_code == 503


async def test_a_socket_is_one_line_in_the_log_without_its_secrets(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    person = await make_person()
    caplog.set_level("INFO")
    async with live(platform) as here:
        headers = {"trace-id": "trace-of-a-client"}
        url = f"{here.url}?token={person.secret}"
        async with signed_in(url, person.secret, additional_headers=headers) as client:
            await client.subscribe("1", "{ nothing }")
            (error,) = (await client.of("1"))["payload"]
            response = client.connection.response
        await gone(here.sockets, 0)
        with pytest.raises(InvalidStatus):
            async with opened(here.url, subprotocols=["soap"]):
                pass

    assert error["extensions"]["traceId"] == "trace-of-a-client"
    assert response is not None
    assert response.headers["trace-id"] == "trace-of-a-client"
    lines = [record for record in caplog.records if record.getMessage() == "socket"]
    assert [(line.path, line.status) for line in lines] == [("/graphql", 1000), ("/graphql", 400)]  # type: ignore[attr-defined]
    assert person.secret not in "".join(str(vars(record)) for record in caplog.records)


LOGS = "subscription ($id: ID!) { job(id: $id) { status progress { rowsDone } logs(first: 200) { lines { message } } } }"


async def test_a_client_that_does_not_read_is_cut_off_and_hurts_nobody(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    person = await make_person()
    job_id, lease = await running(person.project)
    await JobLog.bulk_create(
        [JobLog(job_id=lease.job_id, level="info", message="x" * 4_000) for _ in range(200)]
    )
    caplog.set_level("ERROR")
    async with (
        live(platform, write_seconds_max=0.2) as here,
        signed_in(here.url, person.secret) as healthy,
        opened(here.url, max_queue=1, close_timeout=0.2) as deaf,
    ):
        await healthy.subscribe("1", JOB, id=job_id)
        assert (await healthy.next("1"))["job"]["progress"]["rowsDone"] == 0
        await deaf.send("connection_init", payload={"token": person.secret})
        for number in range(10):
            await deaf.subscribe(str(number), LOGS, id=job_id)
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        rows = 0
        while len(here.sockets._sessions) > 1:
            rows += 1
            await leases.report(lease, Progress(rows, rows))
            assert (await healthy.next("1"))["job"]["progress"]["rowsDone"] == rows
            assert asyncio.get_running_loop().time() < deadline

        await leases.finish(lease, nothing)
        assert (await healthy.next("1"))["job"]["status"] == "SUCCEEDED"
        assert await healthy.of("1") == {"type": "complete", "id": "1"}

    assert caplog.records == []
