"""Events that are recorded when a piece of work succeeds: a context manager and a decorator."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections, router, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from typing_extensions import ParamSpec

    from django_walpost.events import Aggregate, Headers, Payload
    from django_walpost.models import OutboxEvent

    P = ParamSpec("P")

R = TypeVar("R")


@contextmanager
def emitting(using: str | None = None) -> Iterator[Emitter]:
    """Run a block in a transaction, and record the events that it adds with one INSERT at its end.

    ::

        with emitting() as emit:
            order = Order.objects.create(...)
            emit("OrderPlaced", aggregate=order, payload={"total": order.total})

    An error in the block rolls back its changes, and no event is recorded.
    """
    from django_walpost.models import OutboxEvent

    alias = using or router.db_for_write(OutboxEvent)
    with transaction.atomic(using=alias):
        emitter = Emitter(alias)
        yield emitter
        OutboxEvent.objects.insert(emitter.events, connections[alias])


def emits(
    event_type: str,
    *,
    aggregate: Callable[[Any], Aggregate] | None = None,
    payload: Callable[[Any], Payload] | None = None,
    headers: Callable[[Any], Headers] | None = None,
    using: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run a function in a transaction, and record an event about its result.

    ::

        @emits("OrderPlaced", payload=lambda order: {"total": order.total})
        def place_order(cart: Cart) -> Order: ...

    ``aggregate``, ``payload`` and ``headers`` are given the result; without ``aggregate`` the result is the aggregate.
    An error in the function rolls back its changes, and no event is recorded.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{function.__qualname__} is a coroutine function, and Django's transactions are synchronous. "
                "Decorate a synchronous function and await sync_to_async(function)."
            )

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with emitting(using) as emit:
                result = function(*args, **kwargs)
                emit(
                    event_type,
                    aggregate=aggregate(result) if aggregate else result,  # type: ignore[arg-type] # checked there
                    payload=payload(result) if payload else None,
                    headers=headers(result) if headers else None,
                )
            return result

        return run

    return decorate


class Emitter:
    """What :func:`emitting` hands out: it takes events, and keeps them."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self.events: list[OutboxEvent] = []

    def __call__(
        self,
        event_type: str,
        *,
        aggregate: Aggregate,
        payload: Payload = None,
        headers: Headers | None = None,
        id: UUID | None = None,  # noqa: A002 - the name of the column
    ) -> OutboxEvent:
        """Add an event, as it is now; it is recorded when the block succeeds.

        The arguments, and the errors, are those of :func:`django_walpost.record`.
        """
        from django_walpost.models import OutboxEvent

        OutboxEvent.objects.connection_for([aggregate], self._alias)
        row = OutboxEvent.objects.build(event_type, aggregate, payload, headers, id)
        self.events.append(row)
        return row
