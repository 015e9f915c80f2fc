#!/usr/bin/env python3
"""Write the figures of the benchmarks into the documentation: tables, pictures, goals.

A place in a page is a pair of comments, `<!-- figures: latency -->` and `<!-- end of figures -->`; what stands between
them comes from `docs/benchmarks/results.json` and is never written by hand. Needs Python 3.9 or later.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from re import Match
from typing import Dict

from charts import charts
from figures import goals
from tables import tables

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "docs" / "benchmarks"
RESULTS = FOLDER / "results.json"
#: Drawn by flame.py.
PROFILE = "profile.svg"
PAGES = [ROOT / "README.md", FOLDER / "README.md"]
PLACE = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)

USAGE = """\
usage: tools/benchmarks/report.py goals|write|check [file of figures]
  goals  which goals are met, by a file of figures
  write  take over a file of figures, and write pages and pictures anew
  check  whether pages and pictures are those of the figures
"""


def main(command: str = "", *files: str) -> int:
    """Run a command; its exit code."""
    if command == "goals" and len(files) == 1:
        return show_goals(Path(files[0]))
    if command == "write" and len(files) <= 1:
        if files and Path(files[0]).resolve() != RESULTS:
            shutil.copyfile(files[0], RESULTS)
        for path, text in wanted().items():
            path.write_text(text, encoding="utf-8")
        return 0
    if command == "check" and not files:
        return check()
    print(USAGE, end="", file=sys.stderr)
    return 64


def show_goals(file: Path) -> int:
    """Print which goals are met."""
    found = goals(json.loads(file.read_text(encoding="utf-8")))
    width = max((len(goal.name) for goal in found), default=0)
    for goal in found:
        print(f"{'met    ' if goal.is_met else 'NOT MET'}  {goal.name:{width}}  {goal.measured}  (goal: {goal.goal})")
    return 0


def check() -> int:
    """Tell what is not as the figures are."""
    stale = [path for path, text in wanted().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(
            f"error: {path.relative_to(ROOT)} is not what the figures say\nhint: run `make bench-report`",
            file=sys.stderr,
        )
    return 1 if stale else 0


def wanted() -> Dict[Path, str]:
    """Give each page and picture as it should be."""
    figures = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    texts = tables(figures) if figures else {}
    if (FOLDER / PROFILE).exists():
        texts["profile"] = f"![Where the relay's time goes]({PROFILE})"

    def filled(place: Match[str]) -> str:
        return place[1] + texts.get(place[2], "Not measured yet.") + "\n" + place[3]

    pages = {page: PLACE.sub(filled, page.read_text(encoding="utf-8")) for page in PAGES}
    return {**pages, **{FOLDER / name: picture for name, picture in charts(figures).items()}}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
