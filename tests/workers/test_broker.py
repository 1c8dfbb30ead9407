"""Wake-ups travel over each broker, and a broker that is away holds up nobody."""

import asyncio
import gc
import secrets
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

from base.errors import ConnectionFailed
from base.settings import Settings
from services import dispatch
from tests.clients import free_port
from workers import broker
from workers.broker import EmbeddedBroker, set_broker

NETWORK_BROKERS = ["redis_url", "rabbitmq_url"]


@contextmanager
def consuming(made: dramatiq.Broker, queue: str) -> Iterator[Event]:
    """A consumer in this process; the event is set by each wake-up."""
    looked = Event()
    dramatiq.actor(actor_name=dispatch.LOOK, queue_name=queue, broker=made)(looked.set)
    worker = dramatiq.Worker(made, worker_threads=1, worker_timeout=100)
    worker.start()
    try:
        yield looked
    finally:
        worker.stop(timeout=60_000)


async def woken(looked: Event, seconds: float = 60) -> bool:
    return await asyncio.to_thread(looked.wait, seconds)


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The global broker as it was, and a sender that no other test's hanging broker holds up."""
    before = dramatiq.broker.global_broker
    monkeypatch.setattr(dispatch, "_sender", dispatch._Sender())
    yield
    dramatiq.broker.global_broker = before
    with warnings.catch_warnings():  # pika leaves sockets of other threads to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize("url_fixture", NETWORK_BROKERS)
async def test_a_wake_up_reaches_a_worker_over_the_network(
    url_fixture: str, request: pytest.FixtureRequest, tmp_path: Path, restored: None
) -> None:
    settings = Settings(data_dir=tmp_path, broker_url=request.getfixturevalue(url_fixture))
    queue = f"headwater-test-{secrets.token_hex(8)}"
    receiving = broker._make(settings, [])
    receiving.declare_queue(queue)
    sending = set_broker(settings, queue=queue)

    with consuming(receiving, queue) as looked:
        await dispatch.wake()
        assert await woken(looked)
        looked.clear()
        await dispatch.wake(3)
        assert await woken(looked)

    if isinstance(sending, RabbitmqBroker):
        for name in (queue, f"{queue}.DQ", f"{queue}.XQ"):
            sending.channel.queue_delete(name)
    elif isinstance(sending, RedisBroker):
        sending.flush(queue)
    for each in (sending, receiving):
        each.close()


@pytest.mark.parametrize("depth", [0, 12], ids=["short path", "path longer than an address"])
async def test_a_wake_up_reaches_the_embedded_worker(
    depth: int, tmp_path: Path, restored: None
) -> None:
    data_dir = tmp_path.joinpath(*["a-long-folder-name"] * depth)
    data_dir.mkdir(parents=True, exist_ok=True)
    settings = Settings(data_dir=data_dir)
    receiving = EmbeddedBroker(data_dir / broker.SOCKET_FILE)
    receiving.declare_queue(broker.QUEUE)
    sending = set_broker(settings)

    with consuming(receiving, broker.QUEUE) as looked:
        receiving.listen()
        await dispatch.wake()
        assert await woken(looked)

    for each in (sending, receiving):
        each.close()


async def test_a_worker_that_starts_takes_over_the_socket_of_a_dead_one(
    tmp_path: Path, restored: None
) -> None:
    dead = EmbeddedBroker(tmp_path / broker.SOCKET_FILE)
    dead.listen()
    dead.close()
    heir = EmbeddedBroker(tmp_path / broker.SOCKET_FILE)
    heir.declare_queue(broker.QUEUE)
    sending = set_broker(Settings(data_dir=tmp_path))

    with consuming(heir, broker.QUEUE) as looked:
        heir.listen()
        await dispatch.wake()
        assert await woken(looked)

    for each in (sending, heir):
        each.close()


async def test_what_is_no_wake_up_is_ignored(tmp_path: Path, restored: None) -> None:
    receiving = EmbeddedBroker(tmp_path / broker.SOCKET_FILE)
    receiving.declare_queue(broker.QUEUE)
    sending = EmbeddedBroker(tmp_path / broker.SOCKET_FILE)

    with consuming(receiving, broker.QUEUE) as looked:
        receiving.listen()
        for text in (b"", b"\xff\xfe", b"delete_everything", b"x" * 10_000):
            sending._socket.sendto(text, str(tmp_path / broker.SOCKET_FILE))
        assert not await woken(looked, 0.3)
        dispatch._send(set_broker(Settings(data_dir=tmp_path)))
        assert await woken(looked)

    for each in (sending, receiving, dramatiq.get_broker()):
        each.close()


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:{port}/0", "amqp://u:hunter2@127.0.0.1:{port}/", "embedded:"]
)
async def test_a_broker_that_is_away_neither_raises_nor_holds_up(
    url: str, tmp_path: Path, restored: None
) -> None:
    settings = Settings(data_dir=tmp_path, broker_url=url.format(port=free_port()))
    made = set_broker(settings)

    for _ in range(500):
        await (
            dispatch.wake()
        )  # returns before anything was sent: 500 refusals would outlast the test

    while not dispatch._sender._waiting.empty():
        dispatch._sender._waiting.get_nowait()
    made.close()


async def test_a_broker_that_accepts_and_never_answers_does_not_hold_up_the_next_one(
    redis_url: str, tmp_path: Path, restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = f"headwater-test-{secrets.token_hex(8)}"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and says nothing ever
        with monkeypatch.context() as patched:
            patched.setattr(broker, "CONNECT_SECONDS", 1.0)
            url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
            hanging = set_broker(Settings(data_dir=tmp_path, broker_url=url), queue=queue)
        await dispatch.wake(80)  # one time-out after the other would outlast `woken`
        settings = Settings(data_dir=tmp_path, broker_url=redis_url)
        sending = set_broker(settings, queue=queue)
        receiving = broker._make(settings, [])
        receiving.declare_queue(queue)

        with consuming(receiving, queue) as looked:
            await dispatch.wake()
            assert await woken(looked)

    assert isinstance(sending, RedisBroker)
    sending.flush(queue)
    for each in (hanging, sending, receiving):
        each.close()


@pytest.mark.parametrize("url_fixture", NETWORK_BROKERS)
def test_ping_reaches_a_broker(url_fixture: str, request: pytest.FixtureRequest) -> None:
    broker.ping(Settings(broker_url=request.getfixturevalue(url_fixture)))


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_ping_says_that_a_broker_is_away_and_not_its_password(scheme: str) -> None:
    settings = Settings(broker_url=f"{scheme}://user:hunter2@127.0.0.1:{free_port()}/0")

    with pytest.raises(ConnectionFailed, match="does not answer") as caught:
        broker.ping(settings)

    assert "hunter2" not in caught.value.message


def test_dramatiq_s_own_retries_limits_and_priorities_are_off(
    tmp_path: Path, restored: None
) -> None:
    made = set_broker(replace(Settings(), data_dir=tmp_path))

    assert made.middleware == []
    made.close()


def test_the_broker_of_a_message_is_its_whole_content(tmp_path: Path, restored: None) -> None:
    """No argument, no secret, no id travels: the message says look."""
    with ExitStack() as stack:
        receiving = EmbeddedBroker(tmp_path / broker.SOCKET_FILE)
        receiving.declare_queue(broker.QUEUE)
        stack.callback(receiving.close)
        actor = dramatiq.actor(actor_name=dispatch.LOOK, queue_name=broker.QUEUE, broker=receiving)(
            lambda: None
        )
        receiving.listen()
        dispatch._send(receiving)
        message = dramatiq.Message.decode(receiving.queues[broker.QUEUE].get(timeout=60))

        assert (message.actor_name, message.args, message.kwargs) == (actor.actor_name, (), {})
