"""A mixin for models that record an event whenever a row is created, updated or deleted."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias

from django.db import models, router, transaction
from django.db.models.signals import class_prepared, post_delete
from django.dispatch import receiver

from django_walpost.recording import record

Change: TypeAlias = Literal["created", "updated", "deleted"]


class OutboxMixin(models.Model):
    """Record an event with each ``save`` and each deletion, in one transaction with it.

    ::

        class Order(OutboxMixin, models.Model):
            outbox_events = {"created": "OrderPlaced", "deleted": "OrderCancelled"}

            def outbox_payload(self, change):
                return {"id": self.pk, "total": self.total}

    What does not call ``save`` records nothing: ``QuerySet.update``, ``bulk_create``, ``bulk_update``, and the loading
    of fixtures. Deletions are seen however they come about: by a query set and by a cascade as well.
    """

    #: The event type of each change that is recorded. By default all of them: ``OrderCreated`` and so on.
    outbox_events: ClassVar[dict[Change, str] | None] = None
    #: The aggregate type; by default the model's name in lower case.
    outbox_aggregate_type: ClassVar[str | None] = None

    class Meta:
        abstract = True

    def outbox_payload(self, change: Change) -> Any:
        """Return what consumers get. There is no default: not every column is meant for everybody."""
        raise NotImplementedError(
            f"{type(self).__name__}.outbox_payload() says what its events carry; please write it."
        )

    def outbox_headers(self, change: Change) -> dict[str, Any] | None:
        """Return more headers for the message."""
        return None

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row and record its event."""
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        change: Change = "created" if self._state.adding else "updated"
        with transaction.atomic(using=using, savepoint=False):
            super().save(*args, **kwargs)
            self._record(change, using)

    def _record(self, change: Change, using: str) -> None:
        """Record the event of a change, if the model has one for it."""
        events = self.outbox_events
        event_type = f"{type(self).__name__}{change.title()}" if events is None else events.get(change)
        if event_type is not None:
            payload, headers = self.outbox_payload(change), self.outbox_headers(change)
            record(event_type, aggregate=self, payload=payload, headers=headers, using=using)


@receiver(class_prepared)
def _watch_deletions(sender: type[models.Model], **_: object) -> None:
    """Have deletions of a model with the mixin told, also those that do not call its ``delete``."""
    if issubclass(sender, OutboxMixin):
        post_delete.connect(_record_deletion, sender=sender)


def _record_deletion(instance: OutboxMixin, using: str, **_: object) -> None:
    """Record that a row was deleted, in the transaction of Django's collector."""
    instance._record("deleted", using)
