"""What can go wrong. Everything is raised inside the business transaction, so that it rolls back."""

from __future__ import annotations

from django.db.transaction import TransactionManagementError


class OutboxError(Exception):
    """The base of all errors of this package."""


class NotInTransaction(OutboxError, TransactionManagementError):
    """An event was to be recorded outside ``atomic`` on its database.

    It would be committed by itself, whatever becomes of the change that it tells of.
    """


class WrongDatabase(OutboxError):
    """The event would go to another database than the change that it tells of, or to none."""


class InvalidEvent(OutboxError, ValueError):
    """No message can carry the event: a bad name, header or key."""


class PayloadNotSerializable(InvalidEvent):
    """The payload is not what the payload column holds: JSON, unless you chose another column."""


class EventTooLarge(InvalidEvent):
    """The payload or the headers have more bytes than the broker takes."""


class NotPublished(OutboxError, TimeoutError):
    """An event did not reach the stream in time."""


class DeadLettered(OutboxError):
    """An event will not reach the stream: no message can carry it."""


class AppendOnly(OutboxError):
    """A recorded event was to be changed. The change would never reach the stream."""
