"""One subscription: its operation is run again, as an ordinary one, whenever what it is about has changed.

Each event is authorised, limited and read like a request of its own. Nothing is kept between two but the revisions that
were sent, so an event that comes twice is told once, and one that was passed over by a newer one is not told at all.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from base.errors import PlatformError, RateLimited
from graph.caches import Operation
from graph.context import Context
from graph.operations import Answer, Engine, Request
from graph.permissions import NEEDS
from graph.topics import TOPIC, Event, Topic
from models import Role
from services.progress import FellBehind, Hub, News

SENT_MAX = 1_000  # jobs whose last revision one subscription remembers

Connect = Callable[[], Awaitable[Context]]
Emit = Callable[[Answer], Awaitable[None]]


class Subscription:
    """A subscription of one client.

    `connect` makes the context of an event. `reading` is the process's: a change that thousands watch must not take
    every connection to the database, nor the event loop, from whoever asks something else.
    """

    def __init__(
        self,
        engine: Engine,
        hub: Hub,
        operation: Operation,
        request: Request,
        connect: Connect,
        reading: asyncio.Semaphore,
    ) -> None:
        self._engine = engine
        self._reading = reading
        self._hub = hub
        self._operation = operation
        self._request = request
        self._connect = connect
        self._sent: OrderedDict[int, int] = OrderedDict()

    async def run(self, emit: Emit, turn: asyncio.Lock) -> Answer | None:
        """Emit until it is over: why it cannot go on, or None where nothing more will come.

        An event is read and sent while holding `turn`, so what waits for a slow client is one answer, not one for each
        of its subscriptions. Raises what `connect` raises the first time, and what `emit` does.
        """
        context = await self._connect()
        try:
            topic = await self._topic(context)
            if isinstance(topic, Answer):
                return topic
            with topic.watch(self._hub) as watch:
                await watch.begun()
                for job_id in await topic.now():
                    watch.add(job_id)
                while True:
                    news = await watch.take()
                    if self._is_told(news):
                        continue
                    async with turn:
                        failed, is_over = await self._tell(topic, news.job_id, emit)
                    if failed or is_over:
                        return failed
        except FellBehind:
            late = RateLimited("More has changed than could be sent.", hint="Subscribe again.")
            return self._engine.refuse(self._request, late)
        except PlatformError as error:
            return self._engine.refuse(self._request, error)

    async def _topic(self, context: Context) -> Topic | Answer:
        root = self._engine.root_field(self._operation, self._request)
        if isinstance(root, Answer):
            return root
        field, arguments = root
        declared = field.extensions["strawberry-definition"].metadata
        context.admit(declared[NEEDS])
        assert context.viewer is not None, "every subscription needs a role"
        topic: Topic = await declared[TOPIC](context.viewer.acting(Role.READ), arguments)
        return topic

    def _is_told(self, news: News) -> bool:
        return news.revision is not None and news.revision <= self._sent.get(news.job_id, -1)

    async def _tell(self, topic: Topic, job_id: int, emit: Emit) -> tuple[Answer | None, bool]:
        """Send the job as it is; what ends the subscription, and whether nothing more will come."""
        async with self._reading:
            context = await self._connect()
            event = context.event = Event(job_id)
            answer = await self._engine.run(self._operation, self._request, context)
        if (
            event.revision is None
        ):  # no such job: a partition, one that is gone, or one that is hidden by now
            if topic.project_id is None or not _is_missing(answer):
                return Answer({"errors": answer.body["errors"]}), True
            assert context.viewer is not None, "the topic was found for one"
            await topic.check(context.viewer.acting(Role.READ))
            return None, False
        if event.revision <= self._sent.get(job_id, -1):
            return None, False
        self._sent[job_id] = event.revision
        self._sent.move_to_end(job_id)
        if len(self._sent) > SENT_MAX:
            self._sent.popitem(last=False)
        await emit(answer)
        return None, event.is_over and topic.job_id is not None


def _is_missing(answer: Answer) -> bool:
    codes = {error["extensions"]["code"] for error in answer.body["errors"]}
    return codes == {"NOT_FOUND"}
