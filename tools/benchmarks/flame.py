#!/usr/bin/env python3
"""Draw where a program's time goes, of what perf recorded: callers above what they call, as wide as the time spent.

Frames of the runtime between the program's own (polling of futures, the start of a thread) are left out, and so is what is
too narrow to see. Needs Python 3.9 or later, and perf.
"""

from __future__ import annotations

import re
import subprocess
import sys
from html import escape
from typing import Dict, Iterator, List, Tuple

USAGE = "usage: tools/benchmarks/flame.py <file of perf> <name of the program> <picture to write>\n"

WIDTH = 1100
MARGIN = 16
TOP = 66
ROW = 19
#: Narrower than this and nothing can be read.
NARROWEST = 2.5
#: So many frames of the kernel say what it was asked for; those below are its own affair.
KERNEL_FRAMES = 6
#: How wide a character is at the most.
CHARACTER = 6.2

#: What a frame belongs to, by how its symbol or the place of its code begins; the first that fits.
KINDS = {
    "kernel": ("the kernel", ("[kernel", "[guest.kernel")),
    "walpost": ("walpost", ("walpost::", "<walpost::")),
    "nats": ("the NATS client", ("async_nats::", "<async_nats::")),
    "other": ("libraries", ("",)),
}
#: What stands between the frames of a program.
RUNTIME: Tuple[str, ...] = (
    *("std::", "core::", "<core::", "main", "_start", "__libc_start", "start_thread", "<alloc::boxed"),
    *("tokio::runtime::", "<tokio::runtime::", "tokio::task::", "tokio::future", "<tokio::future"),
    *("futures_util::", "<futures_util::"),
)

STYLE = """
  text { font: 11px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 16px; font-weight: 600 }
  .ground { fill: #ffffff; stroke: #d8dee4 } rect.frame { stroke: #ffffff; stroke-width: 0.6 }
  .kernel { fill: #c8ced6 } .walpost { fill: #8cc2ff } .nats { fill: #ffc98a } .other { fill: #b9e3c1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .ground { fill: #0d1117; stroke: #3d444d } rect.frame { stroke: #0d1117 }
    .kernel { fill: #454c56 } .walpost { fill: #1158a8 } .nats { fill: #8a4d10 } .other { fill: #24613a }
  }
"""

Frame = Tuple[str, str]
"""A kind and a symbol."""


class Node:
    """A frame in its place."""

    def __init__(self) -> None:
        self.samples = 0
        self.callees: Dict[Frame, Node] = {}

    def add(self, stack: List[Frame]) -> None:
        """Count a sample whose frames below this one are these, the outermost first."""
        self.samples += 1
        if stack:
            self.callees.setdefault(stack[0], Node()).add(stack[1:])


def main(record: str, program: str, picture: str) -> int:
    """Draw a record."""
    root = Node()
    for stack in stacks(record, program):
        root.add(stack)
    if not root.samples:
        print(f"error: {record} has no sample of {program}", file=sys.stderr)
        return 1
    with open(picture, "w", encoding="utf-8") as file:
        file.write(drawn(root, program))
    return 0


def stacks(record: str, program: str) -> Iterator[List[Frame]]:
    """Give the frames of each sample, the outermost first."""
    command = ["perf", "script", f"--input={record}", f"--comm={program}", "--fields=ip,sym,dso"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    for sample in output.decode(errors="replace").split("\n\n"):
        frames: List[Frame] = []
        for line in reversed(sample.strip().splitlines()):
            found = re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line)
            frame = frame_of(found[1], found[2]) if found else None
            if frame and frame not in frames[-1:] and sum(kind == "kernel" for kind, _ in frames) < KERNEL_FRAMES:
                frames.append(frame)
        if frames:
            yield frames


def frame_of(symbol: str, code: str) -> Frame | None:
    """Give the frame of a symbol, unless it only stands between, or nobody knows its name."""
    if symbol.startswith(RUNTIME) or symbol == "[unknown]":
        return None
    for kind, (_, begins) in KINDS.items():
        if symbol.startswith(begins) or code.startswith(begins):
            return kind, short(symbol)
    return None


def short(symbol: str) -> str:
    """Leave out what nobody reads: hashes, closures, type arguments, and the path but for its last parts."""
    symbol = re.sub(r"::h[0-9a-f]{16}$|\+0x[0-9a-f]+$", "", symbol)
    symbol = re.sub(r"<(\S+) as [^<>]*(<[^<>]*>)?[^<>]*>", r"\1", symbol)
    while re.search(r"<[^<>]*>", symbol):
        symbol = re.sub(r"(::)?<[^<>]*>", "", symbol)
    symbol = re.sub(r"::\{[^}]*\}+(#\d+\})?", "", symbol)
    parts = symbol.split("::")
    return "::".join(parts[-3:] if len(parts) > 2 else parts).lstrip(":")


def drawn(root: Node, program: str) -> str:
    """Draw the tree."""
    shapes: List[str] = []
    scale = (WIDTH - 2 * MARGIN) / root.samples
    deepest = place(root, scale, (float(MARGIN), TOP), shapes)
    legend, x = [], float(MARGIN)
    for kind, (name, _) in KINDS.items():
        legend.append(f'<rect class="{kind}" x="{x}" y="40" width="12" height="12" rx="2"/>')
        legend.append(f'<text x="{x + 17}" y="50">{name}</text>')
        x += 34 + len(name) * CHARACTER
    bottom = deepest + MARGIN
    title = f"Where {program} spends its time: {root.samples:,} samples; callers above what they call"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" role="img">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{bottom - 1}" rx="6"/>',
        f'<text class="title" x="{MARGIN}" y="27">{escape(title)}</text>',
    ]
    return "\n".join([*head, *legend, *shapes, "</svg>\n"])


def place(node: Node, scale: float, corner: Tuple[float, int], shapes: List[str]) -> int:
    """Draw what a frame calls, the widest first; how far down that goes."""
    x, y = corner
    deepest = y
    for (kind, name), callee in sorted(node.callees.items(), key=lambda item: -item[1].samples):
        width = callee.samples * scale
        if width < NARROWEST:
            break
        room = int((width - 6) / CHARACTER)
        label = name if len(name) <= room else name[: room - 1] + "…" if room > 3 else ""
        percent = width / (WIDTH - 2 * MARGIN) * 100
        shapes.append(
            f'<g><title>{escape(name)}: {percent:.1f} %</title><rect class="frame {kind}" x="{x:.1f}" y="{y}" '
            f'width="{width:.1f}" height="{ROW - 1}" rx="2"/><text x="{x + 4:.1f}" y="{y + 13}">{escape(label)}</text></g>'
        )
        deepest = max(deepest, place(callee, scale, (x, y + ROW), shapes))
        x += width
    return max(deepest, y + ROW if node.callees else y)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(USAGE, end="", file=sys.stderr)
        sys.exit(64)
    sys.exit(main(*sys.argv[1:]))
