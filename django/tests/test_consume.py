"""One message in one transaction: handled once, tried again, or given up."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections

from django_walpost.consume import Message, consumer
from django_walpost.consume.handling import Outcome, handle
from django_walpost.consume.models import DeadMessage, InboxMessage
from django_walpost.consume.registry import Consumer, consumers
from django_walpost.models import OutboxEvent
from tests.shop.models import Receipt

BILLING = consumers["billing"]


def message(data: bytes = b"{}", attempt: int = 1, **headers: str) -> Message:
    given = {"Nats-Msg-Id": "id-1", "Walpost-Event-Type": "OrderPlaced", "Walpost-Aggregate-Type": "order"}
    given |= {"Walpost-Aggregate-Id": "5", **headers}
    return Message("outbox.order.OrderPlaced", data, given, "OUTBOX", 7, attempt)


@pytest.mark.django_db
def test_a_message_is_handled_once() -> None:
    assert handle(BILLING, message(b'{"total": 7}')) is Outcome.HANDLED
    assert handle(BILLING, message(b'{"total": 7}', attempt=2)) is Outcome.REPEATED
    assert [receipt.content for receipt in Receipt.objects.all()] == [{"total": 7}]
    assert InboxMessage.objects.get(pk=("billing", "id-1")).handled_at is not None
    assert str(InboxMessage.objects.get()) == "id-1 by billing"


@pytest.mark.django_db
def test_another_consumer_handles_it_too() -> None:
    assert [handle(consumers[name], message()) for name in ("billing", "audit")] == [Outcome.HANDLED] * 2
    assert Receipt.objects.count() == 2


@pytest.mark.django_db
def test_events_that_a_handler_records_name_their_cause() -> None:
    handle(BILLING, message(correlation_id="c-1", tenant="t"))
    handle(BILLING, Message("outbox.order.X", b"", {"Walpost-Aggregate-Id": "6"}, "OUTBOX", 9))
    first, second = OutboxEvent.objects.order_by("id")
    assert first.headers == {"correlation_id": "c-1", "causation_id": "id-1", "tenant": "t"}
    assert second.headers == {"correlation_id": "OUTBOX:9", "causation_id": "OUTBOX:9"}


@pytest.mark.django_db
def test_a_failure_leaves_nothing_and_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    assert handle(BILLING, message(b'{"fail": 1}')) is Outcome.FAILED
    assert "billing failed at id-1, attempt 1" in caplog.text
    assert not Receipt.objects.exists()
    assert not OutboxEvent.objects.exists()
    assert not InboxMessage.objects.exists()
    assert handle(BILLING, message(b'{"fail": 1}', attempt=2)) is Outcome.HANDLED
    assert Receipt.objects.count() == 1


@pytest.mark.django_db
def test_after_the_last_attempt_it_is_a_dead_message() -> None:
    assert handle(BILLING, message(b'{"fail": 9}', attempt=3, tenant="t")) is Outcome.DEAD
    dead = DeadMessage.objects.get()
    assert (dead.consumer, dead.message_id, dead.attempts, dead.sequence) == ("billing", "id-1", 3, 7)
    assert (bytes(dead.data), dead.headers["tenant"]) == (b'{"fail": 9}', "t")
    assert dead.error == "Hopeless: attempt 3"
    assert str(dead) == "id-1 for billing: Hopeless: attempt 3"
    assert not Receipt.objects.exists()
    assert handle(BILLING, message(b'{"fail": 9}', attempt=3)) is Outcome.REPEATED
    assert handle(BILLING, message(attempt=4)) is Outcome.DEAD
    assert DeadMessage.objects.count() == 1


@pytest.mark.django_db
def test_a_handler_can_give_up_at_once() -> None:
    assert handle(BILLING, message(b'{"give_up": "no such order"}')) is Outcome.DEAD
    assert DeadMessage.objects.get().error == "GiveUp: no such order"


@pytest.mark.django_db
def test_a_message_that_kills_its_workers_is_given_up() -> None:
    assert handle(BILLING, message(attempt=4)) is Outcome.DEAD
    assert DeadMessage.objects.get().error == "The worker died each time."


@pytest.mark.django_db
def test_dead_messages_are_tried_again_by_command() -> None:
    handle(BILLING, message(b'{"fail": 3}', attempt=3))
    handle(BILLING, message(b'{"fail": 4}', attempt=3, **{"Nats-Msg-Id": "id-2"}))
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match="1 dead messages failed again"):
        call_command("outbox_consume", "billing", retry_dead=True, stdout=out, stderr=err)
    assert out.getvalue() == "billing\tid-1\thandled\n"
    assert err.getvalue() == "billing\tid-2\tfailed: attempt 4\n"
    assert [dead.message_id for dead in DeadMessage.objects.all()] == ["id-2"]
    assert Receipt.objects.get().event_id == "id-1"


@pytest.mark.django_db
def test_the_command_lists_consumers_and_knows_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    call_command("outbox_consume", list=True, stdout=out)
    assert out.getvalue().splitlines() == [
        "audit\toutbox.order.> outbox.bill.>\ttests.shop.consumers.audit",
        "billing\toutbox.order.>\ttests.shop.consumers.bill",
    ]
    with pytest.raises(CommandError, match="There is no consumer nobody; there are: audit, billing"):
        call_command("outbox_consume", "nobody")
    monkeypatch.setattr("django_walpost.consume.management.commands.outbox_consume.consumers", {})
    with pytest.raises(CommandError, match="none: write some in a module `consumers`"):
        call_command("outbox_consume")


@pytest.mark.django_db
def test_without_nats_py_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "django_walpost.consume.worker", None)
    with pytest.raises(CommandError, match=r"pip install django-walpost\[consume\]"):
        call_command("outbox_consume", "billing")


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_is_no_fault_of_the_message() -> None:
    def dies(_: Message) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    def times_out(_: Message) -> None:
        raise OperationalError("canceling statement due to statement timeout")

    def with_handler(handler: Any) -> Consumer:
        return Consumer(handler, ("outbox.>",), "lost", "default", 1, 3, (0.1,), 1)

    assert handle(with_handler(dies), message()) is Outcome.UNAVAILABLE
    assert handle(with_handler(times_out), message()) is Outcome.FAILED
    assert handle(with_handler(lambda _: None), message()) is Outcome.HANDLED


@pytest.mark.django_db
def test_a_database_that_is_away_is_no_fault_of_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("away")

    monkeypatch.setattr(connections["default"], "ensure_connection", away)
    assert handle(BILLING, message()) is Outcome.UNAVAILABLE
    monkeypatch.undo()


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_buried_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr("django_walpost.consume.handling._claim", away)
    assert handle(BILLING, message(attempt=4)) is Outcome.UNAVAILABLE


def test_a_tombstone_has_no_json() -> None:
    given = message(b"")
    assert given.json() is None
    assert (given.event_type, given.aggregate_type, given.aggregate_id) == ("OrderPlaced", "order", "5")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"subjects": "outbox.>", "durable": "a b"}, "letters, digits"),
        ({"subjects": [], "durable": "a"}, "needs a subject"),
        ({"subjects": "outbox.>", "durable": "a", "backoff_seconds": ()}, "a pause"),
        ({"subjects": "outbox.>", "durable": "billing"}, "Two handlers"),
    ],
)
def test_a_consumer_that_cannot_be_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=complaint):
        consumer(**arguments)(lambda _: None)


def test_a_coroutine_function_cannot_be_a_consumer() -> None:
    async def handler(_: Message) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="coroutine function"):
        consumer("outbox.>", durable="a")(handler)


def test_the_last_pause_is_kept() -> None:
    one = Consumer(lambda _: None, ("x",), "x", "default", 1, 9, (1, 5, 15), 1)
    assert [one.delay_after(attempt) for attempt in (1, 2, 3, 4, 9)] == [1, 5, 15, 15, 15]
