"""One private Postgres for all tests, started when the first test needs a database."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.db import connection

from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.private_folder() as folder:
        server = servers.Postgres(folder)
        yield server
        server.stop()


@pytest.fixture
def nats_server() -> Iterator[servers.Nats]:
    with servers.private_folder() as folder:
        server = servers.Nats(folder)
        yield server
        server.stop()


@pytest.fixture
def relay_user() -> str:
    """The role of the relay."""
    return "postgres"


@pytest.fixture
def relay(
    transactional_db: None, postgres: servers.Postgres, nats_server: servers.Nats, relay_user: str
) -> Iterator[servers.Relay]:
    """The relay on the test database. Afterwards its slot goes, which would hold the database."""
    database = connection.settings_dict["NAME"]
    with servers.private_folder() as folder:
        relay = servers.Relay(folder, postgres.url(database, relay_user), nats_server)
        yield relay
        relay.stop()
        sys.stderr.write(relay.process.said())  # pytest shows it with a test that failed
        with postgres.connect(database) as server:
            server.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
            server.execute("TRUNCATE walpost_watermark")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: servers.Postgres) -> None:
    """Have Django's databases on the private server."""
    for alias in ("default", "other"):
        settings.DATABASES[alias]["PORT"] = str(postgres.port)
