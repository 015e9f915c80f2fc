"""What projects test with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import transaction
from django.test import TestCase

from django_walpost import record
from django_walpost.testing import capture_events
from tests.shop.models import BinaryEvent, Order

if TYPE_CHECKING:
    from django_walpost.testing import CapturedEvents


class InTestCase(TestCase):
    """The helper is for the TestCase of Django, too."""

    def test_events_are_captured_without_a_commit(self) -> None:
        with transaction.atomic():
            record("Before", aggregate=("a", 1))
        with capture_events() as events, transaction.atomic():
            record("E", aggregate=("a", 1), payload=1)
            assert events.types == ["E"]
        with transaction.atomic():
            record("After", aggregate=("a", 1))
        assert events.types == ["E"]
        assert events[0].payload == 1
        assert [event.event_type for event in events[:5]] == ["E"]


def test_what_rolls_back_is_not_captured(outbox_events: CapturedEvents) -> None:
    with transaction.atomic():
        record("Kept", aggregate=("a", 1))
        with pytest.raises(ValueError, match="stop"), transaction.atomic():
            record("Lost", aggregate=("a", 1))
            raise ValueError("stop")
    assert outbox_events.types == ["Kept"]


def test_one_event_is_found_by_what_matters(outbox_events: CapturedEvents) -> None:
    order = Order.objects.create()
    with transaction.atomic():
        record("OrderPlaced", aggregate=order, payload={"total": 7}, headers={"tenant": "a"})
        record("OrderPlaced", aggregate=("order", "x"), payload=None, headers={"tenant": "a", "n": 1})
    assert outbox_events.one("OrderPlaced", aggregate=order).payload == {"total": 7}
    assert outbox_events.one(payload=None) == outbox_events.one(headers={"n": 1}) == outbox_events[1]
    assert outbox_events.one(payload={"total": 7}) == outbox_events[0]
    assert len(outbox_events.matching("OrderPlaced", headers={"tenant": "a"})) == 2
    assert outbox_events.matching("OrderPaid") == []
    with pytest.raises(
        AssertionError, match=r"2 events match \('OrderPlaced'\), not one. Recorded: \[OrderPlaced order"
    ):
        outbox_events.one("OrderPlaced")
    with pytest.raises(AssertionError, match=r"0 events match \(None, payload=8\)"):
        outbox_events.one(payload=8)


@pytest.mark.django_db(databases=["default", "other"])
def test_another_database_and_another_model_can_be_captured() -> None:
    with capture_events(using="other") as there, capture_events(model=BinaryEvent) as binary:
        with transaction.atomic(using="other"):
            record("There", aggregate=("a", 1), using="other")
        with transaction.atomic():
            record("Here", aggregate=("a", 1))
            BinaryEvent.objects.record("Binary", aggregate=("a", 1), payload=b"\xff")
    assert (there.types, binary.types) == (["There"], ["Binary"])
