"""Delivery status: what the database knows of an event's way, without a column or an UPDATE for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.db import connections, models
from django.db.models.functions import Cast

from django_walpost.exceptions import DeadLettered, NotPublished, OutboxError
from django_walpost.fields import XidField

if TYPE_CHECKING:
    from uuid import UUID

#: The channel on which the relay tells that it has delivered.
_CHANNEL = "walpost_delivered"
#: How long to trust that a notification would come: a pooler between loses them.
_TRUST_SECONDS = 5.0


class Status(models.TextChoices):
    """Where an event is."""

    PENDING = "pending", "pending"
    PUBLISHED = "published", "published"
    DEAD = "dead", "dead"


class EventStatus(models.Model):
    """The view that tells the status of each row."""

    id = models.UUIDField(primary_key=True)
    status = models.TextField(null=True, choices=Status.choices)

    class Meta:
        managed = False
        default_permissions = ()
        db_table = "walpost_event_status"

    def __str__(self) -> str:
        return f"{self.id}: {self.status}"


class DeadLetter(models.Model):
    """An event that no message can carry, as the relay has noted it."""

    position = models.TextField(primary_key=True)
    """Its place in the log, which names the slot as well, so it is a key by itself."""
    slot = models.TextField()
    event_id = models.TextField(null=True)
    aggregate_type = models.TextField(null=True)
    aggregate_id = models.TextField(null=True)
    event_type = models.TextField(null=True)
    reason = models.TextField()
    detail = models.TextField()
    stream_sequence = models.BigIntegerField(null=True)
    dead_at = models.DateTimeField()
    state = models.TextField(choices=[(state, state) for state in ("dead", "retried", "discarded")])
    decided_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        default_permissions = ()
        db_table = "walpost_dead_letter"

    def __str__(self) -> str:
        return f"{self.event_id}: {self.reason} ({self.state})"


class Lag(models.Model):
    """How far a slot is."""

    slot = models.TextField(primary_key=True)
    confirmed_lsn = models.TextField()
    written_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    pending = models.BigIntegerField(null=True)
    oldest_pending = models.DateTimeField(null=True)
    dead = models.BigIntegerField()

    class Meta:
        managed = False
        default_permissions = ()
        db_table = "walpost_lag"

    def __str__(self) -> str:
        return f"{self.slot}: {self.pending} pending, {self.dead} dead"


class PendingFrom(models.Func):
    """The transaction before which nothing is pending; with it an index on ``xid`` serves."""

    function = "walpost_pending_from"
    arity = 0

    def __init__(self) -> None:
        super().__init__(output_field=XidField())


def status_of_row() -> models.Subquery:
    """Return an expression for the status of a row of the outer query."""
    return models.Subquery(EventStatus.objects.filter(pk=models.OuterRef("pk")).values("status"))


def has_status(status: Status) -> models.Exists:
    """Return a condition on the status of a row of the outer query."""
    return models.Exists(EventStatus.objects.filter(pk=models.OuterRef("pk"), status=status))


def dead_ids() -> models.QuerySet[Any, Any]:
    """Return the ids of the events that are dead letters."""
    dead = DeadLetter.objects.exclude(state="retried").filter(event_id__isnull=False)
    return dead.annotate(event=Cast("event_id", models.UUIDField())).values("event")


def status_of(event_id: UUID, using: str) -> Status | None:
    """Return the status of an event, or None if the table has no such row."""
    found = call("walpost_status", event_id, using)
    return None if found is None else Status(found)


def call(function: str, event_id: UUID, using: str) -> Any:
    """Call a function of the database about an event."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [str(event_id)])
        return cursor.fetchone()[0]


def wait_published(event_id: UUID, using: str, timeout: float) -> None:
    """Wait until the stream holds an event, woken by the relay's notification."""
    connection = connections[using]
    if connection.in_atomic_block:
        raise OutboxError(
            "wait_published() was called inside a transaction. Nobody else sees what is not committed: wait after the "
            "`atomic` block."
        )
    end = time.monotonic() + timeout
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {_CHANNEL}")
        try:
            while not _is_published(event_id, using):
                left = end - time.monotonic()
                if left <= 0:
                    raise NotPublished(f"The event {event_id} was not published within {timeout} s.")
                for _ in connection.connection.notifies(timeout=min(left, _TRUST_SECONDS), stop_after=1):
                    pass
        finally:
            cursor.execute(f"UNLISTEN {_CHANNEL}")


def _is_published(event_id: UUID, using: str) -> bool:
    """Tell whether an event is published, and refuse to wait for what will never be."""
    match status_of(event_id, using):
        case Status.PUBLISHED:
            return True
        case Status.DEAD:
            letter = DeadLetter.objects.using(using).filter(event_id=str(event_id)).exclude(state="retried").last()
            raise DeadLettered(f"The event {event_id} is a dead letter: {letter.reason if letter else 'unknown'}.")
        case None:
            raise NotPublished(f"There is no event {event_id} in the outbox whose status could be told.")
        case _:
            return False
