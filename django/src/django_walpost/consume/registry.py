"""Which handlers there are."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from django.core.exceptions import ImproperlyConfigured

from django_walpost.consume.message import Message

Handler: TypeAlias = Callable[[Message], object]

_H = TypeVar("_H", bound=Handler)

#: What JetStream takes as the name of a durable consumer.
_DURABLE = re.compile(r"[A-Za-z0-9_-]{1,32}")

consumers: dict[str, Consumer] = {}


class GiveUp(Exception):
    """Raised by a handler: this message will never succeed. It becomes a dead message at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Consumer:
    """A handler, and how it is to be called."""

    handler: Handler
    subjects: tuple[str, ...]
    durable: str
    using: str
    concurrency: int
    max_attempts: int
    backoff_seconds: tuple[float, ...]
    ack_wait_seconds: float

    def delay_after(self, attempt: int) -> float:
        """Return how long to wait after a failed attempt; the last step is kept."""
        return self.backoff_seconds[min(attempt, len(self.backoff_seconds)) - 1]


def consumer(  # noqa: PLR0913 - each has a default that is right for most
    subjects: str | Sequence[str],
    *,
    durable: str,
    using: str = "default",
    concurrency: int = 1,
    max_attempts: int = 10,
    backoff_seconds: Sequence[float] = (1, 5, 15, 60, 300),
    ack_wait_seconds: float = 30,
) -> Callable[[_H], _H]:
    """Have a function handle the events of some subjects, each once.

    ::

        @consumer("outbox.order.>", durable="billing")
        def bill(message: Message) -> None:
            Invoice.objects.create(order=message.aggregate_id, total=message.json()["total"])

    The function runs in a transaction. If it returns, what it wrote is committed together with the note that the event
    was handled; if it raises, nothing is, and the event comes again.

    Args:
        subjects: the subjects, with wildcards; several need nats-server 2.10.
        durable: the consumer's name in JetStream and in the inbox. Whoever has the same name shares the events.
        using: the database of the transaction.
        concurrency: how many events are handled at once. With 1 they are handled in the order of the stream, however
            many processes run, and an event that fails holds back those behind it until it succeeds or is dead.
        max_attempts: after so many failures the event becomes a dead message, and the line moves on.
        backoff_seconds: the pauses between the attempts; the last one is kept.
        ack_wait_seconds: how long after the death of a worker another one gets its event.

    """
    wanted = (subjects,) if isinstance(subjects, str) else tuple(subjects)

    def register(handler: _H) -> _H:
        if inspect.iscoroutinefunction(handler):
            raise ImproperlyConfigured(
                f"The consumer {durable!r} is a coroutine function; Django's transactions need a function."
            )
        if not _DURABLE.fullmatch(durable):
            raise ImproperlyConfigured(
                f"The consumer name {durable!r} is not 1 to 32 letters, digits, dashes and underscores."
            )
        if not wanted or concurrency < 1 or max_attempts < 1 or not backoff_seconds:
            raise ImproperlyConfigured(f"The consumer {durable!r} needs a subject, an attempt, and a pause.")
        found = consumers.get(durable)
        if found is not None and found.handler is not handler:
            raise ImproperlyConfigured(f"Two handlers have the consumer name {durable!r}.")
        consumers[durable] = Consumer(
            handler, wanted, durable, using, concurrency, max_attempts, tuple(backoff_seconds), ack_wait_seconds
        )
        return handler

    return register
