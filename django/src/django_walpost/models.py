"""The outbox table as a model, the base for one's own, and the mixin for models that tell of their changes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, models, router
from django.db.models.base import ModelState

from django_walpost.conf import outbox_table
from django_walpost.encoding import json_bytes
from django_walpost.endpoints import WebhookEndpoint
from django_walpost.exceptions import AppendOnly
from django_walpost.fields import (
    ENCODED,
    CurrentXid,
    PayloadField,
    TransactionTime,
    XidField,
    check_size,
    encoded,
)
from django_walpost.ids import uuid7
from django_walpost.managers import OutboxManager
from django_walpost.mixins import OutboxMixin
from django_walpost.status import DeadLetter, EventStatus, Lag, Status, call, status_of, wait_published

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import Self

__all__ = [
    "AbstractOutboxEvent",
    "DeadLetter",
    "EventStatus",
    "Lag",
    "OutboxEvent",
    "OutboxMixin",
    "Status",
    "WebhookEndpoint",
]


#: The columns that are written; the database adds the others.
WRITTEN = ("id", "aggregate_type", "aggregate_id", "event_type", "payload", "headers")


class AbstractOutboxEvent(models.Model):
    """The columns of an outbox table, for a model of one's own.

    Another payload column is possible: ``payload = models.BinaryField(null=True)`` holds bytes as they are, and
    anything else as JSON in UTF-8. The table needs a publication; see ``django_walpost.operations.CreatePublication``.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    aggregate_type = models.TextField()
    aggregate_id = models.TextField()
    event_type = models.TextField()
    payload = PayloadField(null=True, encoder=DjangoJSONEncoder)
    headers = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    created_at = models.DateTimeField(db_default=TransactionTime(), editable=False)
    xid = XidField(db_default=CurrentXid(), editable=False)

    objects: ClassVar[OutboxManager[Any]] = OutboxManager()

    class Meta:
        abstract = True
        get_latest_by = "id"

    def __str__(self) -> str:
        return f"{self.event_type} {self.aggregate_type} {self.aggregate_id} ({self.id})"

    @classmethod
    @cache
    def has_plain_columns(cls) -> bool:
        """Tell whether the table has the columns of the contract, in their order, and no others."""
        columns = [field.attname for field in cls._meta.concrete_fields]
        contract = [field.attname for field in AbstractOutboxEvent._meta.local_concrete_fields]
        return columns == contract and isinstance(cls._meta.get_field("payload"), PayloadField)

    @classmethod
    def from_values(cls, *values: Any) -> Self:
        """Return a row of the values of :data:`WRITTEN`.

        A plain class is given them as Django gives them to an instance that was pickled. Going through each field, as
        the constructor does, is a sixth of what recording costs beyond the INSERT.
        """
        if not cls.has_plain_columns() or cls.__init__ is not models.Model.__init__:
            return cls(**dict(zip(WRITTEN, values, strict=True)))
        row = cls.__new__(cls)
        row.__dict__.update(zip(WRITTEN, values, strict=True), _state=ModelState(), **cls._left_to_the_database())
        return row

    @classmethod
    @cache
    def _left_to_the_database(cls) -> dict[str, Any]:
        """Return what stands for the other values until the row is stored; Django would make it anew for each row."""
        return {field.attname: field.get_default() for field in cls._meta.concrete_fields[len(WRITTEN) :]}

    def encode_payload(self) -> None:
        """Encode the payload now: later changes of the value are not recorded, and errors come here.

        Raises:
            PayloadNotSerializable: it is not JSON.
            EventTooLarge: it has more bytes than the broker takes.

        """
        if self.payload is None:
            return
        if self.has_plain_columns() or isinstance(self._meta.get_field("payload"), PayloadField):
            self.__dict__[ENCODED] = encoded(self.payload)
        else:
            self.payload = json_bytes(self.payload)
            check_size(len(self.payload))

    def encoded_payload(self) -> str | None:
        """Return the payload as it was when it was encoded."""
        found: str | None = self.__dict__.pop(ENCODED, None)
        return found

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store a new event.

        Raises:
            AppendOnly: it is stored already. The relay reads inserts, so a change would never reach the stream.

        """
        if not self._state.adding:
            raise AppendOnly(f"The event {self.id} was recorded and cannot be changed; record another one.")
        super().save(*args, **kwargs)


class OutboxEvent(AbstractOutboxEvent):
    """An event in the outbox table that migrations make exactly as ``walpost setup`` does."""

    delivery_status: str | None

    objects: ClassVar[OutboxManager[OutboxEvent]] = OutboxManager()  # type: ignore[assignment]

    class Meta:
        db_table = outbox_table()
        get_latest_by = "id"
        verbose_name = "outbox event"

    @property
    def status(self) -> Status | None:
        """Where the event is, now; None if the table has no such row."""
        if "delivery_status" in self.__dict__:
            return None if self.delivery_status is None else Status(self.delivery_status)
        return status_of(self.id, self._using())

    def wait_published(self, timeout: float = 30) -> None:
        """Wait until the stream holds the event. Call it after the ``atomic`` block that recorded it.

        The relay wakes it up, on the connection of this thread; nothing is asked again and again. It takes as long as
        the relay takes to move its watermark, which is seconds.

        Raises:
            NotPublished: not in so many seconds.
            DeadLettered: it never will be.

        """
        wait_published(self.id, self._using(), timeout)

    async def await_published(self, timeout: float = 30) -> None:
        """Wait until the stream holds the event, in a thread and on a connection of its own."""
        await sync_to_async(_wait_in_thread, thread_sensitive=False)(self.id, self._using(), timeout)

    def retry(self) -> bool:
        """Have the relay try a dead letter again; false if it is none, or its row is gone."""
        return bool(call("walpost_retry", self.id, self._using()))

    def discard(self) -> bool:
        """Give a dead letter up; false if it is none that nobody has decided about."""
        return bool(call("walpost_discard", self.id, self._using()))

    def _using(self) -> str:
        """Return the database of the event."""
        return self._state.db or router.db_for_write(type(self), instance=self)


def _wait_in_thread(event_id: UUID, using: str, timeout: float) -> None:
    """Wait, and leave no connection behind."""
    try:
        wait_published(event_id, using, timeout)
    finally:
        connections[using].close()
