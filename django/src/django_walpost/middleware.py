"""The middleware that takes the context of events from the request."""

from __future__ import annotations

import re
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from django.utils.decorators import sync_and_async_middleware

from django_walpost.conf import config
from django_walpost.context import (
    CAUSATION_ID,
    CORRELATION_ID,
    TRACEPARENT,
    TRACESTATE,
    USER,
    event_context,
)
from django_walpost.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest, HttpResponseBase

#: An id that somebody else made: visible ASCII, and not a letter of abuse.
_ID = re.compile(r"[!-~]{1,128}")
#: <https://www.w3.org/TR/trace-context/#traceparent-header>; all zeros are invalid.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[!-~](?:[ -~]{0,510}[!-~])?")


@sync_and_async_middleware
def event_context_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Give the events of a request its correlation and causation id, user and trace.

    It stands anywhere in ``MIDDLEWARE``; the user is asked for when an event is recorded.
    """
    if iscoroutinefunction(get_response):
        respond: Callable[[HttpRequest], Awaitable[HttpResponseBase]] = get_response

        async def async_middleware(request: HttpRequest) -> HttpResponseBase:
            with request_context(request):
                return await respond(request)

        return async_middleware

    def middleware(request: HttpRequest) -> Any:
        with request_context(request):
            return get_response(request)

    return middleware


def request_context(request: HttpRequest) -> event_context:
    """Return the context of a request's events.

    What a header holds comes from outside: one that is not well formed counts as missing. A request without a
    correlation id gets a new one.
    """
    names = config()
    headers: dict[str, Any] = {
        CORRELATION_ID: _matching(_ID, request, names.correlation_id_header) or str(uuid7()),
        CAUSATION_ID: _matching(_ID, request, names.causation_id_header),
        TRACEPARENT: _matching(_TRACEPARENT, request, "traceparent"),
    }
    if headers[TRACEPARENT]:
        headers[TRACESTATE] = _matching(_TRACESTATE, request, "tracestate")
    if names.record_user:
        headers[USER] = lambda: _user_id(request)
    return event_context(headers, fresh=True)


def _matching(pattern: re.Pattern[str], request: HttpRequest, name: str) -> str | None:
    """Return the value of a request's header if it is well formed."""
    value = request.headers.get(name)
    return value if value is not None and pattern.fullmatch(value) else None


def _user_id(request: HttpRequest) -> str | None:
    """Return the primary key of the request's user, if somebody is logged in."""
    user = getattr(request, "user", None)
    return str(user.pk) if user is not None and user.is_authenticated else None
