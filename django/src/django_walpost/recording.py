"""The verbs of the package, for the service layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django_walpost.events import Aggregate, Event, Headers, Payload
    from django_walpost.models import OutboxEvent


def record(  # noqa: PLR0913 - an event has so many parts
    event_type: str,
    *,
    aggregate: Aggregate,
    payload: Payload = None,
    headers: Headers | None = None,
    id: UUID | None = None,  # noqa: A002 - the name of the column
    using: str | None = None,
) -> OutboxEvent:
    """Record an event in the transaction that changes the data it tells of.

    Args:
        event_type: what happened, in the past tense: ``OrderPlaced``. The last token of the message's subject.
        aggregate: what it happened to: a saved model instance, or ``(type, id)``.
        payload: what consumers get: anything that Django's JSON encoder takes, or bytes that are JSON in UTF-8. None
            is a tombstone: a message without body.
        headers: more headers for the message, over those of the context. A value of None takes one out.
        id: the message's id, by which consumers tell repetitions. By default a new UUID of version 7.
        using: the database. By default the one where the aggregate is written.

    Returns:
        The stored event. It costs one INSERT; its id, time and transaction are known at once. No signals are sent.

    Raises:
        NotInTransaction: no transaction is running on that database.
        WrongDatabase: that is not Postgres, or not where the aggregate is.
        InvalidEvent: no message can carry it; PayloadNotSerializable and EventTooLarge say more.

    """
    from django_walpost.models import OutboxEvent

    return OutboxEvent.objects.record(
        event_type, aggregate=aggregate, payload=payload, headers=headers, id=id, using=using
    )


def record_many(events: Iterable[Event], *, using: str | None = None) -> list[OutboxEvent]:
    """Record events, in their order, with one INSERT; else as :func:`record`."""
    from django_walpost.models import OutboxEvent

    return OutboxEvent.objects.record_many(events, using=using)


async def arecord(event_type: str, **event: Any) -> OutboxEvent:
    """Record an event from a coroutine; the arguments are those of :func:`record`.

    Django has transactions in synchronous code only. So this works where the coroutine runs inside one that synchronous
    code began in the same thread. Most often you want the other way round: put the change and :func:`record` into one
    function, and await ``sync_to_async(function)``.
    """
    return await sync_to_async(record)(event_type, **event)


async def arecord_many(events: Iterable[Event], *, using: str | None = None) -> list[OutboxEvent]:
    """Record events with one INSERT, from a coroutine; see :func:`arecord`."""
    return await sync_to_async(record_many)(events, using=using)
