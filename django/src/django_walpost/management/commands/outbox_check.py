"""``manage.py outbox_check``: whether settings, models and database are ready for the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandError

from django_walpost.checks import ALL

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Run all checks of this package, also those that ask the database."""

    help = "Check settings, models and database; exit with 1 if something stands in the relay's way."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("--database", default="default")

    def handle(self, *, database: str, **options: Any) -> None:
        """Run them and print what they find."""
        found = [message for check in ALL for message in check(app_configs=None, databases=[database])]
        for message in found:
            self.stdout.write(str(message))
        if any(message.level >= checks.WARNING for message in found):
            raise CommandError(f"{len(found)} problems.")
        self.stdout.write("Settings, models and database are ready for the relay.")
