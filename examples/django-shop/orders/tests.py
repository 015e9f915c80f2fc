"""The shop's own tests: they need Postgres, and neither a broker nor the relay."""

from django.test import TestCase
from django_walpost.testing import capture_events

from orders import services
from orders.models import Order


class Ordering(TestCase):
    """What is told of an order."""

    def setUp(self) -> None:
        """Have an order."""
        self.order = services.place_order("Ada", "A kettle", 2490)

    def test_a_payment_tells_of_the_payment_and_of_the_order(self) -> None:
        """Both, in this order, with one INSERT."""
        with capture_events() as events:
            payment = services.pay(self.order.pk)
        self.assertEqual(events.types, ["PaymentReceived", "OrderPaid"])
        self.assertEqual(events.one("PaymentReceived", aggregate=payment).payload["amount_cents"], 2490)

    def test_a_declined_card_changes_nothing_and_tells_nothing(self) -> None:
        """The events are rolled back with the data."""
        with capture_events() as events, self.assertRaises(services.CardDeclined):
            services.pay(self.order.pk, card_is_good=False)
        self.order.refresh_from_db()
        self.assertEqual((self.order.state, self.order.payments.count()), (Order.State.PLACED, 0))
        self.assertEqual(events.types, [])

    def test_an_order_is_paid_or_cancelled_once(self) -> None:
        """Whatever comes second is refused, and not told."""
        services.cancel(self.order.pk)
        with capture_events() as events, self.assertRaises(services.NotOpen):
            services.pay(self.order.pk)
        self.assertEqual(events.types, [])
