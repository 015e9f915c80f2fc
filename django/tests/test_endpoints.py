"""Endpoints of webhooks as rows: what may be stored, what the admin shows, and that walpost reads it."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.db import connection
from django.urls import reverse

from django_walpost.endpoint_rules import check_secret, new_secret
from django_walpost.models import WebhookEndpoint
from tests import servers

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ"
OTHER = "whsec_T1RIRVIhT1RIRVIhT1RIRVIhT1RIRVIh"
CASES = json.loads((servers.ROOT / "tests/fixtures/webhook_endpoints.json").read_text(encoding="utf-8"))

LIST = reverse("admin:django_walpost_webhookendpoint_changelist")
ADD = reverse("admin:django_walpost_webhookendpoint_add")


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def change(name: str = "shop") -> str:
    return reverse("admin:django_walpost_webhookendpoint_change", args=[name])


def stored(name: str = "shop", **columns: Any) -> WebhookEndpoint:
    endpoint = WebhookEndpoint(name=name, url="https://example.com/hook", secrets=[SECRET])
    for column, value in columns.items():
        setattr(endpoint, column, value)
    endpoint.full_clean()
    endpoint.save()
    return endpoint


def posted(client: Client, url: str, **fields: str) -> Any:
    return client.post(url, {"url": "https://example.com/hook", "enabled": "on", **fields})


def shown(response: Any, status: int = 200) -> str:
    assert response.status_code == status
    return str(response.content.decode())


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["column"])
def test_what_fits_and_what_does_not_is_what_walpost_says(case: dict[str, Any]) -> None:
    for value in case["fit"]:
        WebhookEndpoint(**{**CASES["least"], case["column"]: value}).full_clean()
    for value in case["do_not"]:
        with pytest.raises(ValidationError) as refused:
            WebhookEndpoint(**{**CASES["least"], case["column"]: value}).full_clean()
        assert list(refused.value.message_dict) == [case["column"]], value


def test_no_message_shows_a_secret_and_http_is_a_choice() -> None:
    endpoint = WebhookEndpoint(
        name="a", url="http://example.com/", secrets=["whsec_canary"], headers={"Host": "canary"}
    )
    with pytest.raises(ValidationError) as refused:
        endpoint.full_clean()
    assert set(refused.value.message_dict) == {"url", "secrets", "headers"}
    assert "canary" not in str(refused.value)
    stored(url="http://example.com/", plain_http=True)


def test_secrets_are_added_and_the_oldest_is_dropped_but_never_the_last() -> None:
    endpoint = stored()
    endpoint.add_secret(OTHER)
    made = endpoint.generate_secret()
    check_secret(made)
    assert made != new_secret()
    endpoint.drop_oldest_secret()
    endpoint.save()
    endpoint.refresh_from_db()
    assert endpoint.secrets == [OTHER, made]
    with pytest.raises(ValidationError, match="begins with whsec_"):
        endpoint.add_secret("word")
    endpoint.drop_oldest_secret()
    with pytest.raises(ValidationError, match="add another one first"):
        endpoint.drop_oldest_secret()


def test_where_an_endpoint_is_tells_no_path() -> None:
    urls = ("https://example.com:8443/canary?canary", "https://example.com/canary", "https://[canary", "")
    origins = [WebhookEndpoint(url=url).origin for url in urls]
    assert origins == ["https://example.com:8443", "https://example.com", "?", "://?"]
    assert str(WebhookEndpoint(name="shop")) == "shop"


def test_an_endpoint_is_made_with_a_secret_that_is_shown_once(admin: Client) -> None:
    fields = {"name": "shop", "generate": "on", "subjects": " outbox.order.>\n\noutbox.x ", "retries": "5s\n1h"}
    page = shown(posted(admin, ADD, **fields, ordering="aggregate", timeout="3s", concurrency="4"))
    found = re.search(r"whsec_[A-Za-z0-9+/=]+", page)
    assert found is not None
    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.secrets == [found[0]]
    assert (endpoint.subjects, endpoint.retries) == (["outbox.order.>", "outbox.x"], ["5s", "1h"])
    assert (endpoint.ordering, endpoint.timeout, endpoint.concurrency) == ("aggregate", "3s", 4)
    assert (endpoint.format, endpoint.start, endpoint.disable_after, endpoint.headers) == (None, None, None, None)
    for url in (LIST, change()):
        assert found[0] not in shown(admin.get(url))
    assert not [value for value in admin.session.values() if found[0] in str(value)]
    assert not [morsel for morsel in admin.cookies.values() if found[0] in morsel.value]


def test_secrets_and_headers_go_in_and_never_come_out(admin: Client) -> None:
    stored(headers={"Authorization": "Bearer canary"})
    page = shown(admin.get(change()))
    assert "Authorization" in page
    assert "canary" not in page
    assert SECRET not in page
    assert "no-store" in admin.get(change())["Cache-Control"]

    answer = posted(admin, change(), new_secret=OTHER, new_headers="X-One: canary: 1\nX-Two:2", follow="")
    assert answer.status_code == 302
    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.secrets == [SECRET, OTHER]
    assert endpoint.headers == {"X-One": "canary: 1", "X-Two": "2"}
    assert OTHER not in shown(admin.get(LIST))

    assert posted(admin, change(), drop_oldest="on").status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.secrets, len(endpoint.headers or {})) == ([OTHER], 2)
    page = shown(posted(admin, change(), generate="on", drop_oldest="on", drop_headers="on"))
    endpoint.refresh_from_db()
    assert len(endpoint.secrets) == 1
    assert endpoint.secrets[0] in page
    assert endpoint.headers is None


def test_what_is_wrong_is_told_beside_the_field_and_shows_no_secret(admin: Client) -> None:
    stored()
    wrong = {"new_secret": "canary", "new_headers": "Host: canary", "timeout": "soon", "subjects": "a..b"}
    page = shown(posted(admin, change(), **wrong, one_attempt="on", retries="5s"))
    for message in (
        "A secret begins with whsec_",
        "walpost sets the header Host itself",
        "&#x27;soon&#x27; is not a whole number with a unit",
        "&#x27;a..b&#x27; is not a filter",
        "There are retries as well",
    ):
        assert message in page
    assert "canary" not in page
    assert "A header is written as Name: value" in shown(posted(admin, change(), new_headers="canary"))
    assert "There is no secret to sign with" in shown(posted(admin, change(), drop_oldest="on"))
    assert "There is no secret to sign with" in shown(posted(admin, ADD, name="other"))
    assert "already exists" in shown(posted(admin, ADD, name="shop", generate="on"))
    assert WebhookEndpoint.objects.get().secrets == [SECRET]


def test_one_attempt_is_a_schedule_too_and_the_name_stays(admin: Client) -> None:
    stored()
    assert posted(admin, change(), one_attempt="on", name="other").status_code == 302
    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.name, endpoint.retries) == ("shop", [])
    assert "checked" in re.findall(r"<input[^>]*name=\"one_attempt\"[^>]*>", shown(admin.get(change())))[0]
    assert posted(admin, change(), retries="1s").status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.retries == ["1s"]


def test_endpoints_are_served_or_not_by_an_action_of_whoever_may(admin: Client, client: Client) -> None:
    stored()
    act = {"_selected_action": "shop"}
    admin.post(LIST, {**act, "action": "disable"})
    assert not WebhookEndpoint.objects.get().enabled
    admin.post(LIST, {**act, "action": "enable"})
    assert WebhookEndpoint.objects.get().enabled
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_webhookendpoint"))
    client.force_login(reader)
    page = shown(client.get(change()))
    assert SECRET not in page
    assert 'name="new_secret"' not in page
    client.post(LIST, {**act, "action": "disable"})
    assert WebhookEndpoint.objects.get().enabled


def test_walpost_reads_what_is_stored(postgres: servers.Postgres, nats_server: servers.Nats) -> None:
    stored("all", ordering="aggregate", headers={"X-A": "b"}, retries=[], subjects=["outbox.x"], concurrency=3)
    stored("least")
    environment = {
        "WALPOST_POSTGRES_URL": postgres.url(connection.settings_dict["NAME"]),
        "WALPOST_NATS_URL": nats_server.url,
        "WALPOST_WEBHOOKS_SOURCE": "table",
    }

    def walpost(*arguments: str) -> str:
        command = [str(servers.relay_program()), *arguments]
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    walpost("setup")
    assert "exists   table public.walpost_webhook_endpoint" in walpost("webhooks", "setup")
    listed = json.loads(walpost("webhooks", "list", "--format", "json"))
    assert [(one["endpoint"], one["state"]) for one in listed] == [("all", "not begun"), ("least", "not begun")]
    with postgres.connect(connection.settings_dict["NAME"]) as server:
        server.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        server.execute("TRUNCATE walpost_watermark")
