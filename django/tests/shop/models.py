"""The models of the test project."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import uuid4

from django.db import models

from django_walpost.managers import OutboxManager
from django_walpost.models import AbstractOutboxEvent, OutboxMixin


class Order(models.Model):
    total = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"order {self.pk}"


class RushOrder(Order):
    class Meta:
        proxy = True


class Customer(models.Model):
    """An aggregate with a type and an id of its own choice."""

    outbox_aggregate_type = "client"

    id = models.UUIDField(primary_key=True, default=uuid4)


class Line(models.Model):
    pk = models.CompositePrimaryKey("order_number", "position")
    order_number = models.IntegerField()
    position = models.IntegerField()


class Parcel(OutboxMixin, models.Model):
    """Tells of all its changes."""

    order = models.ForeignKey(Order, models.CASCADE, null=True)
    weight = models.IntegerField(default=1)

    def outbox_payload(self, change: str) -> Any:
        return {"id": self.pk, "weight": self.weight}


class Invoice(OutboxMixin, models.Model):
    """Tells only when it is made, by a name of its own."""

    outbox_events: ClassVar[dict[Any, str]] = {"created": "InvoiceIssued"}
    number = models.IntegerField()

    def outbox_payload(self, change: str) -> Any:
        if self.number < 0:
            raise ValueError("no such invoice")
        return {"number": self.number}

    def outbox_headers(self, change: str) -> dict[str, Any]:
        return {"change": change}


class BinaryEvent(AbstractOutboxEvent):
    """An outbox table with a binary payload."""

    payload = models.BinaryField(null=True)

    objects: ClassVar[OutboxManager[BinaryEvent]] = OutboxManager()  # type: ignore[assignment]

    class Meta:
        db_table = "binary_outbox"


class Receipt(models.Model):
    """What a consumer writes. Nothing here prevents a second one."""

    event_id = models.TextField()
    consumer = models.TextField()
    content = models.JSONField(null=True)
