"""One private Postgres for all tests, started when the first test needs a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.private_folder() as folder:
        server = servers.Postgres(folder)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: servers.Postgres) -> None:
    """Have Django's databases on the private server."""
    for alias in ("default", "other"):
        settings.DATABASES[alias]["PORT"] = str(postgres.port)
