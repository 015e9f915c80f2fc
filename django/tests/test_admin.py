"""The outbox in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_walpost import record
from django_walpost.models import DeadLetter, Status
from tests.test_status import bury, clean_slate, deliver, recorded, status

if TYPE_CHECKING:
    from django.test import Client

    from django_walpost.models import OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["clean_slate"]

LIST = reverse("admin:django_walpost_outboxevent_changelist")


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def page(client: Client, url: str = LIST, **query: str) -> str:
    response = client.get(url, query)
    assert response.status_code == 200
    return response.content.decode()


def detail(event: OutboxEvent) -> str:
    return reverse("admin:django_walpost_outboxevent_change", args=[event.pk])


def test_the_list_shows_events_with_their_status_and_counts_no_table(admin: Client) -> None:
    recorded("First")
    deliver()
    recorded("Second")
    with CaptureQueriesContext(connection) as queries:
        shown = page(admin)
    assert shown.index("Second") < shown.index("First")
    assert shown.count("field-status") >= 2
    assert "published" in shown
    assert "1 pending" in shown
    counts = [query["sql"] for query in queries if 'FROM "outbox"' in query["sql"] and "COUNT(" in query["sql"]]
    assert counts == []


def test_without_a_relay_the_list_says_so(admin: Client) -> None:
    assert "No relay has delivered from this database yet" in page(admin)


def test_the_list_is_filtered_by_status(admin: Client) -> None:
    recorded("First")
    deliver()
    bury(recorded("Second"))
    recorded("Third")
    for wanted, name in (("published", "First"), ("dead", "Second"), ("pending", "Third")):
        shown = page(admin, status=wanted)
        assert [one for one in ("First", "Second", "Third") if f">{one}<" in shown] == [name]


def test_the_search_is_by_whole_ids(admin: Client) -> None:
    first = recorded("First")
    with transaction.atomic():
        record("Second", aggregate=("order", "EU-7"))
    for term, name in ((str(first.pk), "First"), ("EU-7", "Second")):
        shown = page(admin, q=term)
        assert [one for one in ("First", "Second") if f">{one}<" in shown] == [name]


def test_an_event_is_shown_for_people_and_cannot_be_changed(admin: Client) -> None:
    with transaction.atomic():
        event = record("E", aggregate=("a", 1), payload={"name": "<b>Zoë</b>"}, headers={"tenant": "t"})
        tombstone = record("F", aggregate=("a", 1))
    bury(event)
    shown = page(admin, detail(event))
    assert "&quot;name&quot;: &quot;&lt;b&gt;Zoë&lt;/b&gt;&quot;" in shown
    assert "message-too-large: it has too many bytes (dead)" in shown
    assert 'name="_save"' not in shown
    assert "a tombstone" in page(admin, detail(tombstone))
    for name in ("add", "delete"):
        arguments = [] if name == "add" else [event.pk]
        assert admin.get(reverse(f"admin:django_walpost_outboxevent_{name}", args=arguments)).status_code == 403


def act(client: Client, action: str, *events: OutboxEvent) -> Any:
    data = {"action": action, "_selected_action": [str(event.pk) for event in events]}
    return client.post(LIST, data, follow=True)


def test_dead_letters_are_decided_about(admin: Client) -> None:
    again, gone, fine = recorded(), recorded(), recorded()
    deliver()
    bury(again)
    bury(gone)
    assert "1 dead letters are published again." in act(admin, "retry", again, fine).content.decode()
    assert "1 dead letters are discarded." in act(admin, "discard", gone, fine).content.decode()
    assert (again.status, gone.status, fine.status) == (Status.PENDING, Status.DEAD, Status.PUBLISHED)
    assert set(DeadLetter.objects.values_list("state", flat=True)) == {"retried", "discarded"}


def test_who_may_only_look_decides_nothing(client: Client) -> None:
    user = User.objects.create_user("ada", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_outboxevent"))
    client.force_login(user)
    event = recorded()
    bury(event)
    assert "Publish dead letters again" not in page(client)
    act(client, "retry", event)
    assert status(event) is Status.DEAD
    user.user_permissions.add(Permission.objects.get(codename="change_outboxevent"))
    act(client, "retry", event)
    assert status(event) is Status.PENDING
