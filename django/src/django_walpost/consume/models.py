"""The inbox: which events were handled, and those that never could be."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class InboxMessage(models.Model):
    """An event that a consumer has handled, written in the transaction of the handler."""

    pk = models.CompositePrimaryKey("consumer", "message_id")
    consumer = models.TextField()
    message_id = models.TextField()
    handled_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "walpost_inbox"
        indexes = (models.Index(fields=["handled_at"], name="walpost_inbox_handled_at"),)

    def __str__(self) -> str:
        return f"{self.message_id} by {self.consumer}"


class DeadMessage(models.Model):
    """An event that a consumer has given up, with all that is needed to try it again."""

    consumer = models.TextField()
    message_id = models.TextField()
    subject = models.TextField()
    headers = models.JSONField(default=dict)
    data = models.BinaryField()
    stream = models.TextField()
    sequence = models.BigIntegerField()
    attempts = models.IntegerField()
    error = models.TextField()
    died_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "walpost_dead_message"
        constraints = (models.UniqueConstraint("consumer", "message_id", name="walpost_dead_message_once"),)

    def __str__(self) -> str:
        return f"{self.message_id} for {self.consumer}: {self.error}"
