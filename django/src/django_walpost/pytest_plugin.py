"""A plugin for pytest: the fixture ``outbox_events``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_walpost.testing import CapturedEvents


@pytest.fixture
def outbox_events(db: None) -> Iterator[CapturedEvents]:
    """Return the events that the test records: ``assert outbox_events.types == ["OrderPlaced"]``."""
    from django_walpost.testing import capture_events

    with capture_events() as events:
        yield events
