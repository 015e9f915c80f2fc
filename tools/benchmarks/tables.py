"""The figures as Markdown, by the name of the place where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Dict, List

from charts import GROWTH
from figures import Figures, goals, programs

PROGRAMS = {
    "pg_recvlogical": "`pg_recvlogical` (publishes nothing)",
    "bare relay": "a bare relay (promises nothing)",
    "walpost without delivery status": "walpost without the delivery status",
    "walpost": "**walpost**",
    "JetStream alone": "JetStream alone (from memory)",
}


#: What is shown above the figures of a part.
PICTURES = {
    "backlog": {"throughput.svg": "Events a second of each program", "cpu.svg": "CPU time an event of each program"},
    "latency": {"latency.svg": "Latency at each rate"},
    "growth": {"growth.svg": "Events a second as something grows"},
}


def tables(figures: Figures) -> Dict[str, str]:
    """Write what there are figures for."""
    parts: Dict[str, Callable[[Figures], str]] = {
        "backlog": _backlog,
        "latency": _latency,
        "growth": _growth,
        "memory": _memory,
        "outage": _outage,
        "idle": _idle,
        "webhooks": _webhooks,
        "ingest": _ingest,
    }
    measured = [name for name in parts if name in figures]
    pages = {name: [_pictures(name), parts[name](figures), _machine(figures[name])] for name in measured}
    written = {name: "\n\n".join(filter(None, page)) for name, page in pages.items()}
    written["goals"] = _goals(figures)
    if "backlog" in figures:
        written["summary"] = _summary(figures)
    return written


def _pictures(part: str) -> str:
    return "\n\n".join(f"![{what}]({file})" for file, what in PICTURES.get(part, {}).items())


def _goals(figures: Figures) -> str:
    rows = [[goal.name, goal.goal, goal.measured, "yes" if goal.is_met else "**no**"] for goal in goals(figures)]
    return _table(["", "goal", "measured", "met"], rows)


def _backlog(figures: Figures) -> str:
    rows = []
    for per_transaction in (1, 100):
        of = programs(figures, per_transaction)
        for name, one in of.items():
            multiples = [
                f"{one['events_per_second'] / of[other]['events_per_second']:.2f}"
                for other in ("pg_recvlogical", "bare relay", "JetStream alone")
            ]
            rows.append([str(per_transaction), PROGRAMS[name], *_drained(one), *_servers(one), *multiples])
    header = ["rows a transaction", "", "events/s", "CPU µs/event", "peak MiB", "of Postgres, µs", "of NATS, µs"]
    return _table([*header, "of `pg_recvlogical`", "of the bare relay", "of JetStream alone"], rows)


def _latency(figures: Figures) -> str:
    rows = []
    for rate in figures["latency"]["rates"]:
        keys = ("p50_ms", "p95_ms", "p99_ms", "max_ms", "commit_p50_ms", "commit_p99_ms")
        times = [f"{rate[key]:.2f}" for key in keys]
        reached = f"{rate['reached_per_second']:,}"
        rows.append([f"{rate['per_second']:,}", reached, *times, f"{rate['cpu_us_per_event']:g}"])
    header = ["events/s", "reached", "p50 ms", "p95 ms", "p99 ms", "max ms", "commits alone, p50 ms", "p99 ms"]
    header.append("CPU µs/event")
    most = figures["latency"]["most_per_second"]
    return _table(header, rows) + f"\n\nThe most that flows from such an application: {most:,} events/s."


def _growth(figures: Figures) -> str:
    growth = figures["growth"]
    written = []
    for key, (name, much) in GROWTH.items():
        rows = [[much.format(one["much"]), *_drained(one), *_servers(one)] for one in growth[key]]
        header = [name, "events/s", "CPU µs/event", "peak MiB", "of Postgres, µs", "of NATS, µs"]
        if key == "sizes":
            header.append("a bare relay, events/s")
            for row, one in zip(rows, growth[key]):
                row.append(f"{one['bare_relay_events_per_second']:,.0f}")
        written.append(_table(header, rows))
    rows = [
        [f"{start['events']:,}", f"{start['backlog_ms']:g}", f"{start['stream_ms']:g}"] for start in growth["starts"]
    ]
    written.append(_table(["events", "start with them as backlog, ms", "start with them in the stream, ms"], rows))
    return "\n\n".join(written)


def _memory(figures: Figures) -> str:
    one = figures["memory"]["transaction"]
    row = [f"{one['rows']:,}", f"{one['log_mb']:,.0f} MB", f"{one['stream_mb']:,.0f} MB", *_drained(one)]
    return _table(["rows in one transaction", "log", "stream", "events/s", "CPU µs/event", "peak MiB"], [row])


def _outage(figures: Figures) -> str:
    one = figures["outage"]
    return (
        f"The broker away for {one['outage_seconds']} s under {one['per_second']:,} events a second: "
        f"{one['events_behind']:,} events behind when it came back, drained {one['drained_seconds']:g} s later, still "
        f"under that load; peak memory {one['peak_mib']:g} MiB; the same walsender before, meanwhile and after; "
        f"{one['events']:,} events, each stored once and in order."
    )


def _idle(figures: Figures) -> str:
    one = figures["idle"]
    busy = f"other tables are written to, {one['others_mb_per_second']:g} MB/s"
    retained = [f"{one[key]:g} segments" for key in ("retained_segments", "unconfirmed_segments")]
    header = ["", "of one core", "log retained at the most", "log not confirmed at the most"]
    rows = [
        ["nothing to do", f"{one['cpu_percent']:g} %", "", ""],
        [busy, f"{one['cpu_percent_others_busy']:g} %", *retained],
    ]
    return _table(header, rows)


def _webhooks(figures: Figures) -> str:
    rate, beside = figures["webhooks"]["rate"], figures["webhooks"]["beside"]
    rows = [[one["program"], *_drained(one)] for one in rate["senders"]]
    rates = _table(["", "deliveries/s", "CPU µs/delivery", "peak MiB"], rows)
    rows = []
    for run in beside["runs"]:
        keys = ("p50_ms", "p95_ms", "p99_ms", "max_ms", "insert_p50_ms", "insert_p99_ms")
        times = [f"{run[key]:.2f}" for key in keys]
        rows.append([run["beside"], *times, f"{run['most_lag_kib']:g} KiB", f"{run['cpu_percent']:g} %"])
    header = ["beside them", "p50 ms", "p95 ms", "p99 ms", "max ms", "from the insert, p50 ms", "p99 ms"]
    times = _table([*header, "slot's lag at the most", "worker, of one core"], rows)
    load = (
        f"{beside['per_second']:,} events a second for {beside['seconds']} s, each to {beside['well']} endpoints that "
        f"are well, {beside['runs'][0]['deliveries']:,} deliveries:"
    )
    return "\n\n".join([f"{rate['events']:,} events, one endpoint:", rates, load, times])


def _ingest(figures: Figures) -> str:
    rows = [
        [
            one["brokers"],
            one["way"],
            f"{one['messages_per_second']:,.0f}",
            f"{one['cpu_us_per_message']:.1f}",
            f"{one['brokers_cpu_us_per_message']:.1f}",
        ]
        for one in figures["ingest"]["ways"]
    ]
    return _table(["brokers", "way", "messages/s", "publisher's CPU µs/message", "brokers' CPU µs/message"], rows)


def _summary(figures: Figures) -> str:
    """Write the few lines that the first page shows."""
    one, many = (programs(figures, rows) for rows in (1, 100))
    rows = []
    for name, text in PROGRAMS.items():
        if name != "walpost without delivery status":
            cells = [
                [f"{of[name]['events_per_second']:,.0f}", f"{of[name]['cpu_us_per_event']:.1f} µs"]
                for of in (one, many)
            ]
            rows.append([text, *cells[0], *cells[1]])
    header = ["", "1 row a transaction, events/s", "CPU an event", "100 rows a transaction, events/s", "CPU an event"]
    machine = figures["backlog"]["machine"]
    picture = "![Events a second when draining a backlog](docs/benchmarks/throughput.svg)"
    shared = f"Measured on {machine['cores']} cores that Postgres and NATS share."
    return "\n\n".join([picture, _table(header, rows), f"{_facts(figures)} {shared}"])


def _facts(figures: Figures) -> str:
    facts = []
    for rate in figures.get("latency", {}).get("rates", [])[:1]:
        facts.append(
            f"From the insert to a consumer, at {rate['per_second']:,} events a second: {rate['p50_ms']:g} ms p50, "
            f"{rate['p99_ms']:g} ms p99."
        )
    peaks = [f"{programs(figures, 1)['walpost']['peak_mib']:g} MiB with a backlog"]
    if "memory" in figures:
        one = figures["memory"]["transaction"]
        peaks.append(f"{one['peak_mib']:g} MiB with a transaction of {one['rows']:,} rows")
    if "outage" in figures:
        one = figures["outage"]
        peaks.append(f"{one['peak_mib']:g} MiB with the broker away for {one['outage_seconds']} s")
    facts.append(f"Peak memory: {', '.join(peaks)}.")
    if "idle" in figures:
        facts.append(f"Idle: {figures['idle']['cpu_percent']:g} % of a core.")
    return " ".join(facts)


def _machine(part: Figures) -> str:
    of = part["machine"]
    return (
        f"<sub>{of['date']}, commit {of['commit']}, PostgreSQL {of['postgres']}, nats-server {of['nats']}, "
        f"{of['cpu']}, {of['cores']} cores, {of['memory_gib']:g} GiB, {of['system']}, kernel {of['kernel']}, "
        f"load {of['load']} before.</sub>"
    )


def _drained(one: Figures) -> List[str]:
    peak = one["peak_mib"]
    return [f"{one['events_per_second']:,.0f}", f"{one['cpu_us_per_event']:.1f}", "" if peak is None else f"{peak:g}"]


def _servers(one: Figures) -> List[str]:
    """What the servers used meanwhile."""
    return [f"{one[f'{server}_cpu_us_per_event']:.1f}" for server in ("postgres", "nats")]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
