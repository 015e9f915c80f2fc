"""What a project's own tests need: the events that a piece of code records, without a broker.

::

    with capture_events() as events:
        place_order(cart)
    event = events.one("OrderPlaced", aggregate=order)
    assert event.payload["total"] == 7
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, overload

from django_walpost.encoding import json_text
from django_walpost.events import names_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from django_walpost.events import Aggregate
    from django_walpost.models import AbstractOutboxEvent

#: Stands for a value that does not matter, where None is a value.
_ANY: Any = object()


class CapturedEvents(Sequence[Any]):
    """The events that were written since the capture began, in their order; what rolled back is not there."""

    def __init__(self, model: type[AbstractOutboxEvent], using: str) -> None:
        self._rows = model.objects.using(using).order_by("id")
        self._before: set[UUID] = set(self._rows.values_list("id", flat=True))
        self._at_end: list[Any] | None = None

    @property
    def types(self) -> list[str]:
        """The types of the events: ``assert events.types == ["OrderPlaced", "PaymentTaken"]``."""
        return [event.event_type for event in self]

    def matching(
        self,
        event_type: str | None = None,
        *,
        aggregate: Aggregate | None = None,
        payload: Any = _ANY,
        headers: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Return the events of this type and aggregate, with exactly this payload and at least these headers."""
        names = None if aggregate is None else names_of(aggregate)
        return [
            event
            for event in self
            if event_type in (None, event.event_type)
            and names in (None, (event.aggregate_type, event.aggregate_id))
            and (payload is _ANY or event.payload == _plain(payload))
            and _plain(headers or {}).items() <= event.headers.items()
        ]

    def one(self, event_type: str | None = None, **wanted: Any) -> Any:
        """Return the only event that matches, as :meth:`matching` does.

        Raises:
            AssertionError: there is none or more than one; the message says what there is.

        """
        found = self.matching(event_type, **wanted)
        if len(found) != 1:
            asked = ", ".join([repr(event_type), *(f"{name}={value!r}" for name, value in wanted.items())])
            raise AssertionError(f"{len(found)} events match ({asked}), not one. Recorded: {self!r}")
        return found[0]

    def finish(self) -> None:
        """Keep the events as they are now."""
        self._at_end = self._now()

    def _now(self) -> list[Any]:
        """Return the events."""
        return (
            [event for event in self._rows.all() if event.id not in self._before]
            if self._at_end is None
            else self._at_end
        )

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._now()[index]

    def __len__(self) -> int:
        return len(self._now())

    def __repr__(self) -> str:
        shown = (f"{e.event_type} {e.aggregate_type} {e.aggregate_id} {e.payload!r} {e.headers!r}" for e in self)
        return "[" + "; ".join(shown) + "]"


@contextmanager
def capture_events(using: str = "default", model: type[AbstractOutboxEvent] | None = None) -> Iterator[CapturedEvents]:
    """Capture the events that a block writes. It works in ``TestCase``, and needs neither relay nor broker.

    The events are those in the table, so what rolls back is not there, and it does not matter how they were written.
    """
    from django_walpost.models import OutboxEvent

    events = CapturedEvents(model or OutboxEvent, using)
    yield events
    events.finish()


def _plain(value: Any) -> Any:
    """Return a value as it comes back from the table."""
    return None if value is None else json.loads(json_text(value))
