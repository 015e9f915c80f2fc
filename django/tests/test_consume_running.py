"""Consumers as processes, behind the real relay and a real nats-server, with kills."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction

from django_walpost import Event, record, record_many
from django_walpost.consume.models import DeadMessage, InboxMessage
from tests import servers
from tests.shop.models import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., servers.Process]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


@pytest.fixture
def start(postgres: servers.Postgres, nats_server: servers.Nats, tmp_path: Path) -> Iterator[Start]:
    """Start `manage.py outbox_consume` in a process of its own."""
    started: list[servers.Process] = []

    def consume(*arguments: str) -> servers.Process:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "WALPOST_TEST_PG_PORT": str(postgres.port),
            "WALPOST_TEST_PREFIX": "test_",
            "WALPOST_TEST_NATS": nats_server.url,
        }
        command = [sys.executable, "-W", "error", "-m", "django", "outbox_consume", "--pythonpath", ".", *arguments]
        place = servers.ROOT / "django"
        started.append(servers.Process(command, tmp_path / f"consume-{len(started)}.log", env=environment, cwd=place))
        return started[-1]

    yield consume
    for process in started:
        process.stop(signal.SIGKILL)


def end(worker: servers.Process) -> None:
    """Stop a worker that runs: one that has just been started knows nothing of SIGTERM yet."""
    servers.eventually(lambda: "consuming: " in worker.said(), "the worker to run")
    assert worker.stop() == 0, worker.said()


def place_orders(numbers: range) -> list[str]:
    """Record orders, ten in a transaction."""
    ids: list[str] = []
    for first in range(numbers.start, numbers.stop, 10):
        with transaction.atomic():
            some = range(first, min(first + 10, numbers.stop))
            events = record_many([Event("OrderPlaced", ("order", n), {"n": n}) for n in some])
        ids += [str(event.id) for event in events]
    return ids


def handled(consumer: str) -> list[str]:
    return list(Receipt.objects.filter(consumer=consumer).order_by("pk").values_list("event_id", flat=True))


def test_each_event_is_handled_once_and_in_order_whatever_dies(
    relay: servers.Relay, nats_server: servers.Nats, start: Start
) -> None:
    ids: list[str] = []
    workers = [start("billing"), start("billing")]
    for round_ in range(4):
        ids += place_orders(range(round_ * 50, round_ * 50 + 50))
        seen = len(ids) - 40
        servers.eventually(lambda: len(handled("billing")) >= seen, "some receipts")  # noqa: B023
        victim = workers[round_ % 2]
        victim.stop(signal.SIGKILL)
        workers[round_ % 2] = start("billing")
        if round_ == 1:
            nats_server.stop(signal.SIGKILL)
            nats_server.start()
        if round_ == 2:
            relay.stop(signal.SIGKILL)
            relay.start()
    servers.eventually(lambda: len(handled("billing")) >= len(ids), "all receipts")
    assert handled("billing") == ids
    assert InboxMessage.objects.count() == len(ids)
    for worker in workers:
        end(worker)


def test_failures_are_tried_again_and_then_given_up(relay: servers.Relay, start: Start) -> None:
    worker = start("billing")
    with transaction.atomic():
        twice = record("OrderPlaced", aggregate=("order", 1), payload={"fail": 2})
        always = record("OrderPlaced", aggregate=("order", 2), payload={"fail": 99})
        never = record("OrderPlaced", aggregate=("order", 3), payload={"give_up": "no"})
        fine = record("OrderPlaced", aggregate=("order", 4))
    servers.eventually(lambda: str(fine.id) in handled("billing"), "the last one")
    assert handled("billing") == [str(twice.id), str(fine.id)]
    dead = DeadMessage.objects.order_by("pk")
    assert [(one.message_id, one.attempts) for one in dead] == [(str(always.id), 3), (str(never.id), 1)]
    end(worker)


def test_several_subjects_are_handled_several_at_once(relay: servers.Relay, start: Start) -> None:
    worker = start()
    ids = place_orders(range(100))
    servers.eventually(lambda: len(handled("audit")) >= 200, "all receipts")
    assert len(handled("audit")) == len(set(handled("audit"))) == 200
    assert handled("billing") == ids
    assert worker.stop(signal.SIGINT) == 0, worker.said()
    assert worker.said().endswith("stopped\n")


def test_an_outage_of_the_database_costs_no_attempt(relay: servers.Relay, start: Start) -> None:
    worker = start("billing")
    place_orders(range(10))
    servers.eventually(lambda: len(handled("billing")) == 10, "the first receipts")
    with connection.cursor() as cursor:
        for _ in range(5):
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
                "AND application_name = ''"
            )
            place_orders(range(20))
    servers.eventually(lambda: len(handled("billing")) == 110, "all receipts")
    assert not DeadMessage.objects.exists()
    end(worker)


def test_a_stop_comes_through_while_nats_is_away(start: Start, nats_server: servers.Nats) -> None:
    nats_server.stop()
    worker = start("billing")
    servers.eventually(lambda: "consuming: billing" in worker.said(), "the start")
    end(worker)


def test_a_stream_that_is_missing_is_waited_for(start: Start, nats_server: servers.Nats) -> None:
    worker = start("billing")
    servers.eventually(lambda: "billing waits for NATS" in worker.said(), "the complaint")
    end(worker)
