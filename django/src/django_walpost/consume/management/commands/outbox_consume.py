"""``manage.py outbox_consume``: run consumers until SIGTERM, or try dead messages again."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from django_walpost.consume.handling import retry
from django_walpost.consume.models import DeadMessage
from django_walpost.consume.registry import consumers

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_walpost.consume.registry import Consumer


class Command(BaseCommand):
    """Run consumers."""

    help = "Handle the events of the stream with the consumers of this project, until SIGTERM or SIGINT."
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("durable", nargs="*", help="the consumers to run; all by default")
        parser.add_argument("--list", action="store_true", help="print the consumers and end")
        parser.add_argument("--retry-dead", action="store_true", help="try their dead messages again and end")

    def handle(self, *, durable: list[str], **options: Any) -> None:
        """Do what is asked for."""
        chosen = self._chosen(durable)
        if options["list"]:
            for one in chosen:
                self.stdout.write(
                    f"{one.durable}\t{' '.join(one.subjects)}\t{one.handler.__module__}.{one.handler.__qualname__}"
                )
        elif options["retry_dead"]:
            self._retry(chosen)
        else:
            _show_log(options["verbosity"])
            asyncio.run(self._run(chosen))

    def _chosen(self, names: list[str]) -> list[Consumer]:
        """Return the consumers that are meant."""
        unknown = sorted(set(names) - set(consumers))
        if unknown or not consumers:
            known = ", ".join(sorted(consumers)) or "none: write some in a module `consumers` of an app"
            raise CommandError(
                f"There is no consumer {', '.join(unknown)}; there are: {known}." if unknown else f"Consumers: {known}."
            )
        return [consumers[name] for name in names or sorted(consumers)]

    async def _run(self, chosen: list[Consumer]) -> None:
        """Run until a signal."""
        try:
            from django_walpost.consume.worker import Worker
        except ImportError as error:
            raise CommandError("Consumers need nats-py: `pip install django-walpost[consume]`.") from error
        worker = Worker(chosen)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        self.stderr.write(f"consuming: {', '.join(one.durable for one in chosen)}")
        await worker.run()
        self.stderr.write("stopped")

    def _retry(self, chosen: list[Consumer]) -> None:
        """Try dead messages again, the oldest first; each failure is told and kept."""
        failed = 0
        for one in chosen:
            for dead in DeadMessage.objects.using(one.using).filter(consumer=one.durable).order_by("pk"):
                try:
                    retry(one, dead)
                except Exception as error:
                    failed += 1
                    self.stderr.write(f"{one.durable}\t{dead.message_id}\tfailed: {error}")
                else:
                    self.stdout.write(f"{one.durable}\t{dead.message_id}\thandled")
        if failed:
            raise CommandError(f"{failed} dead messages failed again.")


def _show_log(verbosity: int) -> None:
    """Have the log go to standard error if the project has no place for it."""
    logger = logging.getLogger("django_walpost")
    if verbosity and not logger.hasHandlers():
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
