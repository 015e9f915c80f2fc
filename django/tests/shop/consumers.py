"""The consumers of the test project."""

from __future__ import annotations

from django_walpost import record
from django_walpost.consume import GiveUp, Message, consumer
from tests.shop.models import Receipt


class Hopeless(Exception):
    pass


@consumer("outbox.order.>", durable="billing", max_attempts=3, backoff_seconds=(0.05,), ack_wait_seconds=1)
def bill(message: Message) -> None:
    """Write a receipt and record an event, unless the order says to fail."""
    Receipt.objects.create(event_id=message.id, consumer="billing", content=message.json())
    record("Billed", aggregate=("bill", message.aggregate_id))
    match message.json() or {}:
        case {"fail": times} if message.attempt <= times:
            raise Hopeless(f"attempt {message.attempt}")
        case {"give_up": str(why)}:
            raise GiveUp(why)


@consumer(["outbox.order.>", "outbox.bill.>"], durable="audit", concurrency=4, backoff_seconds=(0.05,))
def audit(message: Message) -> None:
    """Write a receipt for everything, several at once."""
    Receipt.objects.create(event_id=message.id, consumer="audit")
