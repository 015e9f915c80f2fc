"""Receiving webhooks: requests that walpost (or any sender of Standard Webhooks) has signed.

A request is believed if one of its signatures is one of ours, over its id, its time and its body, and if it is not old.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from django.core.cache.backends.base import BaseCache
    from django.http import HttpRequest

    View = Callable[[HttpRequest, "Webhook"], HttpResponse]

__all__ = ["Webhook", "WebhookRefused", "verify", "webhook_view"]

#: How old, and how far in the future, a request may be: what the standard proposes.
TOLERANCE_SECONDS = 5 * 60
#: How long an id is remembered: longer than walpost tries an event with its default schedule.
REMEMBERED_SECONDS = 7 * 24 * 60 * 60

_PREFIX = "whsec_"
_VERSION = "v1"
_MIN_SECRET_BYTES = 24


class WebhookRefused(Exception):
    """A request that must not be believed. The text says why, and nothing that a stranger could use."""


@dataclasses.dataclass(frozen=True, slots=True)
class Webhook:
    """A request that is believed."""

    id: str
    """The event's id: the same each time that the event is sent."""
    timestamp: int
    """When it was sent, in seconds since 1970."""
    body: bytes
    """The body."""
    sequence: int | None = None
    """The event's place in the stream, if walpost sent it: it rises with commit order. It is not signed."""

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: str | Iterable[str],
    *,
    tolerance: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> Webhook:
    """Return a request as one that is believed.

    Args:
        headers: those of the request, in any case: ``request.headers``.
        body: the body as it came, before anybody parsed it: ``request.body``.
        secrets: what the sender signs with, ``whsec_...``; several while they are being exchanged.
        tolerance: how many seconds it may be old, or early.
        now: the time in seconds since 1970, for tests.

    Raises:
        WebhookRefused: it must not be believed.
        ImproperlyConfigured: a secret is none.

    """
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        message = "A webhook is verified by at least one secret."
        raise ImproperlyConfigured(message)
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, sent, signatures = (given[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
    except KeyError as error:
        message = f"the header {error.args[0]} is missing"
        raise WebhookRefused(message) from None
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 12):  # noqa: PLR2004 - enough for 30,000 years
        message = "webhook-timestamp is no number"
        raise WebhookRefused(message)
    signed = b".".join((message_id.encode(), sent.encode(), body))
    offered = [
        value.encode()
        for version, _, value in (one.partition(",") for one in signatures.split())
        if version == _VERSION
    ]
    expected = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    # All pairs are compared, each in constant time: how long it takes tells nothing.
    matches = [hmac.compare_digest(one, other) for one in offered for other in expected]
    if not any(matches):
        message = "no signature is one of ours"
        raise WebhookRefused(message)
    if abs((time.time() if now is None else now) - int(sent)) > tolerance:
        message = "it is too old, or the clocks differ"
        raise WebhookRefused(message)
    sequence = given.get("walpost-sequence", "")
    return Webhook(message_id, int(sent), body, int(sequence) if sequence.isascii() and sequence.isdecimal() else None)


def webhook_view(
    secrets: Callable[[], str | Iterable[str]],
    *,
    tolerance: float = TOLERANCE_SECONDS,
    remember: BaseCache | None = None,
    prefix: str = "walpost-webhook:",
) -> Callable[[View], Callable[[HttpRequest], HttpResponse]]:
    """Make a view of a function that takes a request and its :class:`Webhook`.

    A request that is refused gets 401 and never reaches the function. One whose id was handled gets 200 without it: the
    sender repeats what it does not know to have arrived. An id counts as handled when the function has returned an
    answer below 300; it is remembered in the cache, so a cache that forgets lets a repeat through. Where that must not
    be, write the id in the transaction of the effect, as :mod:`django_walpost.consume` does.

    Args:
        secrets: what gives the secrets when a request comes: ``lambda: settings.SHOP_WEBHOOK_SECRETS``.
        tolerance: how many seconds a request may be old, or early.
        remember: the cache that ids are remembered in; the default one if it is not given.
        prefix: what the keys in the cache begin with: another one for each sender.

    """

    def decorate(view: View) -> Callable[[HttpRequest], HttpResponse]:
        @csrf_exempt
        @require_POST
        @functools.wraps(view)
        def received(request: HttpRequest) -> HttpResponse:
            try:
                webhook = verify(request.headers, request.body, secrets(), tolerance=tolerance)
            except WebhookRefused as refused:
                return HttpResponse(f"{refused}\n", status=401, content_type="text/plain; charset=utf-8")
            seen, key = remember or cache, prefix + hashlib.sha256(webhook.id.encode()).hexdigest()
            if seen.get(key):
                return HttpResponse(status=200)
            response = view(request, webhook)
            if response.status_code < 300:  # noqa: PLR2004 - what the sender takes for delivered
                seen.set(key, 1, REMEMBERED_SECONDS)
            return response

        return received

    return decorate


def _key(secret: str) -> bytes:
    """Return the bytes of a secret."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) < _MIN_SECRET_BYTES:
        # Not shown: it may be a secret after all.
        message = f"A secret of webhooks is {_PREFIX} and the base64 of at least {_MIN_SECRET_BYTES} bytes."
        raise ImproperlyConfigured(message)
    return key
