"""Servers for the examples: those of the tests of django-walpost, one set for all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

EXAMPLES = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(EXAMPLES.parent / "django"))

from tests import servers  # noqa: E402 - found by the line above

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stage:
    """A Postgres, a nats-server and the relay between them, with the tables that the examples write to."""

    def __init__(self, folder: Path) -> None:
        self.postgres = servers.Postgres(folder)
        self.nats = servers.Nats(folder)
        self.relay = servers.Relay(folder, self.postgres.url("postgres"), self.nats)
        self.run(EXAMPLES / "produce-sql" / "schema.sql")

    def run(self, script: Path, database: str = "postgres") -> None:
        """Run a script as psql would."""
        with self.postgres.connect(database) as server:
            server.execute(script.read_text())

    def stop(self) -> None:
        """Stop it all."""
        self.relay.stop()
        self.nats.stop()
        self.postgres.stop()


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    with servers.private_folder() as folder:
        stage = Stage(folder)
        yield stage
        sys.stderr.write(stage.relay.process.said())  # pytest shows it with a test that failed
        stage.stop()
