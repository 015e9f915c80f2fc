"""A message of the stream, as a handler gets it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVENT_TYPE = "Walpost-Event-Type"
_AGGREGATE_TYPE = "Walpost-Aggregate-Type"
_AGGREGATE_ID = "Walpost-Aggregate-Id"
#: Headers of the broker and the relay; the others are the producer's.
_RESERVED = ("nats-", "walpost-")


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """An event as it came out of the stream."""

    subject: str
    data: bytes
    """The payload, byte for byte; empty for a tombstone."""
    headers: Mapping[str, str]
    stream: str
    sequence: int
    """Its place in the stream."""
    attempt: int = 1
    """How often the broker has handed it out, this time included."""

    @property
    def id(self) -> str:
        """The event's id, by which repetitions are told."""
        return self.headers.get("Nats-Msg-Id") or f"{self.stream}:{self.sequence}"

    @property
    def event_type(self) -> str:
        """What happened."""
        return self.headers.get(_EVENT_TYPE, "")

    @property
    def aggregate_type(self) -> str:
        """What kind of thing it happened to."""
        return self.headers.get(_AGGREGATE_TYPE, "")

    @property
    def aggregate_id(self) -> str:
        """Which one it happened to."""
        return self.headers.get(_AGGREGATE_ID, "")

    def json(self) -> Any:
        """Return the payload as JSON; None for a tombstone."""
        return json.loads(self.data) if self.data else None

    def context(self) -> dict[str, str]:
        """Return the headers for events that this one causes: the producer's, with this event as their cause.

        An event without a correlation id begins a correlation of its own.
        """
        inherited = {name: value for name, value in self.headers.items() if not name.lower().startswith(_RESERVED)}
        return {"correlation_id": self.id, **inherited, "causation_id": self.id}
