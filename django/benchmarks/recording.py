"""What recording costs: Python's time for one event beyond the bare INSERT, and the time of many at once.

Run it with ``make bench-django``. It prints medians and judges nothing; compare figures of one run only.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 2_000
MANY = 10_000
PAYLOAD = {
    "order": 42,
    "customer": "Ada",
    "lines": [{"sku": f"sku-{n}", "quantity": n, "price": "9.90"} for n in range(5)],
}

#: The INSERT of an event as short as it can be.
BARE = """
INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
VALUES (gen_random_uuid(), 'order', '42', 'OrderPlaced', '{payload}', '{{"correlation_id": "c-1", "user": "7"}}')
RETURNING created_at, xid"""


def main() -> None:
    """Measure on a private Postgres."""
    with servers.private_folder() as folder:
        postgres = servers.Postgres(folder)
        with postgres.connect() as server:
            server.execute("CREATE DATABASE main")
        settings.DATABASES["default"]["PORT"] = str(postgres.port)
        django.setup()
        call_command("migrate", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            version = cursor.fetchone()[0]
        say(f"Python {sys.version.split()[0]}, Django {django.get_version()}, Postgres {version}")
        measure()
        connection.close()
        postgres.stop()


def measure() -> None:
    """Print what one event and many events cost."""
    from django_walpost import Event, event_context, record, record_many

    with transaction.atomic(), event_context(correlation_id="c-1", user="7"):
        statement = BARE.format(payload=json.dumps(PAYLOAD))
        bare = micros(lambda: connection.connection.execute(statement).fetchall())
        whole = micros(lambda: record("OrderPlaced", aggregate=("order", 42), payload=PAYLOAD))
        say(f"the INSERT by psycopg alone     {bare:8.1f} us of Python's processor time")
        say(f"record()                        {whole:8.1f} us of it, {whole - bare:.1f} us more")
    for size in (100, MANY):
        events = [Event("OrderPlaced", ("order", n), PAYLOAD) for n in range(size)]
        seconds = []
        for _ in range(5):
            with transaction.atomic():
                start = time.perf_counter()
                record_many(events)
                seconds.append(time.perf_counter() - start)
        middle = statistics.median(seconds)
        say(f"record_many() of {size:6,} events {middle * 1000:8.1f} ms, {middle / size * 1e6:.1f} us for each")


def micros(work: Callable[[], object]) -> float:
    """Return the processor time of a piece of work in microseconds: of Python's process, not of the server's."""
    rounds = []
    for _ in range(ROUNDS // 100):
        start = time.process_time()
        for _ in range(100):
            work()
        rounds.append((time.process_time() - start) / 100)
    return statistics.median(rounds) * 1e6


def say(text: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
