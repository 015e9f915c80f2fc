"""What the file of figures says, by names; and which goals it meets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Dict, List, NamedTuple

Figures = Dict[str, Any]

#: So much later a start may be for reasons of its own.
NOISE_MS = 10
#: So much later a delivery may be for reasons of its own: on two cores that servers, relay and receivers share, a turn.
TURN_MS = 5
#: So much more log may be unconfirmed for reasons of its own: what is written between two looks at the slot.
BETWEEN_LOOKS_KIB = 64


class Goal(NamedTuple):
    """A goal, and what was measured."""

    name: str
    goal: str
    measured: str
    is_met: bool


def programs(figures: Figures, rows: int) -> Dict[str, Figures]:
    """Give each program's figures of the backlog with so many rows in a transaction."""
    shape = next(shape for shape in figures["backlog"]["shapes"] if shape["rows_per_transaction"] == rows)
    return {program["program"]: program for program in shape["programs"]}


def ratio(figures: Figures, rows: int, other: str) -> float:
    """Give the rate of walpost as a multiple of another's."""
    rates = {name: program["events_per_second"] for name, program in programs(figures, rows).items()}
    return float(rates["walpost"] / rates[other])


def goals(figures: Figures) -> List[Goal]:
    """Hold what was measured against the goals."""
    parts = {
        "backlog": _backlog,
        "memory": _memory,
        "outage": _outage,
        "latency": _latency,
        "idle": _idle,
        "webhooks": _webhooks,
    }
    found = [goal for name, part in parts.items() if name in figures for goal in part(figures)]
    return found + (list(_growth(figures["growth"])) if "growth" in figures else [])


def _at_least(name: str, value: float, bound: float, unit: str) -> Goal:
    return Goal(name, f"≥ {bound:g} × {unit}", f"{value:.2f} ×", value >= bound)


def _at_most(name: str, value: float, bound: float, unit: str) -> Goal:
    return Goal(name, f"≤ {bound:g} {unit}", f"{value:g} {unit}", value <= bound)


def _backlog(figures: Figures) -> Iterator[Goal]:
    one, many = "backlog, 1 row a transaction", "backlog, 100 rows a transaction"
    yield _at_least(one, ratio(figures, 1, "pg_recvlogical"), 1.3, "pg_recvlogical")
    yield _at_least(one, ratio(figures, 1, "bare relay"), 0.9, "bare relay")
    yield _at_least(many, ratio(figures, 100, "bare relay"), 0.9, "bare relay")
    for name, rows in ((one, 1), (many, 100)):
        walpost = programs(figures, rows)["walpost"]
        yield _at_most(f"CPU per event; {name}", walpost["cpu_us_per_event"], 6, "µs")
        yield _at_most(f"peak memory; {name}", walpost["peak_mib"], 32, "MiB")


def _memory(figures: Figures) -> Iterator[Goal]:
    transaction = figures["memory"]["transaction"]
    name = f"peak memory; a transaction of {transaction['rows']:,} rows, {transaction['stream_mb']:,.0f} MB"
    yield _at_most(name, transaction["peak_mib"], 64, "MiB")


def _outage(figures: Figures) -> Iterator[Goal]:
    outage = figures["outage"]
    name = f"peak memory; broker away for {outage['outage_seconds']} s under {outage['per_second']:,} events/s"
    yield _at_most(name, outage["peak_mib"], 64, "MiB")


def _latency(figures: Figures) -> Iterator[Goal]:
    slow = next((rate for rate in figures["latency"]["rates"] if rate["per_second"] == 500), None)
    if slow:
        yield _at_most("latency at 500 events/s, p50", slow["p50_ms"], 1.5, "ms")
        yield _at_most("latency at 500 events/s, p99", slow["p99_ms"], 5, "ms")


def _idle(figures: Figures) -> Iterator[Goal]:
    yield _at_most("idle, of one core", figures["idle"]["cpu_percent"], 0.2, "%")
    yield _at_most("log retained while other tables are busy", figures["idle"]["retained_segments"], 2, "segments")


def _webhooks(figures: Figures) -> Iterator[Goal]:
    for one in figures["webhooks"]["rate"]["senders"][:2]:
        name, rate = f"webhooks: {one['program']}", one["events_per_second"]
        yield Goal(f"{name}; deliveries a second of one worker", "≥ 2,000", f"{rate:,.0f}", rate >= 2000)
        yield _at_most(f"{name}; peak memory", one["peak_mib"], 128, "MiB")
    alone, _, sick = figures["webhooks"]["beside"]["runs"]
    p99 = ("p99 of those that are well", "p99_ms", TURN_MS, "ms")
    lag = ("slot's lag", "most_lag_kib", BETWEEN_LOOKS_KIB, "KiB")
    for what, key, room, unit in (p99, lag):
        goal = f"≤ 1.5 × as without them, and {room} {unit}"
        measured = f"{sick[key]:g} {unit}; without {alone[key]:g} {unit}"
        is_met = sick[key] <= 1.5 * alone[key] + room
        yield Goal(f"webhooks beside sick endpoints; {what}", goal, measured, is_met)


def _growth(growth: Figures) -> Iterator[Goal]:
    rates = {size["much"]: size["events_per_second"] for size in growth["sizes"]}
    base, most = 500_000, max(rates)
    if base in rates and most > base:
        change = (rates[most] / rates[base] - 1) * 100
        yield Goal(f"events/s at {most:,} events", "within 10 % of 500,000", f"{change:+.1f} %", abs(change) <= 10)
    for kind, name in (("backlog_ms", "backlog"), ("stream_ms", "events in the stream")):
        times = {start["events"]: start[kind] for start in growth["starts"]}
        first, last = min(times), max(times)
        measured = f"{times[first]:g} ms at {first:,}, {times[last]:g} ms at {last:,}"
        is_met = times[last] <= 1.25 * times[first] + NOISE_MS
        yield Goal(f"time to start, whatever the {name}", "independent", measured, is_met)
