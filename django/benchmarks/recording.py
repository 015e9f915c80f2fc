"""What recording costs: Python's time for one event beyond the bare INSERT, and the time of many at once.

Run it with ``make bench-django``. It judges nothing; compare figures of one run only. Beside each median stands the
least: whatever else runs on the machine only adds to it, by emptying the processor's caches above all.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 100
PER_ROUND = 50
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


#: The same as a project would write it, with its parameters.
BY_HAND = """
INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
VALUES (%s, %s, %s, %s, %s, %s)
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
        values = ["order", "42", "OrderPlaced", json.dumps(PAYLOAD), '{"correlation_id": "c-1", "user": "7"}']
        bare, through_django, whole = micros(
            lambda: connection.connection.execute(statement).fetchall(),
            lambda: by_hand(values),
            lambda: record("OrderPlaced", aggregate=("order", 42), payload=PAYLOAD),
        )
        say("Python's processor time for one event, median and least:")
        for name, times in (
            ("an INSERT without parameters, by psycopg alone", bare),
            ("the INSERT by hand: six parameters, by Django's cursor", through_django),
            ("record()", whole),
        ):
            say_times(name, statistics.median(times), min(times))
        for name, times in (("beyond the one by psycopg", bare), ("beyond the one by hand", through_django)):
            more = statistics.median(whole) - statistics.median(times), min(whole) - min(times)
            say_times(f"record() {name}", *more)
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


def by_hand(values: list[str]) -> object:
    """Insert an event as a Django project would that has no package for it, its values encoded already."""
    with connection.cursor() as cursor:
        cursor.execute(BY_HAND, [uuid4(), *values])
        return cursor.fetchone()


def micros(*works: Callable[[], object]) -> list[list[float]]:
    """Return the processor time of pieces of work in microseconds, by turns: of this process, not the server."""
    rounds: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, times in zip(works, rounds, strict=True):
            start = time.process_time()
            for _ in range(PER_ROUND):
                work()
            times.append((time.process_time() - start) / PER_ROUND * 1e6)
    return rounds


def say_times(name: str, middle: float, least: float) -> None:
    """Print a line of two times."""
    say(f"  {name:55} {middle:8.1f} us {least:8.1f} us")


def say(text: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
