"""Events that are recorded when a piece of work succeeds."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_walpost import InvalidEvent, WrongDatabase, emits, emitting
from django_walpost.models import OutboxEvent
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(databases=["default", "other"])


@emits("OrderPlaced", payload=lambda order: {"total": order.total}, headers=lambda order: {"n": order.total})
def place(total: int) -> Order:
    """Place an order."""
    order = Order.objects.create(total=total)
    if total < 0:
        raise ValueError(total)
    return order


def test_a_decorated_function_records_an_event_about_its_result() -> None:
    order = place(7)
    event = OutboxEvent.objects.get()
    assert (event.event_type, event.aggregate_id, event.payload) == ("OrderPlaced", str(order.pk), {"total": 7})
    assert event.headers == {"n": 7}
    assert (place.__name__, place.__doc__) == ("place", "Place an order.")


def test_a_function_that_fails_changes_and_records_nothing() -> None:
    with pytest.raises(ValueError, match="-1"):
        place(-1)
    assert not OutboxEvent.objects.exists()
    assert not Order.objects.exists()


def test_the_aggregate_can_be_chosen_and_is_checked() -> None:
    @emits("Counted", aggregate=lambda result: ("count", result))
    def count() -> int:
        return 3

    @emits("Counted")
    def forgets() -> None:
        Order.objects.create()

    assert count() == 3
    assert OutboxEvent.objects.get().aggregate_id == "3"
    with pytest.raises(InvalidEvent, match="The aggregate is None"):
        forgets()
    assert not Order.objects.exists()


def test_coroutine_functions_are_refused_when_they_are_decorated() -> None:
    async def place_async() -> None: ...

    with pytest.raises(TypeError, match="coroutine function"):
        emits("E")(place_async)


def test_a_block_records_its_events_with_one_insert() -> None:
    with CaptureQueriesContext(connection) as queries, emitting() as emit:
        for n in range(3):
            emit("E", aggregate=("a", n), payload=n)
        assert not OutboxEvent.objects.exists()
    assert sum("INSERT INTO" in query["sql"] for query in queries) == 1
    assert [event.payload for event in OutboxEvent.objects.order_by("id")] == [0, 1, 2]
    assert [event.xid is not None for event in emit.events] == [True] * 3


def test_a_block_that_fails_records_nothing() -> None:
    def work() -> None:
        with emitting() as emit:
            emit("E", aggregate=Order.objects.create())
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        work()
    assert not OutboxEvent.objects.exists()
    assert not Order.objects.exists()


def test_an_event_is_recorded_as_it_was_when_it_was_added() -> None:
    payload: dict[str, Any] = {"items": [1]}
    with emitting() as emit:
        emit("E", aggregate=("a", 1), payload=payload)
        payload["items"].append(2)
    assert OutboxEvent.objects.get().payload == {"items": [1]}


def test_errors_come_where_the_event_is_added() -> None:
    with emitting() as emit:
        with pytest.raises(InvalidEvent):
            emit("E", aggregate=("a", 1), payload=object())
        emit("F", aggregate=("a", 1))
    assert OutboxEvent.objects.get().event_type == "F"


def test_a_block_is_of_one_database() -> None:
    with emitting("other") as emit:
        emit("E", aggregate=("a", 1))
        with transaction.atomic(), pytest.raises(WrongDatabase):
            emit("E", aggregate=Order.objects.create())
    assert OutboxEvent.objects.using("other").count() == 1
