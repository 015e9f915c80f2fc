"""One message in one transaction: the inbox says whether it is new, the handler does the rest."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError, connections, transaction

from django_walpost.consume.message import Message
from django_walpost.consume.models import DeadMessage
from django_walpost.consume.registry import GiveUp
from django_walpost.context import event_context

if TYPE_CHECKING:
    from django_walpost.consume.registry import Consumer

logger = logging.getLogger("django_walpost.consume")

_CLAIM = "INSERT INTO walpost_inbox (consumer, message_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"

#: An error's text in a row of its own; the traceback is in the log.
_ERROR_CHARACTERS = 2_000


class Outcome(enum.Enum):
    """What becomes of a message."""

    HANDLED = "handled"
    REPEATED = "repeated"
    """It was handled before; it is acknowledged again."""
    FAILED = "failed"
    """It comes again after a pause."""
    DEAD = "dead"
    """It is given up and kept as a dead message."""
    UNAVAILABLE = "unavailable"
    """The database is away, for which the message is not to blame: it is tried again without being counted."""


def handle(consumer: Consumer, message: Message) -> Outcome:
    """Handle a message once, whatever the handler does."""
    if message.attempt > consumer.max_attempts:
        return _bury(consumer, message, "The worker died each time.")
    connection = connections[consumer.using]
    try:
        connection.ensure_connection()
    except OperationalError as error:
        return _unavailable(consumer, error)
    session = connection.connection
    try:
        return Outcome.HANDLED if _handle_once(consumer, message) else Outcome.REPEATED
    except GiveUp as error:
        logger.warning("%s gives up %s: %s", consumer.durable, message.id, error)
        return _bury(consumer, message, _told(error))
    except Exception as error:
        # Django has opened another connection if the one with the transaction broke.
        if isinstance(error, OperationalError | InterfaceError) and connection.connection is not session:
            return _unavailable(consumer, error)
        logger.exception("%s failed at %s, attempt %d", consumer.durable, message.id, message.attempt)
        return _bury(consumer, message, _told(error)) if message.attempt >= consumer.max_attempts else Outcome.FAILED


def _unavailable(consumer: Consumer, error: Exception) -> Outcome:
    """Tell that the database is away."""
    logger.warning("%s waits for the database %r: %s", consumer.durable, consumer.using, error)
    return Outcome.UNAVAILABLE


def retry(consumer: Consumer, dead: DeadMessage) -> None:
    """Handle a dead message after all; an error of the handler leaves it as it was."""
    with transaction.atomic(using=consumer.using, durable=True):
        held = DeadMessage.objects.using(consumer.using).select_for_update().get(pk=dead.pk)
        message = Message(held.subject, bytes(held.data), held.headers, held.stream, held.sequence, held.attempts + 1)
        with event_context(message.context(), fresh=True):
            consumer.handler(message)
        held.delete()


def _handle_once(consumer: Consumer, message: Message) -> bool:
    """Run the handler in a transaction with the inbox; false if the message is not new."""
    with transaction.atomic(using=consumer.using, durable=True):
        if not _claim(consumer, message):
            return False
        with event_context(message.context(), fresh=True):
            consumer.handler(message)
        return True


def _claim(consumer: Consumer, message: Message) -> bool:
    """Note that a message is handled. Who claims the same one meanwhile waits for this transaction's end."""
    with connections[consumer.using].cursor() as cursor:
        cursor.execute(_CLAIM, [consumer.durable, message.id])
        return bool(cursor.rowcount)


def _bury(consumer: Consumer, message: Message, error: str) -> Outcome:
    """Keep a message as dead, and have it count as handled."""
    try:
        with transaction.atomic(using=consumer.using, durable=True):
            if _claim(consumer, message):
                DeadMessage.objects.using(consumer.using).create(
                    consumer=consumer.durable,
                    message_id=message.id,
                    subject=message.subject,
                    headers=dict(message.headers),
                    data=message.data,
                    stream=message.stream,
                    sequence=message.sequence,
                    attempts=message.attempt,
                    error=error,
                )
    except (OperationalError, InterfaceError):
        logger.exception("%s cannot keep the dead message %s", consumer.durable, message.id)
        return Outcome.UNAVAILABLE
    return Outcome.DEAD


def _told(error: Exception) -> str:
    """Return an error as a person would tell it."""
    return f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS].replace("\0", "")
