"""Deleting what is delivered: the statements with which the relay does it, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections

from django_walpost.models import OutboxEvent
from django_walpost.operations import CreateDeadLetterTable, CreateWatermarkTable
from django_walpost.sql_files import filled, qualified

if TYPE_CHECKING:
    from datetime import timedelta


def held_up(using: str) -> str | None:
    """Return why nothing may be deleted, if that is so: every slot must have said what it has delivered."""
    slots = 0
    with connections[using].cursor() as cursor:
        watermark = qualified(connections[using], CreateWatermarkTable.table)
        cursor.execute(filled("retention/known", watermark=watermark))
        for slot, is_here, is_known in cursor.fetchall():
            slots += 1
            if not is_here:
                return f"what slot {slot!r} has delivered was said on another server"
            if not is_known:
                return f"slot {slot!r} has not said yet what it has delivered"
    return None if slots else "no relay has delivered yet"


def prune(using: str, age: timedelta, batch: int) -> tuple[int, int]:
    """Delete events that every slot has delivered and that are older, and dead letters decided about before that.

    Return how many of each. A batch is one statement, so that no lock is held for long, and rows that somebody has
    locked stay.
    """
    connection = connections[using]
    places = {
        "watermark": qualified(connection, CreateWatermarkTable.table),
        "dead_letter": qualified(connection, CreateDeadLetterTable.table),
        "table": qualified(connection, OutboxEvent._meta.db_table),
        "id": '"id"',
        "id_type": "uuid",
        "created_at": '"created_at"',
        "age": f"{age.total_seconds():.3f}",
        "most": str(batch),
    }
    events = letters = 0
    start, skip, goes_on = "0", 0, True
    with connection.cursor() as cursor:
        while goes_on:
            statement = filled("retention/rows", part=places["table"], **{"from": start}, skip=str(skip), **places)
            cursor.execute(statement)
            looked, old, deleted, last, stayed = cursor.fetchone()
            events += deleted
            # As the relay: rows come in about the order of their age.
            goes_on = looked == batch and old > 0
            start, skip = last, stayed + (skip if last == start else 0)
        while True:
            cursor.execute(filled("retention/letters", **places))
            letters += cursor.rowcount
            if cursor.rowcount < batch:
                return events, letters
