"""From what the caller says to a row: the aggregate's name, and values that a message can carry.

What the relay would have to turn into a dead letter, or leave out, is refused here, where somebody can see it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from django_walpost.exceptions import EventTooLarge, InvalidEvent

if TYPE_CHECKING:
    #: A saved model instance, or its type and its id.
    from collections.abc import Mapping

    Aggregate: TypeAlias = models.Model | tuple[str, str | int | UUID]
    #: Anything that Django's JSON encoder takes; bytes; None for a tombstone.
    Payload: TypeAlias = Any
    #: Values are texts, or JSON that becomes text.
    Headers: TypeAlias = Mapping[str, Any]

#: Types of ids that have one obvious form as text.
_IDS = (str, int, UUID)

#: Each becomes one token of the subject, where a byte can take three; a subject has 1,024.
_MAX_TYPE_BYTES = 150
_MAX_ID_BYTES = 1_024
_MAX_HEADERS = 64
_MAX_HEADER_BYTES = 16_384
_MAX_HEADERS_BYTES = 32_768

#: What could end a header's line, or is taken off by readers.
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|^\s|\s$")
#: Some servers look for these names in the whole header block.
_BROKER_NAME = re.compile(r"Nats-(?:Msg-Id|Expected-|Rollup|TTL|Schedule|Batch-|Incr|Stream-Source)")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
#: The names that a program uses are few.
_REMEMBERED_NAMES = 1_024
_RESERVED = re.compile(r"(?:nats-|walpost-)|status$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """An event that is to be recorded, for :func:`django_walpost.record_many`."""

    event_type: str
    """What happened: ``OrderPlaced``."""
    aggregate: Aggregate
    """What it happened to: a saved model instance, or ``(type, id)``."""
    payload: Payload = None
    """What consumers get: anything that Django's JSON encoder takes. None is a tombstone: a message without body."""
    headers: Headers | None = None
    """More headers for the message. A value of None takes out a header of the context."""
    id: UUID | None = None
    """The message's id, by which consumers tell repetitions; a new one if it is not given."""


def names_of(aggregate: Aggregate) -> tuple[str, str]:
    """Return type and id of an aggregate.

    Raises:
        InvalidEvent: it has none, or none that a message can carry.

    """
    match aggregate:
        case models.Model():
            kind, key = type_of(type(aggregate)), aggregate.pk
            if key is None:
                raise InvalidEvent(f"The {kind} has no primary key yet. Save it before you record its event.")
        case (str(kind), key):
            pass
        case _:
            raise InvalidEvent(f"The aggregate is {aggregate!r}. It must be a model instance or a pair (type, id).")
    if isinstance(key, bool) or not isinstance(key, _IDS):
        raise InvalidEvent(
            f"The {kind}'s id is {key!r}. Only a text, a number or a UUID has one obvious form; pass (type, id)."
        )
    return checked_name("aggregate type", kind), _checked("aggregate id", str(key), _MAX_ID_BYTES)


def type_of(model: type[models.Model]) -> str:
    """Return the aggregate type of a model: its ``outbox_aggregate_type``, or its name in lower case."""
    named = getattr(model, "outbox_aggregate_type", None)
    concrete = model._meta.concrete_model or model
    return named if isinstance(named, str) else str(concrete._meta.model_name)


def checked_name(what: str, value: str) -> str:
    """Return the name of an event or aggregate type if a message can carry it."""
    if not isinstance(value, str):
        raise InvalidEvent(f"The {what} is {value!r}, not a text.")
    _check_type(what, value)
    return value


def checked_headers(headers: Headers) -> dict[str, Any]:
    """Return the headers without those that are None, if a message can carry them.

    Raises:
        InvalidEvent: a name or value that the relay would leave out.
        EventTooLarge: more of them than the broker takes.

    """
    kept: dict[str, Any] = {}
    total = 0
    for name, value in headers.items():
        if value is None:
            continue
        _check_header_name(name)
        if not isinstance(value, str):
            kept[name] = _plain_json(name, value)
            size = len(json.dumps(kept[name]))
        else:
            kept[name] = value
            if not _is_sendable(value):
                raise InvalidEvent(
                    f"The header {name!r} has a value with a control character, a blank at an end, or a broker's name."
                )
            size = _bytes(value)
        if size > _MAX_HEADER_BYTES:
            raise EventTooLarge(f"The header {name!r} has {size} bytes; {_MAX_HEADER_BYTES} are possible.")
        total += len(name) + size
    if len(kept) > _MAX_HEADERS or total > _MAX_HEADERS_BYTES:
        raise EventTooLarge(
            f"The event has {len(kept)} headers of {total} bytes; {_MAX_HEADERS} of {_MAX_HEADERS_BYTES} are possible."
        )
    return kept


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _check_type(what: str, value: str) -> None:
    """Refuse the name of an event or aggregate type that no message can carry."""
    _checked(what, value, _MAX_TYPE_BYTES)


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _check_header_name(name: str) -> None:
    """Refuse a header's name that no message can carry."""
    if not _HEADER_NAME.fullmatch(str(name)) or name != str(name):
        raise InvalidEvent(f"A header is named {name!r}. It must be visible ASCII without a colon.")
    if _RESERVED.match(name) or _BROKER_NAME.search(name):
        raise InvalidEvent(f"The header name {name!r} is reserved for the broker and the relay.")


def _plain_json(name: str, value: Any) -> Any:
    """Return a header's value as Postgres will give it back."""
    try:
        return json.loads(json.dumps(value, cls=DjangoJSONEncoder, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidEvent(f"The header {name!r} is not JSON: {error}.") from error


def _checked(what: str, value: str, limit: int) -> str:
    """Return a value that stands in a subject or header if it can stand there."""
    if not value or not _is_sendable(value):
        raise InvalidEvent(
            f"The {what} is {value!r}. It must not be empty, nor have control characters, blanks at its ends, or a "
            "broker's name."
        )
    size = _bytes(value)
    if size > limit:
        raise InvalidEvent(f"The {what} has {size} bytes; {limit} are possible.")
    return value


def _is_sendable(text: str) -> bool:
    """Tell whether a text can stand in a header's line."""
    if text.isascii() and text.isprintable():  # almost always, and told without a pattern
        return text.strip(" ") == text and ("Nats-" not in text or not _BROKER_NAME.search(text))
    return not (_UNSENDABLE.search(text) or _BROKER_NAME.search(text))


def _bytes(text: str) -> int:
    """Return how many bytes a text has in a message."""
    return len(text) if text.isascii() else len(text.encode())
