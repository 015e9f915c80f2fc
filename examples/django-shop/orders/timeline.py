"""Orders with what is known of their events."""

from django.db.models import Q
from django_walpost.models import OutboxEvent

from orders.models import Order


def latest_orders(count: int = 8) -> list[Order]:
    """Return the latest orders, each with its events in `order.timeline`: three queries, however many orders.

    `with_status` tells of each event whether the stream holds it. No column says so, and nothing was updated: the
    database works it out from the relay's watermark.
    """
    orders = list(Order.objects.prefetch_related("payments")[:count])
    owners: dict[tuple[str, str], Order] = {}
    for order in orders:
        order.timeline = []
        owners["order", str(order.pk)] = order
        owners.update({("payment", str(payment.pk)): order for payment in order.payments.all()})
    wanted = Q(pk__in=[])
    for kind in ("order", "payment"):
        wanted |= Q(aggregate_type=kind, aggregate_id__in=[key for owner, key in owners if owner == kind])
    for event in OutboxEvent.objects.with_status().filter(wanted).order_by("id"):
        owners[event.aggregate_type, event.aggregate_id].timeline.append(event)
    return orders
