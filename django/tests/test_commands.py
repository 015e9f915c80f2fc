"""Commands for operators."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from django_walpost.checks import check_database
from django_walpost.consume.models import InboxMessage
from django_walpost.models import DeadLetter, OutboxEvent
from tests.test_status import bury, clean_slate, deliver, execute, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from tests import servers

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["clean_slate"]

RESTORE_PUBLICATION = (
    "CREATE PUBLICATION walpost FOR TABLE outbox WITH (publish = 'insert', publish_via_partition_root = true)"
)


def run(command: str, *arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out, stderr=out, **options)
    return out.getvalue()


def test_status_tells_how_far_the_relay_is() -> None:
    assert run("outbox_status") == "No relay has delivered from this database yet.\n"
    deliver()
    assert run("outbox_status").startswith("walpost: 0 pending, 0 dead, told ")
    bury(recorded())
    execute("UPDATE walpost_watermark SET delivered_at = NULL")
    assert "pending (the oldest for " in run("outbox_status")
    (slot,) = json.loads(run("outbox_status", "--format", "json"))
    assert (slot["slot"], slot["pending"], slot["dead"]) == ("walpost", 1, 1)
    execute("UPDATE walpost_watermark SET delivered = NULL")
    assert "unknown" in run("outbox_status")


def test_prune_deletes_what_is_published_and_old_and_nothing_else() -> None:
    for name in ("Old", "Older", "Dead", "Discarded", "Young"):
        recorded(name)
    bury(OutboxEvent.objects.get(event_type="Dead"))
    bury(OutboxEvent.objects.get(event_type="Discarded"))
    OutboxEvent.objects.get(event_type="Discarded").discard()
    deliver()
    recorded("Pending")
    execute("UPDATE outbox SET created_at = now() - interval '8 days' WHERE event_type <> 'Young'")
    assert run("outbox_prune", "--batch", "1") == "deleted 3 events and 0 dead letters\n"
    left = OutboxEvent.objects.order_by("id").values_list("event_type", flat=True)
    assert list(left) == ["Dead", "Young", "Pending"]
    assert run("outbox_prune", older_than="9d") == "deleted 0 events and 0 dead letters\n"
    execute("UPDATE walpost_dead_letter SET decided_at = now() - interval '8 days' WHERE state = 'discarded'")
    assert run("outbox_prune") == "deleted 0 events and 1 dead letters\n"
    assert DeadLetter.objects.get().state == "dead"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("DELETE FROM walpost_watermark", "no relay has delivered yet"),
        ("UPDATE walpost_watermark SET delivered = NULL", "slot 'walpost' has not said yet"),
        ("UPDATE walpost_watermark SET system_id = '7'", "was said on another server"),
    ],
)
def test_prune_deletes_nothing_while_a_slot_has_not_said_what_it_has_delivered(change: str, why: str) -> None:
    recorded("Old")
    deliver()
    execute("UPDATE outbox SET created_at = now() - interval '8 days'")
    execute(change)
    told = run("outbox_prune")
    assert why in told
    assert told.endswith("deleted 0 events and 0 dead letters\n")
    assert OutboxEvent.objects.count() == 1


def test_prune_takes_the_inbox_along() -> None:
    for n in range(3):
        InboxMessage.objects.create(consumer="c", message_id=str(n))
    execute("UPDATE walpost_inbox SET handled_at = now() - interval '2 hours' WHERE message_id <> '0'")
    assert run("outbox_prune", "--inbox", "--older-than", "1h", "--batch", "1").endswith(
        "deleted 2 messages of the inbox\n"
    )
    assert InboxMessage.objects.get().message_id == "0"


@pytest.mark.parametrize("options", [{"older_than": "7"}, {"older_than": "7w"}, {"batch": 0}])
def test_prune_refuses_what_it_does_not_understand(options: Any) -> None:
    with pytest.raises(CommandError, match="An age is a number"):
        run("outbox_prune", **options)


@pytest.fixture
def no_slot() -> Iterator[None]:
    yield
    execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def slots() -> list[tuple[str, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT slot_name, plugin, database FROM pg_replication_slots")
        return list(cursor.fetchall())


def test_setup_makes_the_slot_once(no_slot: None) -> None:
    assert "pg_create_logical_replication_slot('walpost', 'pgoutput'" in run("outbox_setup", "--dry-run")
    assert slots() == []
    assert run("outbox_setup") == "created  slot walpost\n"
    assert run("outbox_setup") == "exists   slot walpost\n"
    assert slots() == [("walpost", "pgoutput", connection.settings_dict["NAME"])]


def test_setup_makes_no_slot_where_there_was_one() -> None:
    deliver()
    with pytest.raises(CommandError, match="There was a slot walpost, and it is gone"):
        run("outbox_setup")


def test_setup_takes_no_slot_of_another_database(no_slot: None, postgres: servers.Postgres) -> None:
    with postgres.connect() as other:
        other.execute("SELECT pg_create_logical_replication_slot('walpost', 'pgoutput')")
        try:
            with pytest.raises(CommandError, match="is of another database"):
                run("outbox_setup")
        finally:
            other.execute("SELECT pg_drop_replication_slot('walpost')")


def test_check_finds_nothing_in_a_database_that_is_ready() -> None:
    assert run("outbox_check") == "Settings, models and database are ready for the relay.\n"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("DROP PUBLICATION walpost", RESTORE_PUBLICATION,
         ("walpost.W003", "publication walpost is missing")),
        ("ALTER PUBLICATION walpost SET (publish = 'update')", "ALTER PUBLICATION walpost SET (publish = 'insert')",
         ("walpost.W003", "does not send the inserts")),
        ("ALTER VIEW walpost_event_status RENAME TO hidden", "ALTER VIEW hidden RENAME TO walpost_event_status",
         ("walpost.W002", "delivery status is missing")),
        ("ALTER TABLE outbox RENAME TO hidden", "ALTER TABLE hidden RENAME TO outbox",
         ("walpost.W002", "table outbox is missing")),
    ],
)  # fmt: skip
def test_check_finds_what_a_database_lacks(before: str, after: str, expected: tuple[str, str]) -> None:
    execute(before)
    try:
        (found,) = check_database(["default"])
        with pytest.raises(CommandError, match="1 problems"):
            run("outbox_check")
    finally:
        execute(after)
    assert found.id == expected[0]
    assert expected[1] in found.msg
    assert check_database(["default"]) == check_database(["lite"]) == check_database() == []


def test_check_finds_a_log_that_carries_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cursor:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def execute(self, *_: object) -> None: ...

        def fetchone(self) -> tuple[str, None, None]:
            return ("replica", None, None)

    monkeypatch.setattr(connection, "cursor", Cursor)
    assert [one.id for one in check_database(["default"])] == ["walpost.W001", "walpost.W002"]
