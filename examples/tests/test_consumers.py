"""The consumers in four languages: each order has one invoice, in commit order, whatever happens to the program."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from nats.js.errors import NotFoundError

import stream
from conftest import EXAMPLES
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Stage

#: Where programs are built, and their parts installed.
BUILT = servers.TOOLS / "examples-built"

INSERT = """
INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload) VALUES (%s, 'order', %s, 'OrderPlaced', %s)
"""


def python() -> list[str]:
    return [sys.executable, str(EXAMPLES / "consume-python" / "consumer.py")]


def go() -> list[str]:
    program = BUILT / "consume-go"
    built = [needed("go"), "build", "-mod=readonly", "-o", str(program), "."]
    settings = {**os.environ, "CGO_ENABLED": "0"}  # half the work for a cold cache
    done = subprocess.run(built, cwd=EXAMPLES / "consume-go", env=settings, capture_output=True, text=True, check=False)
    if "requires go >=" in done.stderr:
        pytest.skip(f"the consumer for Go did NOT run: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return [str(program)]


def node() -> list[str]:
    """Install what the lock file pins beside a copy: the source tree stays as it is."""
    program, npm = needed("node"), needed("npm")
    source, copy = EXAMPLES / "consume-node", BUILT / "consume-node"
    pins, stamp = (source / "package-lock.json").read_text(), copy / "STAMP"
    if not stamp.is_file() or stamp.read_text() != pins:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("node_modules"))
        subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=copy, check=True)
        stamp.write_text(pins)
    shutil.copy2(source / "consumer.mjs", copy)
    return [program, str(copy / "consumer.mjs")]


def rust() -> list[str]:
    built = [needed("cargo"), "build", "--quiet", "--locked", "--example", "consume-rust"]
    subprocess.run(built, cwd=servers.ROOT, check=True)
    return [str(servers.ROOT / "target" / "debug" / "examples" / "consume-rust")]


def needed(tool: str) -> str:
    """Return where a tool of another language is; without it nothing can be said of that example."""
    if program := shutil.which(tool):
        return program
    pytest.skip(f"{tool} is not installed: the consumer for it did NOT run")


@pytest.fixture
def billing(stage: Stage) -> Iterator[str]:
    """An empty database for what the consumer writes, as a connection string; the consumer is forgotten afterwards."""
    name = f"billing_{uuid4().hex}"
    with stage.postgres.connect() as server:
        server.execute(f"CREATE DATABASE {name}")
    stage.run(EXAMPLES / "consume.sql", name)
    yield name
    with contextlib.suppress(NotFoundError):  # the program did not come so far
        stream.forget_consumer(stage.nats.url, "billing")


@pytest.mark.parametrize("language", [python, go, node, rust], ids=lambda language: language.__name__)
def test_each_order_has_one_invoice_in_commit_order(stage: Stage, billing: str, tmp_path: Path, language) -> None:
    command = language()
    environment = {**os.environ, "DATABASE_URL": stage.postgres.url(billing), "NATS_URL": stage.nats.url}

    def start() -> servers.Process:
        return servers.Process(command, tmp_path / "consumer.log", env=environment, cwd=tmp_path)

    with stage.postgres.connect() as outbox, stage.postgres.connect(billing) as database:

        def invoices() -> list[tuple[str, int]]:
            return database.execute("SELECT order_id, total_cents FROM invoice ORDER BY number").fetchall()

        def expected() -> list[tuple[str, int]]:
            return [
                (stored.headers["Walpost-Aggregate-Id"], stored.payload["total_cents"])
                for stored in stream.messages(stage.nats.url)
                if stored.subject == "outbox.order.OrderPlaced"
            ]

        def place(orders: range) -> None:
            for number in orders:
                outbox.execute(INSERT, [uuid4(), str(number), json.dumps({"total_cents": number * 10})])

        first, program = uuid4().int >> 100, start()
        try:
            place(range(first, first + 10))
            ended = lambda: program.child.poll() is None or pytest.fail(program.said())  # noqa: E731
            servers.eventually(lambda: ended() and len(invoices()) >= 10 and invoices() == expected(), "ten invoices")

            # It is killed inside its transaction: neither the invoice nor the note of the inbox is there.
            with database.transaction():
                database.execute("LOCK TABLE invoice IN EXCLUSIVE MODE")
                place(range(first + 10, first + 11))
                waits = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'invoice'::regclass"
                servers.eventually(lambda: database.execute(waits).fetchone() is not None, "the consumer to write")
                program.stop(signal.SIGKILL)
            before = len(invoices())

            # The server has forgotten how far it was: every event comes again.
            stream.forget_consumer(stage.nats.url, "billing")
            program = start()
            servers.eventually(lambda: ended() and len(invoices()) > before, "the invoice of the interrupted order")
            done = lambda: ended() and stream.unacknowledged(stage.nats.url, "billing") == 0  # noqa: E731
            servers.eventually(done, "each event to be acknowledged")
            assert len(expected()) == before + 1
            assert invoices() == expected()
            assert program.stop() == 0, program.said()
        finally:
            with contextlib.suppress(ProcessLookupError):
                program.stop(signal.SIGKILL)
