"""The producers: what they commit is in the stream, and what rolls back is not."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import stream
from conftest import EXAMPLES
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Stage

SQL = EXAMPLES / "produce-sql"


def new_messages(stage: Stage, before: int, count: int) -> list[stream.Stored]:
    """Wait until so many more messages than before are stored, and return them."""
    servers.eventually(lambda: len(stream.messages(stage.nats.url)) >= before + count, f"{count} messages")
    found = stream.messages(stage.nats.url)[before:]
    assert len(found) == count
    return found


def test_plain_sql_records_with_the_change_one_by_one_and_many_at_once(stage: Stage) -> None:
    before = len(stream.messages(stage.nats.url))
    stage.run(SQL / "place_order.sql")
    stage.run(SQL / "place_order.sql")
    stage.run(SQL / "close_orders.sql")
    found = new_messages(stage, before, 4)
    assert [message.subject for message in found] == ["outbox.order.OrderPlaced"] * 2 + ["outbox.order.OrderClosed"] * 2
    keys = [message.headers["Walpost-Aggregate-Id"] for message in found]
    assert keys[:2] == keys[2:] == sorted(keys[:2], key=int)
    assert found[0].payload == {"customer": "Ada", "total_cents": 1990}
    assert found[0].headers["correlation_id"] == "7f3a"


def test_a_trigger_records_for_an_application_that_knows_nothing_of_it(stage: Stage) -> None:
    before = len(stream.messages(stage.nats.url))
    stage.run(SQL / "trigger.sql")
    with stage.postgres.connect() as server:
        with server.transaction(force_rollback=True):
            server.execute("INSERT INTO orders (customer, total_cents) VALUES ('Nobody', 1)")
        server.execute("INSERT INTO orders (customer, total_cents) VALUES ('Grace', 5)")
        server.execute("UPDATE orders SET total_cents = 6 WHERE customer = 'Grace'")
        server.execute("DROP FUNCTION tell_of_order CASCADE")
    found = new_messages(stage, before, 2)
    assert [message.subject for message in found] == ["outbox.order.OrderPlaced", "outbox.order.OrderChanged"]
    assert found[1].payload == {"customer": "Grace", "total_cents": 6, "state": "placed"}


@pytest.fixture
def service(stage: Stage, tmp_path: Path) -> Iterator[str]:
    """The service in `produce-fastapi`, and where it is."""
    port = servers.free_port()
    url = stage.postgres.url("postgres").replace("postgres://", "postgresql+psycopg://")
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    folder = EXAMPLES / "produce-fastapi"
    program = servers.Process(command, tmp_path / "service.log", env={**os.environ, "DATABASE_URL": url}, cwd=folder)
    servers.eventually(lambda: servers.accepts(port), "the service")
    yield f"http://127.0.0.1:{port}"
    assert program.stop() == -signal.SIGTERM, program.said()  # uvicorn stops in order, and ends as it was told to


def ask(address: str, body: Any = None) -> Any:
    """Send a request, and return the answer."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(address, data, {"Content-Type": "application/json"}), timeout=30) as answer:
        return json.load(answer)


def test_a_fastapi_service_records_with_sqlalchemy_and_tells_the_status(stage: Stage, service: str) -> None:
    before = len(stream.messages(stage.nats.url))
    with pytest.raises(HTTPError, match="403"):
        ask(f"{service}/orders", {"customer": "Mallory", "total_cents": 1})
    answers = [ask(f"{service}/orders", {"customer": "Ada", "total_cents": total}) for total in (10, 20)]
    found = new_messages(stage, before, 2)
    assert [message.id for message in found] == [answer["event"] for answer in answers]
    assert [message.headers["Walpost-Aggregate-Id"] for message in found] == [str(one["order"]) for one in answers]
    assert [message.payload["total_cents"] for message in found] == [10, 20]
    for answer in answers:
        status = f"{service}/events/{answer['event']}"
        servers.eventually(lambda status=status: ask(status)["status"] == "published", "the status")
    with pytest.raises(HTTPError, match="404"):
        ask(f"{service}/events/00000000-0000-0000-0000-000000000000")
