"""``manage.py outbox_status``: how far the relay is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from django_walpost.models import Lag

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Print how far each slot is."""

    help = "Print how far the relay is: pending and dead events of each slot."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("--database", default="default")
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *, database: str, **options: Any) -> None:
        """Print it."""
        lags = list(Lag.objects.using(database).order_by("slot").values())
        if options["format"] == "json":
            self.stdout.write(json.dumps(lags, cls=DjangoJSONEncoder))
            return
        if not lags:
            self.stderr.write("No relay has delivered from this database yet.")
        for lag in lags:
            pending = "unknown" if lag["pending"] is None else lag["pending"]
            since = f" (the oldest for {_seconds(lag['oldest_pending'])} s)" if lag["oldest_pending"] else ""
            told = f"{_seconds(lag['delivered_at'])} s ago" if lag["delivered_at"] else "never"
            self.stdout.write(f"{lag['slot']}: {pending} pending{since}, {lag['dead']} dead, told {told}")


def _seconds(since: Any) -> int:
    """Return how many seconds ago something was."""
    return max(0, int((timezone.now() - since).total_seconds()))
