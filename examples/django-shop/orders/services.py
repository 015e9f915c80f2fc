"""What the shop does: each function changes data and records what happened, in one transaction.

There are three ways to record, and here is one of each. If a function raises, its changes are rolled back and its
events with them; if it returns, walpost will store them in the stream, whatever crashes.
"""

from django.db import transaction
from django_walpost import emits, emitting, record

from orders.models import Order, Payment


class CardDeclined(Exception):
    """The bank does not pay."""


class NotOpen(Exception):
    """The order is paid or cancelled already."""


@transaction.atomic
def place_order(customer: str, item: str, total_cents: int) -> Order:
    """Take an order. The plain way: `record` inside `atomic`."""
    order = Order.objects.create(customer=customer, item=item, total_cents=total_cents)
    record("OrderPlaced", aggregate=order, payload={"customer": customer, "item": item, "total_cents": total_cents})
    return order


def pay(order_id: int, *, card_is_good: bool = True) -> Payment:
    """Take the money for an order. Several events: `emitting` stores them with one INSERT when the block succeeds."""
    with emitting() as emit:
        order = open_order(order_id)
        order.state = Order.State.PAID
        order.save()
        payment = Payment.objects.create(order=order, amount_cents=order.total_cents)
        emit("PaymentReceived", aggregate=payment, payload={"order": order.pk, "amount_cents": payment.amount_cents})
        emit("OrderPaid", aggregate=order, payload={"payment": payment.pk})
        if not card_is_good:
            raise CardDeclined  # only now: the order is as it was, there is no payment, and nobody hears of one
    return payment


@emits("OrderCancelled", payload=lambda order: {"total_cents": order.total_cents})
def cancel(order_id: int) -> Order:
    """Cancel an order. One event about the result: the decorator opens the transaction and records."""
    order = open_order(order_id)
    order.state = Order.State.CANCELLED
    order.save()
    return order


def open_order(order_id: int) -> Order:
    """Return an order that is neither paid nor cancelled, locked, so that nobody else pays it meanwhile."""
    order = Order.objects.select_for_update().filter(pk=order_id, state=Order.State.PLACED).first()
    if order is None:
        raise NotOpen
    return order
