"""What `record` stores, what it costs, and when it refuses."""

from __future__ import annotations

import copy
import datetime
import decimal
import json
import pickle
import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils.dateparse import parse_datetime

from django_walpost import (
    AppendOnly,
    Event,
    EventTooLarge,
    InvalidEvent,
    NotInTransaction,
    PayloadNotSerializable,
    WrongDatabase,
    arecord,
    arecord_many,
    event_context,
    events,
    record,
    record_many,
)
from django_walpost.models import OutboxEvent
from tests.shop.models import BinaryEvent, Customer, Line, Order, RushOrder

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def stored(event_id: uuid.UUID, using: str = "default") -> dict[str, Any]:
    """Return a row as Postgres has it, read past the model."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT to_jsonb(o) || jsonb_build_object('json', payload::text) FROM outbox o WHERE id = %s", [event_id]
        )
        return dict(json.loads(cursor.fetchone()[0]))


def kept(payload: Any) -> Any:
    """Return a payload as it comes back from a recorded event."""
    with transaction.atomic():
        return OutboxEvent.objects.get(pk=record("E", aggregate=("a", 1), payload=payload).pk).payload


def test_an_event_is_one_row_that_is_known_at_once() -> None:
    order = Order.objects.create(total=7)
    with transaction.atomic():
        event = record("OrderPlaced", aggregate=order, payload={"total": 7}, headers={"tenant": "a", "try": 1})
        row = stored(event.id)
    assert (row["event_type"], row["aggregate_type"], row["aggregate_id"]) == ("OrderPlaced", "order", str(order.pk))
    assert row["payload"] == event.payload == {"total": 7}
    assert row["headers"] == event.headers == {"tenant": "a", "try": 1}
    assert row["xid"] == str(event.xid)
    # Not by fromisoformat(): Postgres leaves out zeros at the end of a fraction, which Python 3.10 does not read.
    assert parse_datetime(row["created_at"]) == event.created_at
    assert event.id.version == 7


def test_recording_costs_one_insert() -> None:
    with transaction.atomic(), CaptureQueriesContext(connection) as one:
        record("E", aggregate=("a", 1), payload={})
    with transaction.atomic(), CaptureQueriesContext(connection) as many:
        record_many([Event("E", ("a", n), {"n": n}) for n in range(1000)])
    for queries in (one, many):
        (statement,) = (query["sql"] for query in queries if "SAVEPOINT" not in query["sql"])
        assert statement.count("INSERT INTO") == 1


def test_many_events_keep_their_order_and_values() -> None:
    with transaction.atomic():
        events = record_many(Event("E", ("a", n), {"n": n}, {"h": str(n)}) for n in range(100))
    found = OutboxEvent.objects.order_by("id")
    assert [event.payload["n"] for event in found] == list(range(100))
    assert [(event.pk, event.xid, event.created_at) for event in events] == [
        (event.pk, event.xid, event.created_at) for event in found
    ]
    assert record_many([]) == []


def test_a_great_many_events_go_in_several_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_walpost.insertion._DOCUMENT_CHARACTERS", 300)
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        events = record_many([Event("E", ("a", n), "x" * 100) for n in range(5)])
    assert sum("INSERT INTO" in query["sql"] for query in queries) == 5
    assert list(OutboxEvent.objects.order_by("id")) == events


def test_the_id_can_be_given() -> None:
    given = uuid.uuid4()
    with transaction.atomic():
        assert record("E", aggregate=("a", 1), id=given).id == given
    assert OutboxEvent.objects.filter(pk=given).exists()


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        (("order", 5), ("order", "5")),
        (("order", "EU-5"), ("order", "EU-5")),
        (("order", uuid.UUID(int=5)), ("order", "00000000-0000-0000-0000-000000000005")),
        (Order(pk=5), ("order", "5")),
        (RushOrder(pk=5), ("order", "5")),
        (Customer(pk=uuid.UUID(int=5)), ("client", "00000000-0000-0000-0000-000000000005")),
    ],
)
def test_an_aggregate_is_an_instance_or_a_pair(aggregate: Any, expected: tuple[str, str]) -> None:
    with transaction.atomic():
        event = record("E", aggregate=aggregate)
    assert (event.aggregate_type, event.aggregate_id) == expected


@pytest.mark.parametrize(
    ("aggregate", "complaint"),
    [
        (Order(), "no primary key yet"),
        (Line(1, 2), "one obvious form"),
        (("order", None), "one obvious form"),
        (("order", True), "one obvious form"),
        (("order", 1.5), "one obvious form"),
        ("order", "must be a model instance or a pair"),
        (None, "must be a model instance or a pair"),
        ((1, 2), "must be a model instance or a pair"),
        (("", 1), "aggregate type is ''"),
        (("order ", 1), "aggregate type is"),
        (("a\nb", 1), "aggregate type is"),
        (("a\x85b", 1), "aggregate type is"),
        (("a\ud800b", 1), "aggregate type is"),
        (("xNats-Msg-Id", 1), "aggregate type is"),
        (("ä" * 76, 1), "aggregate type has 152 bytes"),
        (("order", ""), "aggregate id is ''"),
        (("order", "x" * 1025), "aggregate id has 1025 bytes"),
    ],
)
def test_an_aggregate_that_no_message_can_carry_is_refused(aggregate: Any, complaint: str) -> None:
    with transaction.atomic(), pytest.raises(InvalidEvent, match=complaint):
        record("E", aggregate=aggregate)


@pytest.mark.parametrize("event_type", ["", " E", "E\t", "E\0", "x" * 151, 5])
def test_an_event_type_that_no_subject_can_carry_is_refused(event_type: Any) -> None:
    with transaction.atomic(), pytest.raises(InvalidEvent, match="event type"):
        record(event_type, aggregate=("a", 1))


def test_payloads_are_json_by_djangos_encoder() -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)
    payload = {"at": moment, "price": decimal.Decimal("9.90"), "id": uuid.UUID(int=1), "day": moment.date()}
    assert kept(payload) == {
        "at": "2026-01-02T03:04:05.678Z",
        "price": "9.90",
        "id": "00000000-0000-0000-0000-000000000001",
        "day": "2026-01-02",
    }


@pytest.mark.parametrize("payload", [0, "", [], {}, False, "text", 1.5, [None], {"ä": "\\u0000 \u20ac 𝄞"}, 10**30])
def test_any_json_comes_back_as_it_was(payload: Any) -> None:
    assert kept(payload) == payload


def test_none_is_a_tombstone_and_not_json_null() -> None:
    with transaction.atomic():
        assert stored(record("E", aggregate=("a", 1)).id)["json"] is None
        assert stored(record("E", aggregate=("a", 1), payload=b"null").id)["json"] == "null"


def test_bytes_are_json_already() -> None:
    assert kept(b'{"total": 7}') == {"total": 7}
    assert kept(memoryview(b"[1]")) == [1]


@pytest.mark.parametrize("payload", [b"\xff", b"{", b"", b"NaN", b'"\\u0000"'])
def test_bytes_that_are_not_json_are_refused(payload: bytes) -> None:
    with transaction.atomic(), pytest.raises(PayloadNotSerializable):
        record("E", aggregate=("a", 1), payload=payload)


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ({"x": object()}, "not JSON serializable"),
        ({(1, 2): 3}, "keys must be"),
        (float("nan"), "not JSON"),
        (float("inf"), "not JSON"),
        (CIRCLE, "Circular"),
        ("a\0b", "NUL"),
        ({"k\0": 1}, "NUL"),
        ("\\\0", "NUL"),
        ("\ud800", "not Unicode"),
    ],
)
def test_what_is_not_json_is_refused_and_the_transaction_lives(payload: Any, complaint: str) -> None:
    with transaction.atomic():
        with pytest.raises(PayloadNotSerializable, match=complaint):
            record("E", aggregate=("a", 1), payload=payload)
        record("E", aggregate=("a", 1), payload="fine")
    assert OutboxEvent.objects.count() == 1


def test_too_large_is_measured_as_the_message_will_be(settings: Any) -> None:
    settings.WALPOST = {"MAX_PAYLOAD_BYTES": 21}
    with transaction.atomic():
        record("E", aggregate=("a", 1), payload="x" * 19)
        record("E", aggregate=("a", 1), payload="ä" * 9)
        for payload in ("x" * 20, "ä" * 10, b'"' + b"x" * 20 + b'"'):
            with pytest.raises(EventTooLarge, match="has 22 bytes"):
                record("E", aggregate=("a", 1), payload=payload)
        event = record("E", aggregate=("a", 1), payload={"b": [1, 2], "a": 1})
        assert len(stored(event.id)["json"]) == len('{"a": 1, "b": [1, 2]}') == 21


def test_headers_can_hold_json_and_leave_out_none() -> None:
    with transaction.atomic(), event_context(correlation_id="c", tenant="t"):
        event = record("E", aggregate=("a", 1), headers={"tenant": None, "n": 1, "list": [uuid.UUID(int=1)]})
    assert stored(event.id)["headers"] == {
        "correlation_id": "c",
        "n": 1,
        "list": ["00000000-0000-0000-0000-000000000001"],
    }


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ({"": "x"}, "visible ASCII"),
        ({"a:b": "x"}, "visible ASCII"),
        ({"a b": "x"}, "visible ASCII"),
        ({"ä": "x"}, "visible ASCII"),
        ({1: "x"}, "visible ASCII"),
        ({"nats-Msg-Id": "x"}, "reserved"),
        ({"WALPOST-Position": "x"}, "reserved"),
        ({"Status": "x"}, "reserved"),
        ({"x": "a\r\nb"}, "control character"),
        ({"x": " a"}, "blank at an end"),
        ({"x": "Nats-TTL"}, "broker's name"),
        ({"x": object()}, "not JSON"),
        ({"x": float("nan")}, "not JSON"),
    ],
)
def test_headers_that_the_relay_would_leave_out_are_refused(headers: Any, complaint: str) -> None:
    with transaction.atomic(), pytest.raises(InvalidEvent, match=complaint):
        record("E", aggregate=("a", 1), headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "y" * 16_385},
        {"x": ["y" * 16_385]},
        {str(n): "x" for n in range(65)},
        {str(n): "x" * 16_000 for n in range(3)},
    ],
)
def test_too_many_headers_are_refused(headers: Any) -> None:
    with transaction.atomic(), pytest.raises(EventTooLarge):
        record("E", aggregate=("a", 1), headers=headers)


def test_a_binary_column_holds_bytes_as_they_are_and_json_as_utf_8(settings: Any) -> None:
    with transaction.atomic():
        raw = BinaryEvent.objects.record("E", aggregate=("a", 1), payload=b"\x00\xff")
        text, empty = BinaryEvent.objects.record_many([Event("E", ("a", 1), {"ä": 1}), Event("E", ("a", 1))])
        settings.WALPOST = {"MAX_PAYLOAD_BYTES": 3}
        with pytest.raises(EventTooLarge):
            BinaryEvent.objects.record("E", aggregate=("a", 1), payload=b"1234")
    assert bytes(BinaryEvent.objects.get(pk=raw.pk).payload or b"") == b"\x00\xff"
    assert bytes(BinaryEvent.objects.get(pk=text.pk).payload or b"") == '{"ä": 1}'.encode()
    assert BinaryEvent.objects.get(pk=empty.pk).payload is None


def test_outside_a_transaction_it_is_refused_also_in_a_test_case() -> None:
    # The fixture keeps a transaction open, as TestCase does. It does not count.
    assert connection.in_atomic_block
    with pytest.raises(NotInTransaction, match=r'atomic\(using="default"\)'):
        record("E", aggregate=("a", 1))
    with pytest.raises(NotInTransaction):
        record_many([Event("E", ("a", 1))])
    with transaction.atomic(using="other"), pytest.raises(NotInTransaction, match="'default'"):
        record("E", aggregate=("a", 1))


def test_a_wrong_database_is_refused() -> None:
    with pytest.raises(WrongDatabase, match="no database 'nowhere'"):
        record("E", aggregate=("a", 1), using="nowhere")
    with pytest.raises(WrongDatabase, match="'lite' is sqlite"):
        record("E", aggregate=("a", 1), using="lite")


def test_an_event_goes_where_its_aggregate_is_written() -> None:
    elsewhere = Order.objects.using("other").create()
    with transaction.atomic(using="other"):
        event = record("E", aggregate=elsewhere)
    assert event._state.db == "other"
    assert stored(event.id, using="other")
    with transaction.atomic(), transaction.atomic(using="other"):
        with pytest.raises(WrongDatabase, match="default, other"):
            record("E", aggregate=elsewhere, using="default")
        with pytest.raises(WrongDatabase, match="default, other"):
            record_many([Event("E", elsewhere), Event("E", Order.objects.create())])
        record_many([Event("E", elsewhere), Event("E", ("a", 1))])
        OutboxEvent.objects.db_manager("other").record("E", aggregate=("a", 1))
    assert OutboxEvent.objects.using("other").count() == 4


def test_a_recorded_event_is_an_instance_like_any_other() -> None:
    with transaction.atomic():
        event = record("E", aggregate=("a", 1), payload={"n": 1}, headers={"h": "x"})
        twin = OutboxEvent.objects.get(pk=event.pk)
    fields = {field.attname for field in OutboxEvent._meta.concrete_fields}
    assert {name: value for name, value in vars(event).items() if name != "_state"} == {
        name: getattr(twin, name) for name in fields
    }
    assert (event._state.adding, event._state.db, event) == (False, "default", twin)
    assert pickle.loads(pickle.dumps(event)).headers == copy.copy(event).headers == {"h": "x"}
    event.refresh_from_db()
    assert event.payload == {"n": 1}


def test_the_constructor_of_a_model_of_ones_own_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def constructor(self: OutboxEvent, *args: Any, **kwargs: Any) -> None:
        Model.__init__(self, *args, **kwargs)
        made.append(self.event_type)

    monkeypatch.setattr(OutboxEvent, "__init__", constructor)
    with transaction.atomic():
        record("E", aggregate=("a", 1))
        record_many([Event("F", ("a", 1))])
    assert made == ["E", "F"]


def test_a_recorded_event_cannot_be_changed() -> None:
    with transaction.atomic():
        event = record("E", aggregate=("a", 1))
    event.event_type = "F"
    with pytest.raises(AppendOnly):
        event.save()
    with pytest.raises(AppendOnly):
        OutboxEvent.objects.get(pk=event.pk).save()
    with pytest.raises(AppendOnly):
        OutboxEvent.objects.update(event_type="F")
    with pytest.raises(AppendOnly):
        OutboxEvent.objects.bulk_update([event], ["event_type"])
    assert str(event).startswith("F a 1 (")
    event.delete()


def test_what_is_created_past_record_is_encoded_and_measured_too(settings: Any) -> None:
    event = OutboxEvent.objects.create(aggregate_type="a", aggregate_id="1", event_type="E", payload={"ä": None})
    assert stored(event.id)["payload"] == {"ä": None}
    assert OutboxEvent.objects.filter(payload={"ä": None}, xid=event.xid).get() == event
    settings.WALPOST = {"MAX_PAYLOAD_BYTES": 3}
    with pytest.raises(EventTooLarge):
        OutboxEvent.objects.create(aggregate_type="a", aggregate_id="1", event_type="E", payload="abcd")


async def _both() -> list[OutboxEvent]:
    atomic = transaction.atomic()
    await sync_to_async(atomic.__enter__)()
    try:
        one = await arecord("E", aggregate=("a", 1), payload={"n": 1})
        return [one, *await arecord_many([Event("E", ("a", 2))])]
    finally:
        await sync_to_async(atomic.__exit__)(None, None, None)


def test_the_twins_record_from_coroutines() -> None:
    from asgiref.sync import async_to_sync

    recorded = async_to_sync(_both)()
    assert list(OutboxEvent.objects.order_by("id")) == recorded

    async def alone() -> None:
        await OutboxEvent.objects.arecord("E", aggregate=("a", 1))

    with pytest.raises(NotInTransaction):
        async_to_sync(alone)()
    with pytest.raises(NotInTransaction):
        async_to_sync(OutboxEvent.objects.arecord_many)([Event("E", ("a", 1))])


def test_the_quick_look_at_a_text_sees_what_the_patterns_see() -> None:
    characters = [chr(code) for code in (*range(0x300), 0x2028, 0x3000, 0xD800, 0xFEFF, 0x1F600)]
    texts = [text for one in characters for text in (one, f"a{one}b", f"{one}a", f"a{one}")]
    texts += ["Nats-", "xNats-TTL", "Nats-Msg-Idx", "Nats-Expected", "nats-ttl", "a b", ""]
    for text in texts:
        refused = events._UNSENDABLE.search(text) or events._BROKER_NAME.search(text)
        assert events._is_sendable(text) == (not refused), repr(text)
