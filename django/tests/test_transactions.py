"""Events are committed with the change that they tell of, and with nothing else."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from django_walpost import PayloadNotSerializable, record
from django_walpost.models import OutboxEvent
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


class Stop(Exception):
    pass


def event_types(using: str = "default") -> list[str]:
    return list(OutboxEvent.objects.using(using).order_by("id").values_list("event_type", flat=True))


def test_a_commit_keeps_both_and_a_rollback_neither() -> None:
    with transaction.atomic():
        record("Kept", aggregate=Order.objects.create())
    with pytest.raises(Stop), transaction.atomic():
        record("Lost", aggregate=Order.objects.create())
        raise Stop
    assert event_types() == ["Kept"]
    assert Order.objects.count() == 1


def test_a_savepoint_takes_its_events_along() -> None:
    with transaction.atomic():
        record("Outer", aggregate=("a", 1))
        with pytest.raises(Stop), transaction.atomic():
            record("Inner", aggregate=("a", 1))
            raise Stop
        with transaction.atomic():
            record("Second", aggregate=("a", 1))
    assert event_types() == ["Outer", "Second"]


def test_nested_blocks_without_savepoint_count_as_one() -> None:
    with transaction.atomic(), transaction.atomic(savepoint=False):
        record("E", aggregate=("a", 1))
    with pytest.raises(Stop), transaction.atomic():
        with transaction.atomic(savepoint=False):
            record("F", aggregate=("a", 1))
        raise Stop
    assert event_types() == ["E"]


def test_an_error_of_recording_rolls_the_change_back() -> None:
    with pytest.raises(PayloadNotSerializable), transaction.atomic():
        record("E", aggregate=Order.objects.create(), payload=object())
    assert not Order.objects.exists()


def test_two_databases_have_two_outboxes() -> None:
    with transaction.atomic(using="other"), pytest.raises(Stop), transaction.atomic():
        record("Here", aggregate=("a", 1), using="default")
        record("There", aggregate=("a", 1), using="other")
        raise Stop
    assert (event_types(), event_types("other")) == ([], ["There"])


def test_a_transaction_without_atomic_counts() -> None:
    connection.set_autocommit(False)
    try:
        record("E", aggregate=("a", 1))
        connection.commit()
        record("F", aggregate=("a", 1))
        connection.rollback()
    finally:
        connection.set_autocommit(True)
    assert event_types() == ["E"]


def test_one_transaction_writes_one_xid() -> None:
    with transaction.atomic():
        first, second = (record("E", aggregate=("a", 1)) for _ in range(2))
    with transaction.atomic():
        third = record("E", aggregate=("a", 1))
    assert first.xid == second.xid < third.xid
