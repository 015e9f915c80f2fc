"""``manage.py outbox_prune``: delete what is published and old."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from django_walpost.pruning import held_up, prune

if TYPE_CHECKING:
    from argparse import ArgumentParser

_AGE = re.compile(r"(\d+)([smhd])")
#: In SQL, because Django deletes rows with a key of two columns one by one.
_DELETE_HANDLED = """
DELETE FROM walpost_inbox
 WHERE (consumer, message_id) IN (
       SELECT consumer, message_id FROM walpost_inbox WHERE handled_at < now() - %s * interval '1 second' LIMIT %s)"""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    """Delete old events in small batches."""

    help = (
        "Delete events that the streams of all slots hold and that are older than an age, in small batches. An event "
        "that is pending, or a dead letter that nobody has decided about, is never deleted. The relay can do it, too: "
        "see retention.delete_after there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("--database", default="default")
        parser.add_argument("--older-than", default="7d", help="an age: 90s, 30m, 12h, 7d (default: 7d)")
        parser.add_argument("--batch", type=int, default=1000, help="rows in a transaction (default: 1000)")
        parser.add_argument("--inbox", action="store_true", help="also what consumers have handled before that")

    def handle(self, *, database: str, **options: Any) -> None:
        """Delete them."""
        found = _AGE.fullmatch(options["older_than"])
        if not found or options["batch"] < 1:
            raise CommandError("An age is a number with s, m, h or d, and a batch has at least one row.")
        age = timedelta(**{_UNITS[found[2]]: int(found[1])})
        why = held_up(database)
        if why:
            self.stderr.write(f"No event is deleted: {why}.")
        events, letters = prune(database, age, options["batch"])
        self.stdout.write(f"deleted {events} events and {letters} dead letters")
        if options["inbox"] and apps.is_installed("django_walpost.consume"):
            self.stdout.write(f"deleted {_delete_handled(database, age, options['batch'])} messages of the inbox")


def _delete_handled(database: str, age: timedelta, batch: int) -> int:
    """Delete what consumers have handled, in batches as well."""
    deleted = 0
    with connections[database].cursor() as cursor:
        while True:
            cursor.execute(_DELETE_HANDLED, [age.total_seconds(), batch])
            if not cursor.rowcount:
                return deleted
            deleted += cursor.rowcount
