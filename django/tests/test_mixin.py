"""Models that tell of their changes."""

from __future__ import annotations

import pytest
from django.core import serializers
from django.db import transaction

from django_walpost.models import OutboxEvent
from tests.shop.models import Invoice, Order, Parcel

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def told(using: str = "default") -> list[tuple[str, str]]:
    found = OutboxEvent.objects.using(using).order_by("id")
    return [(event.event_type, event.aggregate_id) for event in found]


def test_each_change_records_its_event() -> None:
    parcel = Parcel.objects.create(weight=2)
    key = str(parcel.pk)
    parcel.weight = 3
    parcel.save()
    parcel.delete()
    assert told() == [("ParcelCreated", key), ("ParcelUpdated", key), ("ParcelDeleted", key)]
    weights = [event.payload["weight"] for event in OutboxEvent.objects.order_by("id")]
    assert weights == [2, 3, 3]


def test_deletions_by_query_and_by_cascade_are_told() -> None:
    order = Order.objects.create()
    Parcel.objects.create(order=order)
    Parcel.objects.create()
    OutboxEvent.objects.all().delete()
    Parcel.objects.filter(order=None).delete()
    order.delete()
    assert [kind for kind, _ in told()] == ["ParcelDeleted"] * 2


def test_a_model_chooses_changes_names_and_headers() -> None:
    invoice = Invoice.objects.create(number=5)
    invoice.save()
    invoice.delete()
    event = OutboxEvent.objects.get()
    assert (event.event_type, event.payload, event.headers) == ("InvoiceIssued", {"number": 5}, {"change": "created"})


def test_a_row_without_its_event_is_not_saved() -> None:
    with pytest.raises(ValueError, match="no such invoice"), transaction.atomic():
        Invoice.objects.create(number=-1)
    assert not Invoice.objects.exists()


def test_the_event_goes_to_the_database_of_the_row() -> None:
    parcel = Parcel(weight=1)
    parcel.save(using="other")
    assert told("other") == [("ParcelCreated", str(parcel.pk))]
    Parcel.objects.using("other").get().delete()
    assert len(told("other")) == 2
    assert told() == []


def test_loading_a_fixture_tells_nothing() -> None:
    data = '[{"model": "shop.parcel", "pk": 9, "fields": {"weight": 1, "order": null}}]'
    for parcel in serializers.deserialize("json", data):
        parcel.save()
    assert Parcel.objects.count() == 1
    assert told() == []
