"""Which pictures are drawn of the figures."""

from __future__ import annotations

from typing import Dict

from figures import Figures, programs
from svg import Bar, Heading, Range, bars, ranges

OURS = "walpost"

#: How what a backlog has much of is called, with the unit of the note.
GROWTH = {
    "sizes": ("events in the backlog", "{:,}"),
    "payloads": ("bytes of payload", "{:,} B"),
    "transactions": ("rows a transaction", "{:,}"),
    "keys": ("keys, each a subject", "{:,}"),
}


def charts(figures: Figures) -> Dict[str, str]:
    """Draw what there are figures for, by file name."""
    drawn = {}
    if "backlog" in figures:
        drawn["throughput.svg"] = _throughput(figures)
        drawn["cpu.svg"] = _cpu(figures)
    if "latency" in figures:
        drawn["latency.svg"] = _latency(figures["latency"])
    if "growth" in figures:
        drawn["growth.svg"] = _growth(figures["growth"])
    return drawn


def _groups(figures: Figures) -> Dict[str, Dict[str, Figures]]:
    names = {1: "1 row a transaction", 100: "100 rows a transaction"}
    return {name: programs(figures, rows) for rows, name in names.items()}


def _throughput(figures: Figures) -> str:
    groups = []
    for name, of in _groups(figures).items():
        rates = {program: one["events_per_second"] for program, one in of.items()}
        notes = {program: f"{rate:,.0f} · {rate / rates['pg_recvlogical']:.2f} ×" for program, rate in rates.items()}
        groups.append((name, [Bar(program, rate, notes[program], program == OURS) for program, rate in rates.items()]))
    events = figures["backlog"]["events"]
    unit = f"events a second, and as a multiple of pg_recvlogical, which publishes nothing; {events:,} events, medians"
    return bars(Heading("Draining a backlog", unit), groups)


def _cpu(figures: Figures) -> str:
    groups = []
    for name, of in _groups(figures).items():
        times = {program: one["cpu_us_per_event"] for program, one in of.items()}
        groups.append((name, [Bar(program, us, f"{us:.1f} µs", program == OURS) for program, us in times.items()]))
    unit = (
        "CPU time of the process in microseconds an event, user and system; of JetStream alone, that of its publisher"
    )
    return bars(Heading("CPU time of draining a backlog", unit), groups)


def _latency(latency: Figures) -> str:
    names = {"p50": "p50_ms", "p95": "p95_ms", "p99": "p99_ms", "max": "max_ms"}
    rows = [
        Range(f"{rate['per_second']:,} events/s", [(name, max(rate[key], 0.01)) for name, key in names.items()])
        for rate in latency["rates"]
    ]
    unit = "milliseconds from the insert to a consumer, the commit's sync to disk included; logarithmic"
    return ranges(Heading("Latency at a steady rate", unit), rows)


def _growth(growth: Figures) -> str:
    groups = []
    for key, (name, much) in GROWTH.items():
        rows = []
        for one in growth[key]:
            rate = one["events_per_second"]
            note = f"{rate:,.0f}"
            if key == "payloads":
                note += f" · {rate * one['much'] / 1e6:,.0f} MB/s"
            rows.append(Bar(much.format(one["much"]), rate, note, is_ours=True))
        groups.append((name, rows))
    return bars(Heading("How it grows", "events a second when draining a backlog, with everything on"), groups)
