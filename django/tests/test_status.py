"""Where an event is: pending, published or dead, and how to wait for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_walpost import DeadLettered, Event, NotPublished, OutboxError, record, record_many
from django_walpost.models import DeadLetter, EventStatus, Lag, OutboxEvent, Status
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

#: What the relay writes once everything that is committed now is in the stream.
DELIVER = """
INSERT INTO walpost_watermark
       (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, stream, stream_created, delivered, delivered_at)
SELECT 'walpost', system_identifier::text, 1, '0/1', '0/1', 'OUTBOX', 1, pg_current_snapshot(), now()
  FROM pg_control_system()
ON CONFLICT (slot) DO UPDATE SET delivered = excluded.delivered, delivered_at = now()
"""
BURY = """
INSERT INTO walpost_dead_letter (slot, position, event_id, reason, detail)
VALUES ('walpost', %s, %s, 'message-too-large', 'it has too many bytes')
"""


@pytest.fixture(autouse=True)
def clean_slate() -> Iterator[None]:
    yield
    execute("TRUNCATE walpost_watermark, walpost_dead_letter")


def execute(statement: str, *values: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


def deliver() -> None:
    execute(DELIVER)


def bury(event: OutboxEvent) -> None:
    execute(BURY, f"position of {event.id}", str(event.id))


def recorded(name: str = "E") -> OutboxEvent:
    with transaction.atomic():
        return record(name, aggregate=("a", 1))


def status(event: OutboxEvent) -> Status | None:
    return event.status


def names(rows: Any) -> list[str]:
    return [event.event_type for event in rows.order_by("id")]


def test_an_event_is_pending_until_the_relay_tells_that_it_is_delivered() -> None:
    event = recorded()
    assert status(event) is Status.PENDING
    deliver()
    assert status(event) is Status.PUBLISHED
    assert status(recorded()) is Status.PENDING


def test_a_row_that_is_gone_has_no_status() -> None:
    event = recorded()
    OutboxEvent.objects.all().delete()
    assert status(event) is None


def test_events_are_found_by_status() -> None:
    recorded("First")
    deliver()
    bury(recorded("Second"))
    recorded("Third")
    assert names(OutboxEvent.objects.published()) == ["First"]
    assert names(OutboxEvent.objects.dead()) == ["Second"]
    assert names(OutboxEvent.objects.pending()) == ["Third"]
    assert names(OutboxEvent.objects.published().filter(event_type="Third")) == []


def test_the_status_of_many_costs_one_query() -> None:
    recorded("First")
    deliver()
    recorded("Second")
    with CaptureQueriesContext(connection) as queries:
        found = [event.status for event in OutboxEvent.objects.with_status().order_by("id")]
    assert found == [Status.PUBLISHED, Status.PENDING]
    assert len(queries) == 1


def test_the_views_are_models() -> None:
    event = recorded()
    deliver()
    bury(event)
    assert str(EventStatus.objects.get(pk=event.pk)) == f"{event.pk}: dead"
    assert str(DeadLetter.objects.get()) == f"{event.pk}: message-too-large (dead)"
    assert str(Lag.objects.get()) == "walpost: 0 pending, 1 dead"


def test_a_dead_letter_can_be_retried() -> None:
    event = recorded()
    deliver()
    bury(event)
    assert status(event) is Status.DEAD
    assert event.retry()
    assert status(event) is Status.PENDING
    assert not event.retry()
    deliver()
    assert status(event) is Status.PUBLISHED


def test_a_dead_letter_can_be_discarded() -> None:
    event = recorded()
    bury(event)
    assert event.discard()
    assert not event.discard()
    assert status(event) is Status.DEAD
    assert DeadLetter.objects.get().state == "discarded"


def test_waiting_ends_when_the_relay_tells() -> None:
    event = recorded()

    def tell() -> None:
        with connection.cursor() as cursor:
            waits = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle' AND query LIKE '%walpost_status%'"
            servers.eventually(lambda: cursor.execute(waits) or cursor.fetchone(), "somebody who waits")
            cursor.execute(DELIVER)
            cursor.execute("NOTIFY walpost_delivered, 'walpost'")
        connection.close()

    relay = threading.Thread(target=tell)
    relay.start()
    event.wait_published(timeout=servers.WITHIN_SECONDS)
    relay.join()
    event.wait_published(timeout=0)


def test_waiting_has_an_end() -> None:
    with pytest.raises(NotPublished, match=r"was not published within 0.01 s") as caught:
        recorded().wait_published(timeout=0.01)
    assert isinstance(caught.value, TimeoutError)


def test_waiting_for_what_will_never_be_is_refused() -> None:
    event = recorded()
    bury(event)
    with pytest.raises(DeadLettered, match="message-too-large"):
        event.wait_published()
    OutboxEvent.objects.all().delete()
    execute("TRUNCATE walpost_dead_letter")
    with pytest.raises(NotPublished, match="There is no event"):
        event.wait_published()


def test_waiting_inside_a_transaction_is_refused() -> None:
    with transaction.atomic():
        event = record("E", aggregate=("a", 1))
        with pytest.raises(OutboxError, match="inside a transaction"):
            event.wait_published()


def test_a_coroutine_waits_in_a_thread() -> None:
    event = recorded()
    deliver()
    async_to_sync(event.await_published)(timeout=0)
    with pytest.raises(NotPublished):
        async_to_sync(recorded().await_published)(timeout=0.01)


@pytest.mark.processes
def test_the_real_relay_tells_what_it_has_delivered(relay: servers.Relay, settings: Any) -> None:
    settings.WALPOST = {"MAX_PAYLOAD_BYTES": 3_000_000}
    with transaction.atomic():
        before, large, after = record_many(
            [Event("Before", ("a", 1)), Event("Large", ("a", 1), "x" * 1_500_000), Event("After", ("a", 1))]
        )
    after.wait_published(timeout=servers.WITHIN_SECONDS)
    assert status(before) is Status.PUBLISHED
    with pytest.raises(DeadLettered, match="message-too-large"):
        large.wait_published(timeout=servers.WITHIN_SECONDS)
    assert names(OutboxEvent.objects.dead()) == ["Large"]
    assert large.retry()
    servers.eventually(lambda: DeadLetter.objects.filter(state="dead").exists(), "the letter to be dead again")
    assert large.discard()
    assert Lag.objects.get().dead == 0


@pytest.fixture
def least_rights(transactional_db: None) -> Iterator[str]:
    """A role for the relay, with the rights that `django/README.md` names and no others."""
    readme = (servers.ROOT / "django" / "README.md").read_text()
    grants = [line for line in readme.splitlines() if line.startswith("GRANT ")]
    assert len(grants) == 2
    execute("CREATE ROLE walpost LOGIN REPLICATION")
    for grant in grants:
        execute(grant)
    yield "walpost"
    execute("DROP OWNED BY walpost")
    execute("DROP ROLE walpost")


@pytest.mark.processes
class TestWithLeastRights:
    @pytest.fixture
    def relay_user(self, least_rights: str) -> str:
        return least_rights

    def test_a_relay_with_a_role_of_its_own_delivers_and_tells(self, relay: servers.Relay) -> None:
        event = recorded()
        event.wait_published(timeout=servers.WITHIN_SECONDS)
        assert event.status is Status.PUBLISHED
