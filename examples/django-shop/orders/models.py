"""What the shop keeps. Nothing here knows of events."""

from django.db import models


class Order(models.Model):
    """What a customer wants."""

    class State(models.TextChoices):
        """How far it is."""

        PLACED = "placed", "to be paid"
        PAID = "paid", "paid"
        CANCELLED = "cancelled", "cancelled"

    customer = models.CharField(max_length=80)
    item = models.CharField(max_length=80)
    total_cents = models.PositiveIntegerField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.PLACED)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"order {self.pk}: {self.item} for {self.customer}"

    @property
    def total(self) -> str:
        """The price for people."""
        return f"€{self.total_cents / 100:.2f}"


class Payment(models.Model):
    """Money that came in for an order."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="payments")
    amount_cents = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"payment {self.pk} for order {self.order_id}"
