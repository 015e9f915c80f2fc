"""The loop between JetStream and the handlers: fetch, handle in a thread, acknowledge.

Invariant: a message is acknowledged only after its transaction was committed. Everything else may happen twice.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import nats
from django.db import close_old_connections, connections
from nats.errors import Error as NatsError, TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from django_walpost.conf import config
from django_walpost.consume.handling import Outcome, handle
from django_walpost.consume.message import Message

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from django_walpost.consume.registry import Consumer

_T = TypeVar("_T")

logger = logging.getLogger("django_walpost.consume")

#: How long one request for a message stays with the server, and so the longest that a stop waits for an idle worker.
_FETCH_SECONDS = 1.0
#: The pause before the broker or the database is asked again.
_PAUSE_SECONDS = 1.0


class Worker:
    """Runs consumers until it is told to stop."""

    def __init__(self, consumers: Iterable[Consumer]) -> None:
        self._consumers = list(consumers)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Fetch no more; what is being handled is finished and acknowledged."""
        self._stopping.set()

    async def run(self) -> None:
        """Connect, and run all consumers until the stop."""
        options: dict[str, Any] = {
            "name": "django-walpost",
            "max_reconnect_attempts": -1,
            "allow_reconnect": True,
            "error_cb": _log_error,
            **config().nats,
        }
        client = await self._unless_stopped(nats.connect(**options))
        if client is None:
            return
        try:
            places = [self._run_place(client, one) for one in self._consumers for _ in range(one.concurrency)]
            await asyncio.gather(*places)
        finally:
            await client.drain()

    async def _run_place(self, client: Client, consumer: Consumer) -> None:
        """Handle one message after the other. The thread is its own, and so is its database connection."""
        stream = client.jetstream()
        subscription: JetStreamContext.PullSubscription | None = None
        with ThreadPoolExecutor(1, thread_name_prefix=consumer.durable) as thread:
            while not self._stopping.is_set():
                try:
                    if subscription is None:
                        subscription = await subscribe(stream, consumer)
                    (message,) = await subscription.fetch(1, timeout=_FETCH_SECONDS)
                except NatsTimeout:
                    continue
                except (NatsError, OSError) as error:
                    logger.warning("%s waits for NATS: %s", consumer.durable, error)
                    subscription = None
                    await self._pause()
                    continue
                await self._handle(consumer, message, thread)
            await asyncio.get_running_loop().run_in_executor(thread, connections.close_all)

    async def _handle(self, consumer: Consumer, message: Msg, thread: ThreadPoolExecutor) -> None:
        """Handle a message, and tell the broker what became of it."""
        if self._stopping.is_set():
            await message.nak()  # fetched while the stop came: for another worker
            return
        beat = asyncio.create_task(_keep(message, consumer.ack_wait_seconds / 3))
        try:
            given = _message(message)
            loop = asyncio.get_running_loop()
            outcome = await loop.run_in_executor(thread, _handle_in_thread, consumer, given)
            while outcome is Outcome.UNAVAILABLE and not self._stopping.is_set():
                await self._pause()
                outcome = await loop.run_in_executor(thread, _handle_in_thread, consumer, given)
        finally:
            beat.cancel()
        try:
            await self._answer(consumer, given, message, outcome)
        except NatsError as error:
            logger.warning("%s cannot answer for %s, so it comes again: %s", consumer.durable, given.id, error)

    @staticmethod
    async def _answer(consumer: Consumer, given: Message, message: Msg, outcome: Outcome) -> None:
        """Tell the broker what became of a message."""
        match outcome:
            case Outcome.HANDLED | Outcome.REPEATED:
                await message.ack()
            case Outcome.FAILED:
                await message.nak(delay=consumer.delay_after(given.attempt))
            case Outcome.DEAD:
                await message.term()
            case Outcome.UNAVAILABLE:
                await message.nak()

    async def _unless_stopped(self, work: Coroutine[Any, Any, _T]) -> _T | None:
        """Wait for a piece of work, or for the stop, which cancels it."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        return None

    async def _pause(self) -> None:
        """Wait a little, unless the stop comes."""
        try:
            await asyncio.wait_for(self._stopping.wait(), _PAUSE_SECONDS)
        except asyncio.TimeoutError:
            return


async def subscribe(stream: JetStreamContext, consumer: Consumer) -> JetStreamContext.PullSubscription:
    """Make the durable consumer, or bring it up to date, and subscribe to it."""
    name = config().stream
    wanted = ConsumerConfig(
        durable_name=consumer.durable,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait_seconds,
        max_ack_pending=consumer.concurrency,
        max_deliver=-1,  # this package counts, so that no message is left without an answer
    )
    if len(consumer.subjects) == 1:
        wanted.filter_subject = consumer.subjects[0]
    else:
        wanted.filter_subjects = list(consumer.subjects)
    await stream.add_consumer(name, wanted)
    return await stream.pull_subscribe_bind(durable=consumer.durable, stream=name)


def _handle_in_thread(consumer: Consumer, message: Message) -> Outcome:
    """Handle a message as Django handles a request: with connections that are not too old."""
    close_old_connections()
    try:
        return handle(consumer, message)
    finally:
        close_old_connections()


def _message(message: Msg) -> Message:
    """Return a message as handlers get it."""
    metadata = message.metadata
    return Message(
        message.subject,
        message.data,
        message.headers or {},
        metadata.stream,
        metadata.sequence.stream,
        metadata.num_delivered,
    )


async def _keep(message: Msg, seconds: float) -> None:
    """Tell the broker that a message is still being worked on, so that nobody else gets it."""
    while True:
        await asyncio.sleep(seconds)
        await message.in_progress()


async def _log_error(error: Exception) -> None:
    """Log what the client met on its own; it reconnects by itself."""
    logger.warning("NATS: %s", str(error) or type(error).__name__)
