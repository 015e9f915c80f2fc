"""Draw bars and ranges as SVG, readable on light and on dark pages.

Knows nothing of what is measured. A picture has a ground of its own: a page may be dark although its reader's system is
light, and the picture follows the system.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from typing import List, NamedTuple, Tuple

WIDTH = 860
LEFT = 232
RIGHT = 170
ROW = 26
TITLE = 66
SPAN = WIDTH - LEFT - RIGHT
#: How wide a character of the small text is at the most.
CHARACTER = 6.6

STYLE = """
  .ground { fill: #ffffff; stroke: #d8dee4 } .text { fill: #1f2328 } .faint { fill: #59636e } .grid { stroke: #d8dee4 }
  .ours { fill: #0969da } .other { fill: #b3bcc6 } .line { stroke: #0969da } text { font: 12px system-ui, sans-serif }
  .title { font-size: 16px; font-weight: 600 } .group { font-weight: 600 } .bold { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d } .text { fill: #f0f6fc } .faint { fill: #9198a1 }
    .grid { stroke: #30363d } .ours { fill: #4493f8 } .other { fill: #545d68 } .line { stroke: #4493f8 }
  }
"""


class Bar(NamedTuple):
    """One bar."""

    name: str
    value: float
    note: str
    """What is said of it at its end."""
    is_ours: bool


class Range(NamedTuple):
    """Points on one line, from the first to the last."""

    name: str
    points: Sequence[Tuple[str, float]]


class Heading(NamedTuple):
    """The text above a picture."""

    title: str
    unit: str


def bars(heading: Heading, groups: Sequence[Tuple[str, Sequence[Bar]]]) -> str:
    """Draw groups of bars from one common zero."""
    most = max(bar.value for _, group in groups for bar in group)
    step = _step(most)
    ticks = [step * number for number in range(ceil(most / step) + 1)]
    y, shapes = TITLE, []
    for name, group in groups:
        shapes.append(_text(LEFT - 10, y + 17, name, "text group", "end"))
        y += ROW
        for bar in group:
            width = bar.value / ticks[-1] * SPAN
            kind = "ours" if bar.is_ours else "other"
            weight = " bold" if bar.is_ours else ""
            shapes.append(_text(LEFT - 10, y + 17, bar.name, f"text{weight}", "end"))
            shapes.append(
                f'<rect class="{kind}" x="{LEFT}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}" rx="2"/>'
            )
            shapes.append(_text(LEFT + width + 6, y + 17, bar.note, f"text{weight}"))
            y += ROW
        y += ROW // 3
    return _picture(heading, y, [(LEFT + tick / ticks[-1] * SPAN, f"{tick:,.10g}") for tick in ticks], shapes)


def ranges(heading: Heading, rows: Sequence[Range]) -> str:
    """Draw points on a logarithmic scale, one line a row."""
    values = [value for row in rows for _, value in row.points]
    lowest, highest = floor(log10(min(values))), ceil(log10(max(values) * 1.0001))
    ticks = [10.0**power * digit for power in range(lowest, highest) for digit in (1, 2, 5)] + [10.0**highest]

    def place(value: float) -> float:
        return LEFT + (log10(value) - lowest) / (highest - lowest) * (SPAN + RIGHT - 40)

    y, shapes = TITLE, []
    for row in rows:
        middle = y + 44
        first, last = place(row.points[0][1]), place(row.points[-1][1])
        shapes.append(_text(LEFT - 10, middle + 4, row.name, "text bold", "end"))
        shapes.append(
            f'<line class="line" x1="{first:.1f}" x2="{last:.1f}" y1="{middle}" y2="{middle}" stroke-width="3"/>'
        )
        # A label goes where the one before it has left room: above, below, or further away.
        free = {middle + line: 0.0 for line in (-11, 21, -25, 35)}
        for name, value in row.points:
            x, label = place(value), f"{name} {value:,.3g}"
            half = len(label) * CHARACTER / 2 + 2
            line = next((line for line, end in free.items() if x - half >= end), middle + 35)
            free[line] = x + half
            shapes.append(f'<circle class="ours" cx="{x:.1f}" cy="{middle}" r="5"/>')
            shapes.append(_text(x, line, label, "text", "middle"))
        y += 88
    return _picture(heading, y, [(place(tick), f"{tick:,.10g}") for tick in ticks], shapes)


def _picture(heading: Heading, bottom: int, ticks: Sequence[Tuple[float, str]], shapes: List[str]) -> str:
    grid = []
    for x, label in ticks:
        grid.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TITLE}" y2="{bottom}"/>')
        grid.append(_text(x, bottom + 16, label, "faint", "middle"))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 30}" role="img">',
            f"<title>{escape(heading.title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{bottom + 29}" rx="6"/>',
            _text(20, 30, heading.title, "text title"),
            _text(20, 50, heading.unit, "faint"),
            *grid,
            *shapes,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _step(most: float) -> float:
    """Choose a round step that divides an axis into some five parts."""
    power: float = 10.0 ** floor(log10(most / 5))
    return next(power * digit for digit in (1, 2, 5, 10) if most / (power * digit) <= 5)
