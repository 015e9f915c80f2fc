"""Recording: the one way from an event to a row of the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections, models, router
from django.utils.connection import ConnectionDoesNotExist

from django_walpost.context import current_headers
from django_walpost.events import checked_headers, checked_name, names_of
from django_walpost.exceptions import AppendOnly, NotInTransaction, WrongDatabase
from django_walpost.ids import uuid7
from django_walpost.insertion import insert
from django_walpost.status import PendingFrom, Status, dead_ids, has_status, status_of_row

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.db.backends.base.base import BaseDatabaseWrapper
    from typing_extensions import Self

    from django_walpost.events import Aggregate, Event, Headers, Payload
    from django_walpost.models import AbstractOutboxEvent

_E = TypeVar("_E", bound="AbstractOutboxEvent")


class OutboxQuerySet(models.QuerySet[_E]):
    """Recorded events. They can be read and deleted, never changed.

    Their delivery status is worked out by the database from the relay's watermark: pending rows are found by an index,
    dead ones by the dead letters; ``published`` is told row by row, so narrow it down first.
    """

    def pending(self) -> Self:
        """Return the events that are not in the stream yet."""
        return self.filter(has_status(Status.PENDING), xid__gte=PendingFrom())

    def published(self) -> Self:
        """Return the events that the stream holds."""
        return self.filter(has_status(Status.PUBLISHED))

    def dead(self) -> Self:
        """Return the events that no message can carry, until they are retried."""
        return self.filter(pk__in=dead_ids().using(self.db))

    def with_status(self) -> Self:
        """Tell the status of each event in the same query; ``event.status`` asks no more then."""
        return self.annotate(delivery_status=status_of_row())

    def update(self, **_: Any) -> NoReturn:
        """Refuse: the relay reads inserts, so a change would never reach the stream."""
        raise AppendOnly("An event that was recorded cannot be changed; record another one.")

    def bulk_update(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse, as :meth:`update`."""
        self.update()


class OutboxManager(models.Manager[_E]):
    """Records events of one model."""

    def get_queryset(self) -> OutboxQuerySet[_E]:
        """Return all events that are still in the table."""
        return OutboxQuerySet(self.model, using=self._db)

    def using(self, alias: str | None) -> OutboxQuerySet[_E]:
        """Return all events of another database."""
        return self.get_queryset().using(alias)

    def pending(self) -> OutboxQuerySet[_E]:
        """Return the events that are not in the stream yet."""
        return self.get_queryset().pending()

    def published(self) -> OutboxQuerySet[_E]:
        """Return the events that the stream holds."""
        return self.get_queryset().published()

    def dead(self) -> OutboxQuerySet[_E]:
        """Return the events that no message can carry, until they are retried."""
        return self.get_queryset().dead()

    def with_status(self) -> OutboxQuerySet[_E]:
        """Tell the status of each event in the same query."""
        return self.get_queryset().with_status()

    def record(  # noqa: PLR0913 - an event has so many parts
        self,
        event_type: str,
        *,
        aggregate: Aggregate,
        payload: Payload = None,
        headers: Headers | None = None,
        id: UUID | None = None,  # noqa: A002 - the name of the column
        using: str | None = None,
    ) -> _E:
        """Record one event in the transaction that is running; see :func:`django_walpost.record`."""
        connection = self.connection_for([aggregate], using)
        return self.insert([self.build(event_type, aggregate, payload, headers, id)], connection)[0]

    def record_many(self, events: Iterable[Event], *, using: str | None = None) -> list[_E]:
        """Record events with one INSERT; see :func:`django_walpost.record_many`."""
        events = list(events)
        if not events:
            return []
        connection = self.connection_for([event.aggregate for event in events], using)
        rows = [
            self.build(event.event_type, event.aggregate, event.payload, event.headers, event.id) for event in events
        ]
        return self.insert(rows, connection)

    async def arecord(self, event_type: str, **event: Any) -> _E:
        """Record one event, from a coroutine."""
        return await sync_to_async(self.record)(event_type, **event)

    async def arecord_many(self, events: Iterable[Event], *, using: str | None = None) -> list[_E]:
        """Record events with one INSERT, from a coroutine."""
        return await sync_to_async(self.record_many)(events, using=using)

    def build(
        self,
        event_type: str,
        aggregate: Aggregate,
        payload: Payload,
        headers: Headers | None,
        id: UUID | None,  # noqa: A002 - the name of the column
    ) -> _E:
        """Return an event as a row that is not stored yet, with the headers of the context.

        Raises:
            InvalidEvent: no message can carry it.

        """
        kind, key = names_of(aggregate)
        event_type = checked_name("event type", event_type)
        all_headers = current_headers()
        if headers:
            all_headers.update(headers)
        row = self.model.from_values(id or uuid7(), kind, key, event_type, payload, checked_headers(all_headers))
        row.encode_payload()
        return row

    def insert(self, rows: list[_E], connection: BaseDatabaseWrapper) -> list[_E]:
        """Store built rows with one INSERT."""
        if not rows:
            return rows
        if self.model.has_plain_columns():
            insert(rows, self.model._meta.db_table, connection)
            return rows
        return self.get_queryset().using(connection.alias).bulk_create(rows)

    def connection_for(self, aggregates: Iterable[Aggregate], using: str | None) -> BaseDatabaseWrapper:
        """Return the database that events go to: the one where their aggregates are written.

        Raises:
            WrongDatabase: that is not one database, not the one that was asked for, or not Postgres.
            NotInTransaction: no transaction is running there.

        """
        asked = using or self._db
        aliases = {home for aggregate in aggregates if (home := _home_of(aggregate)) is not None}
        if asked or not aliases:
            aliases.add(asked or router.db_for_write(self.model))
        if len(aliases) > 1:
            raise WrongDatabase(
                f"The events and their aggregates are in several databases ({', '.join(sorted(aliases))}). One "
                "transaction cannot cover them: record each event in the database of its aggregate."
            )
        (alias,) = aliases
        return _connection_in_transaction(alias)


def _home_of(aggregate: Aggregate) -> str | None:
    """Return the database in which an aggregate is written, if it is a model instance."""
    return router.db_for_write(type(aggregate), instance=aggregate) if isinstance(aggregate, models.Model) else None


def _connection_in_transaction(alias: str) -> BaseDatabaseWrapper:
    """Return a database; refuse one that is not Postgres, or in which no transaction is running."""
    try:
        connection = connections[alias]
    except ConnectionDoesNotExist as error:
        raise WrongDatabase(f"There is no database {alias!r} in DATABASES.") from error
    if connection.vendor != "postgresql":
        raise WrongDatabase(f"The database {alias!r} is {connection.vendor}; the outbox is in Postgres.")
    if connection.in_atomic_block:
        # Code that works only in the transaction that TestCase puts around a test does not work.
        for block in getattr(connection, "atomic_blocks", [None]):
            if not getattr(block, "_from_testcase", False):
                return connection
    elif not connection.get_autocommit():
        return connection
    raise NotInTransaction(
        f"An event was recorded outside a transaction on the database {alias!r}. Record it inside the "
        f'`transaction.atomic(using="{alias}")` that changes the data, so that both are committed or neither.'
    )
