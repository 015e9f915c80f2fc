"""What events carry of the request that caused them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory

from django_walpost import current_headers, event_context
from django_walpost.middleware import event_context_middleware
from django_walpost.models import OutboxEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def seen(**headers: str) -> dict[str, Any]:
    """Return the context of a request with these headers."""
    found: dict[str, Any] = {}

    def view(request: HttpRequest) -> HttpResponse:
        found.update(current_headers())
        return HttpResponse()

    event_context_middleware(view)(RequestFactory().get("/", headers=headers))
    assert current_headers() == {}
    return found


def test_contexts_nest_and_end() -> None:
    with event_context(a="1", b="1"):
        with event_context({"b": "2", "c-d": "2"}, a=None):
            assert current_headers() == {"b": "2", "c-d": "2"}
        with event_context(fresh=True, z="9"):
            assert current_headers() == {"z": "9"}
        assert current_headers() == {"a": "1", "b": "1"}
    assert current_headers() == {}


def test_a_context_decorates_functions_and_coroutine_functions() -> None:
    @event_context(job="nightly")
    def job(depth: int = 0) -> dict[str, Any]:
        return job(depth + 1) if depth < 2 else current_headers()

    @event_context(job="async")
    async def async_job() -> dict[str, Any]:
        await asyncio.sleep(0)
        return current_headers()

    async def both() -> list[dict[str, Any]]:
        return list(await asyncio.gather(async_job(), async_job()))

    assert job() == {"job": "nightly"}
    assert asyncio.run(both()) == [{"job": "async"}] * 2
    assert current_headers() == {}


def test_a_context_is_handed_to_another_thread_by_hand() -> None:
    with event_context(user=lambda: "7"), ThreadPoolExecutor(1) as pool:
        headers = current_headers()
        assert pool.submit(current_headers).result() == {}
        assert pool.submit(event_context(headers)(current_headers)).result() == {"user": "7"}


def test_a_request_gives_its_ids_and_its_trace() -> None:
    headers = {"X-Correlation-ID": "c-1", "X-Causation-ID": "e-1", "traceparent": TRACE, "tracestate": "a=b,c=d"}
    expected = {"correlation_id": "c-1", "causation_id": "e-1", "traceparent": TRACE, "tracestate": "a=b,c=d"}
    assert seen(**headers) == expected


def test_a_request_without_a_correlation_id_gets_one() -> None:
    first, second = seen(), seen()
    assert UUID(first["correlation_id"]).version == 7
    assert first["correlation_id"] != second["correlation_id"]
    assert set(first) == {"correlation_id"}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Correlation-ID": "a b"},
        {"X-Correlation-ID": "x" * 129},
        {"X-Causation-ID": "ä"},
        {"traceparent": "00-" + "0" * 32 + "-b7ad6b7169203331-01"},
        {"traceparent": "ff" + TRACE[2:]},
        {"traceparent": TRACE + "-00", "tracestate": "a=b"},
        {"tracestate": "a=b"},
    ],
)
def test_what_is_not_well_formed_counts_as_missing(headers: dict[str, str]) -> None:
    found = seen(**headers)
    assert set(found) == {"correlation_id"}
    assert UUID(found["correlation_id"]).version == 7


def test_the_names_of_headers_are_settings(settings: Any) -> None:
    settings.WALPOST = {"CORRELATION_ID_HEADER": "X-Request-ID"}
    assert seen(**{"X-Request-ID": "r"})["correlation_id"] == "r"


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create(username="ada")


def event_of(body: bytes) -> OutboxEvent:
    return OutboxEvent.objects.get(pk=UUID(body.decode()))


def test_an_event_of_a_view_carries_the_request(user: User, client: Client) -> None:
    client.force_login(user)
    event = event_of(client.get("/place", headers={"X-Correlation-ID": "c-1", "traceparent": TRACE}).content)
    assert event.headers == {"correlation_id": "c-1", "traceparent": TRACE, "user": str(user.pk)}


def test_nobody_logged_in_is_no_user(db: None, client: Client) -> None:
    assert set(event_of(client.get("/place").content).headers) == {"correlation_id"}


def test_the_user_can_be_left_out(user: User, client: Client, settings: Any) -> None:
    settings.WALPOST = {"RECORD_USER": False}
    client.force_login(user)
    assert set(event_of(client.get("/place").content).headers) == {"correlation_id"}


@pytest.mark.django_db(transaction=True)
def test_an_event_of_an_async_view_carries_the_request(user: User, async_client: AsyncClient) -> None:
    from asgiref.sync import async_to_sync

    async_client.force_login(user)
    get: Callable[..., Any] = async_to_sync(async_client.get)
    event = event_of(get("/aplace", headers={"X-Correlation-ID": "c-2"}).content)
    assert event.headers == {"correlation_id": "c-2", "user": str(user.pk)}
