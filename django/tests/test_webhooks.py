"""Webhooks are believed if they are signed and new, and are handled once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from django_walpost.webhooks import Webhook, WebhookRefused, verify, webhook_view

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
BODY = b'{"test": 2432232314}'
NOW = 1_790_000_000
"""A moment for cases that are made long before they are tried."""


def headers(*secrets: str, body: bytes = BODY, message_id: str = "e1", sent: int | str | None = None) -> dict[str, str]:
    """Return what a sender with these secrets sends beside the body."""
    at = str(int(time.time()) if sent is None else sent)
    signed = f"{message_id}.{at}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    digests = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    signatures = " ".join(f"v1,{digest}" for digest in digests)
    return {"Webhook-Id": message_id, "Webhook-Timestamp": at, "Webhook-Signature": signatures}


def test_the_example_of_the_standard_is_believed() -> None:
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"v1a,AAAA {signature} v2,x",
        "walpost-sequence": "7",
    }
    webhook = verify(given, BODY, SECRET, now=1614265330.5)
    assert webhook == Webhook("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY, 7)
    assert webhook.json() == {"test": 2432232314}


def test_any_secret_of_either_side_will_do_while_they_are_exchanged() -> None:
    assert verify(headers(OTHER, SECRET), BODY, SECRET).id == "e1"
    assert verify(headers(SECRET), BODY, [OTHER, SECRET]).sequence is None


@pytest.mark.parametrize(
    ("given", "body", "why"),
    [
        (headers(SECRET), BODY + b" ", "no signature"),
        (headers(OTHER), BODY, "no signature"),
        (headers(), BODY, "no signature"),
        ({**headers(SECRET), "Webhook-Id": "e2"}, BODY, "no signature"),
        ({**headers(SECRET), "Webhook-Signature": "v1"}, BODY, "no signature"),
        ({**headers(SECRET), "Webhook-Signature": "v1,ü"}, BODY, "no signature"),
        ({**headers(SECRET), "Webhook-Timestamp": "1"}, BODY, "no signature"),
        (headers(SECRET, sent="soon"), BODY, "no number"),
        (headers(SECRET, sent="-5"), BODY, "no number"),
        (headers(SECRET, sent="9" * 13), BODY, "no number"),
        (headers(SECRET, sent=NOW - 301), BODY, "too old"),
        (headers(SECRET, sent=NOW + 301), BODY, "too old"),
        ({}, BODY, "webhook-id is missing"),
        ({"webhook-id": "a", "webhook-timestamp": "1"}, BODY, "webhook-signature is missing"),
    ],
)
def test_what_is_not_signed_or_old_is_refused(given: dict[str, str], body: bytes, why: str) -> None:
    with pytest.raises(WebhookRefused, match=why):
        verify(given, body, SECRET, now=NOW)


def test_the_clocks_may_differ_by_five_minutes() -> None:
    for sent in (NOW - 300, NOW, NOW + 300):
        assert verify(headers(SECRET, sent=sent), BODY, SECRET, now=NOW).timestamp == sent


@pytest.mark.parametrize("secrets", [[], "", "secret", "whsec_", "whsec_!", "whsec_c2hvcnQ="])
def test_a_secret_that_is_none_is_told_to_the_developer_and_not_shown(secrets: str | list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as told:
        verify(headers(SECRET), BODY, secrets)
    assert "c2hvcnQ" not in str(told.value)


def post(view: Callable[[HttpRequest], HttpResponse], given: dict[str, str], body: bytes = BODY) -> HttpResponse:
    """Return what a view answers to a request."""
    return view(RequestFactory().post("/", body, content_type="application/json", headers=given))


def test_a_view_gets_each_event_once_that_it_has_taken() -> None:
    seen: list[str] = []
    answers = [500, 204, 204]

    @webhook_view(lambda: [OTHER, SECRET], remember=LocMemCache("webhooks", {}))
    def view(_request: HttpRequest, webhook: Webhook) -> HttpResponse:
        seen.append(webhook.id)
        return HttpResponse(status=answers.pop(0))

    # What failed comes again, what was taken does not, and another one is another one.
    assert [post(view, headers(SECRET)).status_code for _ in range(4)] == [500, 204, 200, 200]
    assert post(view, headers(SECRET, message_id="e2")).status_code == 204
    assert seen == ["e1", "e1", "e2"]


def test_a_view_answers_strangers_without_the_function_and_takes_nothing_but_post() -> None:
    @webhook_view(lambda: SECRET)
    def view(_request: HttpRequest, _webhook: Webhook) -> HttpResponse:
        return HttpResponse(status=204)

    refused = post(view, headers(OTHER))
    assert (refused.status_code, refused.content) == (401, b"no signature is one of ours\n")
    assert view(RequestFactory().get("/")).status_code == 405
    assert post(view, headers(SECRET, message_id="default cache")).status_code == 204
    assert post(view, headers(SECRET, message_id="default cache")).status_code == 200
    caches["default"].clear()
