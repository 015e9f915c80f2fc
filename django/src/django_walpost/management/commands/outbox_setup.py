"""``manage.py outbox_setup``: the part of ``walpost setup`` that migrations do not do in a database: the slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from django_walpost.conf import config
from django_walpost.sql_files import filled, literal

if TYPE_CHECKING:
    from argparse import ArgumentParser

#: From this version on a slot can go over to a standby.
_FAILS_OVER = 170_000


class Command(BaseCommand):
    """Create the replication slot, after the migrations."""

    help = (
        "Create the relay's replication slot, if it is missing. Tables and publication are made by `migrate`, the "
        "stream by `walpost setup`, which can also make the slot. From then on Postgres keeps its log for the relay."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        parser.add_argument("--database", default="default")
        parser.add_argument("--dry-run", action="store_true", help="print the SQL and change nothing")

    def handle(self, *, database: str, **options: Any) -> None:
        """Create it."""
        connection, slot = connections[database], config().slot
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version_num')::int")
            name = "failover_slot" if cursor.fetchone()[0] >= _FAILS_OVER else "slot"
            statement = filled(name, slot=literal(slot))
            cursor.execute(
                "SELECT database = current_database() FROM pg_replication_slots WHERE slot_name = %s", [slot]
            )
            found = cursor.fetchone()
            if found == (True,):
                self.stdout.write(f"exists   slot {slot}")
            elif found is not None:
                raise CommandError(f'The slot {slot} is of another database. Choose another name: WALPOST["SLOT"].')
            elif options["dry_run"]:
                self.stdout.write(statement)
            else:
                cursor.execute("SELECT count(*) FROM walpost_watermark WHERE slot = %s", [slot])
                if cursor.fetchone()[0]:
                    raise CommandError(
                        f"There was a slot {slot}, and it is gone. What was committed since then is out of reach for a "
                        "new one: see the relay's runbook, `the slot is lost`."
                    )
                cursor.execute(statement)
                self.stdout.write(f"created  slot {slot}")
