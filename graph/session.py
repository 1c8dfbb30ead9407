"""One socket of `graphql-transport-ws`: who it is, what it has asked, and how it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from base.errors import PlatformError, RateLimited, Unauthenticated
from graph import protocol
from graph.context import Context
from graph.errors import present
from graph.live import Subscription
from graph.operations import Answer, Engine, Request, is_subscription
from graph.protocol import Close, Frame, write
from services.access import Viewer
from services.progress import Hub

INIT_SECONDS_MAX = 10.0
WRITE_SECONDS_MAX = 10.0  # for a message to leave; a client that does not read by then is cut off
OPERATIONS_MAX = 100  # of one socket at a time
EVENTS_MAX = 4  # of a process that are read at a time
QUERIES_MAX = 4  # and of those, queries and mutations that run or wait to be sent; HTTP is for more

Connect = Callable[[str | None], Awaitable[Context]]


class Gone(Exception):
    """Nobody is there any more to send anything to."""


class Seats:
    """How many of something each user has, at most `limit`."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._taken: Counter[int] = Counter()

    @contextmanager
    def taken(self, user_id: int) -> Iterator[None]:
        """Have one of them within the block; raises RateLimited."""
        if self._taken[user_id] >= self._limit:
            raise RateLimited(
                f"You have {self._limit} {self._name} open, the most at a time.",
                hint="Close some of them first.",
            )
        self._taken[user_id] += 1
        try:
            yield
        finally:
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                del self._taken[user_id]


@dataclass(frozen=True, slots=True)
class Service:
    """What all sockets of a process share. `connect` makes the context of whoever has a credential."""

    engine: Engine
    hub: Hub
    connect: Connect
    sockets: Seats
    subscriptions: Seats
    reading: asyncio.Semaphore
    init_seconds_max: float = INIT_SECONDS_MAX
    write_seconds_max: float = WRITE_SECONDS_MAX


class Session:
    """An accepted socket. `run` is its life; `end` may be called at any time, and by anybody."""

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._credential = websocket.headers.get("authorization")
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._writing = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._asking = asyncio.Semaphore(QUERIES_MAX)
        self._ended: asyncio.Future[Close | None] = asyncio.get_running_loop().create_future()
        self.viewer: Viewer | None = None

    def end(self, close: Close | None) -> None:
        """Close the socket, or let go of it where there is nobody to tell."""
        if not self._ended.done():
            self._ended.set_result(close)

    async def run(self) -> None:
        """Read and answer until it ends."""
        reader = asyncio.create_task(self._read())
        try:
            close = await self._ended
        finally:
            tasks = {reader, *self._operations.values()}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if close is not None:
            with suppress(TimeoutError, WebSocketDisconnect, WebSocketDisconnected):
                async with asyncio.timeout(self._service.write_seconds_max):
                    await self._websocket.close(close.code, close.reason)

    async def _read(self) -> None:
        try:
            try:
                async with asyncio.timeout(self._service.init_seconds_max):
                    await self._begin()
            except TimeoutError:
                raise Close(protocol.INIT_TIMEOUT, "Connection initialisation timeout") from None
            assert self.viewer is not None, "it has begun"
            with self._service.sockets.taken(self.viewer.user_id):
                await self._send(write("connection_ack"))
                while True:
                    await self._handle(await self._frame())
        except Close as close:
            self.end(close)
        except RateLimited as error:
            self.end(Close(protocol.TRY_LATER, error.message))
        except Gone:
            self.end(None)
        except Exception as error:  # noqa: BLE001 - the edge of the process: masked and logged
            present([error])
            self.end(Close(protocol.INTERNAL, "Internal error"))

    async def _begin(self) -> None:
        """Wait for whoever it is to say so."""
        while True:
            frame = await self._frame()
            if frame.kind == "connection_init":
                break
            if frame.kind == "ping":
                await self._send(write("pong", payload=frame.payload))
            elif frame.kind == "subscribe":
                raise Close(protocol.UNAUTHORIZED, "Unauthorized")
        told = protocol.credential(frame.payload)
        self._credential = self._credential if told is None else told
        self.viewer = (await self._connect()).viewer

    async def _handle(self, frame: Frame) -> None:
        if frame.kind == "connection_init":
            raise Close(protocol.TOO_MANY_INITS, "Too many initialisation requests")
        if frame.kind == "ping":
            await self._send(write("pong", payload=frame.payload))
        elif frame.kind == "complete" and frame.id is not None:
            task = self._operations.pop(frame.id, None)
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        elif frame.request is not None and frame.id is not None:
            await self._subscribe(frame.id, frame.request)

    async def _subscribe(self, name: str, request: Request) -> None:
        if name in self._operations:
            raise Close(protocol.DUPLICATE_ID, f"Subscriber for {name} already exists")
        if len(self._operations) >= OPERATIONS_MAX:
            many = RateLimited(
                f"The socket has {OPERATIONS_MAX} operations open, the most at a time."
            )
            await self._send(write("error", name, present([many])))
            return
        self._operations[name] = asyncio.create_task(self._operate(name, request))

    async def _operate(self, name: str, request: Request) -> None:
        try:
            refusal = await self._execute(name, request)
            if refusal is None:
                await self._send(write("complete", name))
            else:
                await self._send(write("error", name, refusal.body["errors"]))
        except Close as close:
            self.end(close)
        except Gone:
            self.end(None)
        except Exception as error:  # noqa: BLE001 - the edge of the process: masked and logged
            with suppress(Gone):
                await self._send(write("error", name, present([error])))
        finally:
            if self._operations.get(name) is asyncio.current_task():
                del self._operations[name]

    async def _execute(self, name: str, request: Request) -> Answer | None:
        """Send the answers to a request; why there are none, or no more."""

        async def emit(answer: Answer) -> None:
            await self._send(write("next", name, answer.body))

        service = self._service
        operation = service.engine.prepare(request, may_introspect=True)
        if isinstance(operation, Answer):
            return operation
        if is_subscription(operation):
            assert self.viewer is not None, "a socket without one has not begun"
            live = Subscription(
                service.engine, service.hub, operation, request, self._connect, service.reading
            )
            try:
                with service.subscriptions.taken(self.viewer.user_id):
                    return await live.run(emit, self._turn)
            except PlatformError as error:
                return service.engine.refuse(request, error)
        async with self._asking:
            answer = await service.engine.run(operation, request, await self._connect())
            if not answer.is_executed:
                return answer
            await emit(answer)
            return None

    async def _connect(self) -> Context:
        """The context of one operation or event, of whoever the token says it is by now; raises `Close`."""
        try:
            context = await self._service.connect(self._credential)
        except Unauthenticated as error:
            raise Close(protocol.FORBIDDEN, error.message) from None
        if context.viewer is None:
            raise Close(protocol.FORBIDDEN, "This needs an API token.")
        return context

    async def _frame(self) -> Frame:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise Gone
        return protocol.parse(message.get("text"))

    async def _send(self, text: str) -> None:
        """Send a message once the ones before have left; raises `Gone`, also where it does not leave in time."""
        try:
            async with asyncio.timeout(self._service.write_seconds_max), self._writing:
                await self._websocket.send_text(text)
        except (TimeoutError, WebSocketDisconnect, WebSocketDisconnected):
            raise Gone from None
