"""The transactional outbox for Django: events are recorded with the data they tell of, and walpost delivers them.

Everything for the service layer is here; models are in :mod:`django_walpost.models`.
"""

from django_walpost.context import current_headers, event_context
from django_walpost.emit import emits, emitting
from django_walpost.events import Event
from django_walpost.exceptions import (
    AppendOnly,
    DeadLettered,
    EventTooLarge,
    InvalidEvent,
    NotInTransaction,
    NotPublished,
    OutboxError,
    PayloadNotSerializable,
    WrongDatabase,
)
from django_walpost.recording import arecord, arecord_many, record, record_many

__all__ = [
    "AppendOnly",
    "DeadLettered",
    "Event",
    "EventTooLarge",
    "InvalidEvent",
    "NotInTransaction",
    "NotPublished",
    "OutboxError",
    "PayloadNotSerializable",
    "WrongDatabase",
    "arecord",
    "arecord_many",
    "current_headers",
    "emits",
    "emitting",
    "event_context",
    "record",
    "record_many",
]
