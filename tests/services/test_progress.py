"""Hints: sent after commits, by three ways that may fail, heard by whoever watches, and found when they are lost."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import psycopg
import pytest
from redis.asyncio import Redis

from base.net import unix_address
from base.settings import Settings
from models import Job
from models.database import Database, transaction
from services import leases, progress
from services.progress import FellBehind, Hub, News, Transport, Watch, transport_of
from services.progress.channels import Channel
from services.progress.datagrams import Datagrams
from services.progress.hints import HINTS_MAX, pack, unpack
from services.progress.hub import MARGIN_MS, NEWS_MAX
from services.progress.notifications import Notifications
from services.progress.publishing import Publisher
from tests import factories
from tests.graph.asking import statements

WAIT_SECONDS = 60.0
NEVER_SECONDS = 3600.0


class Deaf(Transport):
    """Loses everything, and is never ready: so a hub polls at its own seconds, not once more as it begins to hear."""

    async def send(self, message: str) -> None:
        pass

    async def listen(self, take: Callable[[str], None], ready: Callable[[], None]) -> None:  # noqa: ARG002
        await asyncio.sleep(NEVER_SECONDS)


class Held(Transport):
    """Keeps what is sent, and sends nothing on until it may."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.may = threading.Event()
        self.fails = False

    async def send(self, message: str) -> None:
        self.sent.append(message)
        if self.fails:
            raise OSError
        while not self.may.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.001)

    async def listen(self, take: Callable[[str], None], ready: Callable[[], None]) -> None:
        raise NotImplementedError


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.005)


async def news(watch: Watch) -> News:
    async with asyncio.timeout(WAIT_SECONDS):
        return await watch.take()


@asynccontextmanager
async def watching(hub: Hub) -> AsyncIterator[Hub]:
    try:
        yield hub
    finally:
        await hub.close()


def test_hints_are_packed_in_messages_that_every_way_carries() -> None:
    projects = dict.fromkeys(range(2**63 - 2 * HINTS_MAX - 1, 2**63 - 1), 2**63 - 1)

    messages = list(pack(projects))

    assert [len(unpack(message)) for message in messages] == [HINTS_MAX, HINTS_MAX]
    assert dict(hint for message in messages for hint in unpack(message)) == projects
    assert max(len(message.encode()) for message in messages) < 8_000


@pytest.mark.parametrize("message", ["", "x", "1:", ":2", "1:2:3", "-1:2", "1:٣", "1" * 30 + ":1"])
def test_what_is_no_hint_is_left_out(message: str) -> None:
    assert unpack(f"{message} 7:8") == [(7, 8)]


async def test_changes_while_a_message_is_under_way_are_one_hint() -> None:
    held = Held()
    publisher = Publisher(lambda: held)
    publisher.add(1, 10)
    await until(lambda: bool(held.sent))
    for _ in range(1_000):
        publisher.add(1, 10)
        publisher.add(2, 10)
    held.may.set()
    publisher.close()

    assert held.sent == ["1:10", "1:10 2:10"]


async def test_a_way_that_fails_is_tried_again_with_what_comes_next() -> None:
    held = Held()
    held.fails = True
    held.may.set()
    publisher = Publisher(lambda: held)
    publisher.add(1, 10)
    await until(lambda: len(held.sent) == 1)
    held.fails = False
    publisher.add(2, 10)
    await until(lambda: len(held.sent) == 2)
    publisher.close()

    assert held.sent == ["1:10", "2:10"]


async def test_a_way_that_cannot_be_made_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    held.may.set()
    ways: list[Transport] = []

    def make() -> Transport:
        if not ways:
            ways.append(Deaf())
            raise ValueError
        return held

    publisher = Publisher(make)
    publisher.add(1, 10)
    await until(lambda: publisher._thread is None)
    publisher.add(2, 10)
    publisher.close()

    assert held.sent == ["1:10 2:10"]
    assert [record.getMessage() for record in caplog.records] == [
        "hints could not be sent; the next change tries again"
    ]


async def test_a_hint_is_sent_when_the_change_is_committed_and_never_before(
    database: Database, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database.url)
    job, other = await factories.make_job(), await factories.make_job()
    progress.publish_by(settings)
    try:
        hub = Hub(transport_of(settings), poll_seconds=NEVER_SECONDS)
        async with watching(hub):
            with hub.watch_job(job.id) as watch, hub.watch_job(other.id) as beside:
                await listening(settings, watch, job)
                async with transaction():
                    await leases.cancel(job.id)
                    progress.changed(other.id, 1)
                    await asyncio.sleep(0.2)
                    assert watch._news == beside._news == {}
                assert (await news(watch)).job_id == job.id
                assert (await Job.get(id=job.id)).status == "cancelled"
    finally:
        progress.stop_publishing()


async def test_nobody_is_told_of_partitions(database: Database, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database.url)
    source = await factories.make_source()
    job = await factories.make_job(source)
    partition = await factories.make_job(source, parent_id=job.id, active_key=None)
    last = await factories.make_job(source, active_key=None, run_after_ms=2**53)
    progress.publish_by(settings)
    try:
        hub = Hub(transport_of(settings), poll_seconds=NEVER_SECONDS)
        async with watching(hub):
            project_id: int = job.project_id  # type: ignore[attr-defined]
            with hub.watch_job(job.id) as own, hub.watch_project(project_id) as watch:
                await listening(settings, own, job)
                _, held = [await leases.claim("worker", 60_000) for _ in range(2)]
                assert held is not None
                assert held.job_id == partition.id
                await leases.report(held, leases.Progress(1, 1))
                await leases.release(held)
                await leases.touch(last.id)
                told = {(await news(watch)).job_id}
                while last.id not in told:
                    told.add((await news(watch)).job_id)
                await hub._look()
                assert told | set(watch._news) == {job.id, last.id}
    finally:
        progress.stop_publishing()


async def listening(settings: Settings, watch: Watch, job: Job) -> None:
    """Wait until hints of this job are heard, and until no more are on their way."""
    await watch.begun()
    sender = transport_of(settings)
    async with asyncio.timeout(WAIT_SECONDS):
        while not watch._news:
            await sender.send(f"{job.id}:0")
            await asyncio.sleep(0.01)
    await sender.send(f"{job.id}:0 {job.id}:1")
    await asyncio.sleep(0.3)
    await sender.close()
    watch._news.clear()


@pytest.fixture(params=["datagrams", "redis", "postgresql"])
def make_transport(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Transport]:
    if request.param == "datagrams":
        return lambda: Datagrams(tmp_path / "watchers")
    if request.param == "redis":
        redis: str = request.getfixturevalue("redis_url")
        name = f"headwater:test:{secrets.token_hex(8)}"
        return lambda: Channel(redis, name)
    postgres: str = request.getfixturevalue("postgres_database")
    return lambda: Notifications(postgres)


class Ear:
    """Listens as a hub does, and again whenever it is cut off."""

    def __init__(self, transport: Transport) -> None:
        self.heard: list[str] = []
        self.times_ready = 0
        self.failures: list[BaseException] = []
        self._transport = transport

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        await until(lambda: self.times_ready == 1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _listen(self) -> None:
        while True:
            try:
                await self._transport.listen(self.heard.append, self._ready)
            except Exception as error:  # noqa: BLE001 - whatever the driver raises
                self.failures.append(error)
            await asyncio.sleep(0.01)

    def _ready(self) -> None:
        self.times_ready += 1


async def test_every_process_that_listens_hears_what_is_sent(
    make_transport: Callable[[], Transport],
) -> None:
    sender = make_transport()
    await sender.send("1:1")  # nobody listens, and nobody minds
    async with Ear(make_transport()) as one, Ear(make_transport()) as two:
        await sender.send("2:2")
        await sender.send("3:3")
        await until(lambda: len(one.heard) == len(two.heard) == 2)
    await sender.close()
    await sender.send("4:4")  # connects again
    await sender.close()

    assert one.heard == two.heard == ["2:2", "3:3"]


async def cut_off(transport: Transport) -> None:
    """End every connection of this way that listens."""
    if isinstance(transport, Datagrams):
        for path in transport._sockets():
            path.unlink()
    elif isinstance(transport, Channel):
        async with Redis.from_url(transport._url) as client:
            for each in await client.client_list():
                if each["name"] == f"headwater-progress-{os.getpid()}":
                    await client.client_kill_filter(_id=each["id"])
    else:
        assert isinstance(transport, Notifications)
        with psycopg.connect(transport._dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'headwater progress'"
            )


async def test_a_way_that_is_cut_off_is_found_again(
    make_transport: Callable[[], Transport],
) -> None:
    sender = make_transport()
    async with Ear(make_transport()) as ear:
        await sender.send("1:1")
        await until(lambda: ear.heard == ["1:1"])

        await cut_off(sender)
        await until(lambda: ear.times_ready >= 2)

        async def is_heard() -> bool:
            try:
                await sender.send("2:2")
            except Exception:  # noqa: BLE001 - as above
                await sender.close()
            return "2:2" in ear.heard

        await until(is_heard)
    await sender.close()


async def test_sockets_of_the_dead_are_removed_and_those_of_the_living_left(tmp_path: Path) -> None:
    folder = (
        tmp_path
        / "a folder whose name is so long that no unix socket's address holds it"
        / ("x" * 60)
    )
    transport = Datagrams(folder)
    async with Ear(transport) as ear:
        dead = folder / "dead.sock"
        os.link(next(iter(transport._sockets())), folder / "alive.sock")
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left,
            unix_address(dead) as address,
        ):
            left.bind(address)
        await transport.send("1:1")
        await until(lambda: len(ear.heard) == 2)

    assert not dead.exists()


async def test_a_listener_that_is_asleep_holds_up_no_sender(tmp_path: Path) -> None:
    transport = Datagrams(tmp_path / "watchers")
    (tmp_path / "watchers").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asleep:
        asleep.bind(str(tmp_path / "watchers" / "asleep.sock"))
        async with Ear(transport) as ear:
            for number in range(2_000):
                await transport.send(f"{number}:1")
                await asyncio.sleep(0)
            await until(lambda: ear.heard[-1:] == ["1999:1"])


async def test_a_watcher_hears_of_its_job_or_project_and_of_nothing_else(
    database: Database,
) -> None:
    assert database
    async with watching(Hub(Deaf())) as hub:
        with hub.watch_job(1) as job, hub.watch_project(7) as project, hub.watch_job(3) as silent:
            hub._take("1:7 2:7 9:9")
            hub._take("1:7")

            assert [await news(job)] == [News(1)]
            assert [await news(project), await news(project)] == [News(1), News(2)]
            assert [watch._news for watch in (job, project, silent)] == [{}, {}, {}]
        assert (hub._jobs, hub._projects) == ({}, {})


async def test_a_hint_that_was_lost_is_found_by_the_poll(database: Database) -> None:
    assert database
    job = await factories.make_job()
    async with watching(Hub(Deaf(), poll_seconds=0.01)) as hub:
        with hub.watch_job(job.id) as watch:
            await watch.begun()
            await leases.touch(job.id)

            assert await news(watch) == News(job.id, 1)


async def test_a_poll_that_fails_is_followed_by_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async with watching(Hub(Deaf(), poll_seconds=0.01)) as hub:  # where there is no database at all
        with hub.watch_job(1):
            async with asyncio.timeout(WAIT_SECONDS):
                while len(caplog.records) < 2:  # noqa: ASYNC110 - the log tells, nobody else
                    await asyncio.sleep(0.01)

    assert {record.getMessage() for record in caplog.records} == {"changed jobs could not be read"}


async def test_a_change_that_is_committed_long_after_its_stamp_is_found(database: Database) -> None:
    assert database
    early, late = await factories.make_job(), await factories.make_job()
    async with watching(Hub(Deaf(), poll_seconds=NEVER_SECONDS)) as hub:
        with hub.watch_job(early.id) as watch:
            await watch.begun()
            await leases.touch(late.id)
            await hub._look()
            stamp = (await Job.get(id=late.id)).changed_ms
            await Job.filter(id=early.id).update(revision=5, changed_ms=stamp - MARGIN_MS)

            await hub._look()

            assert await news(watch) == News(early.id, 5)


async def test_what_the_poll_has_told_it_does_not_tell_again(database: Database) -> None:
    assert database
    job = await factories.make_job()
    await leases.touch(job.id)
    async with watching(Hub(Deaf(), poll_seconds=NEVER_SECONDS)) as hub:
        with hub.watch_job(job.id) as watch:
            await watch.begun()
            await hub._look()
            assert watch._news == {}
            await leases.touch(job.id)
            await hub._look()
            assert await news(watch) == News(job.id, 2)
            await hub._look()
            assert watch._news == {}


async def test_one_poll_is_one_statement_for_all_watchers(database: Database) -> None:
    found = [await factories.make_job() for _ in range(3)]
    async with watching(Hub(Deaf(), poll_seconds=NEVER_SECONDS)) as hub:
        watches = [hub.watch_job(job.id) for job in found for _ in range(20)]
        await watches[0].begun()
        for job in found:
            await leases.touch(job.id)

        async with statements(database) as sent:
            await hub._look()

        assert len(sent) == 1
        assert [len(watch._news) for watch in watches] == [1] * 60


async def test_nobody_listens_when_nobody_watches(database: Database, tmp_path: Path) -> None:
    assert database
    transport = Datagrams(tmp_path)
    async with watching(Hub(transport, poll_seconds=0.01, linger_seconds=0.02)) as hub:
        for _ in range(2):
            assert transport._sockets() == []
            with hub.watch_job(1) as watch:
                await watch.begun()
                await until(lambda: len(transport._sockets()) == 1)
            await until(lambda: transport._sockets() == [])


async def test_a_watcher_that_falls_behind_is_told_so(database: Database) -> None:
    assert database
    async with watching(Hub(Deaf())) as hub:
        with hub.watch_project(1) as watch:
            hub._take(" ".join(f"{number}:1" for number in range(NEWS_MAX)))
            assert await news(watch) == News(0)
            hub._take("1:1 5000:1 5001:1")

            with pytest.raises(FellBehind):
                await news(watch)


async def test_news_of_a_job_are_kept_once_with_the_most_that_is_to_be_looked_at(
    database: Database,
) -> None:
    assert database
    async with watching(Hub(Deaf())) as hub:
        with hub.watch_job(1) as watch:
            watch.add(1, 5)
            watch.add(1, 7)
            watch.add(1, 6)
            assert await news(watch) == News(1, 7)
            watch.add(1, 5)
            watch.add(1)  # a hint: there may be a revision that nobody has seen
            watch.add(1, 6)
            assert await news(watch) == News(1)
