"""Ids sort as they were made, and are UUIDs of version 7."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import RFC_4122

from django_walpost import ids

if TYPE_CHECKING:
    import pytest


def test_ids_are_of_version_7_and_carry_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = ids.uuid7()
    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == RFC_4122
    assert before <= made.int >> 80 <= after


def test_ids_sort_as_they_were_made() -> None:
    made = [ids.uuid7() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_ids_grow_although_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    first = ids.uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: now - 3_600_000_000_000)
    made = [first, *(ids.uuid7() for _ in range(5_000))]
    assert made == sorted(set(made))
