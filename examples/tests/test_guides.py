"""The guides show the examples word for word, and every example is shown."""

from __future__ import annotations

import re

import pytest

from conftest import EXAMPLES

ROOT = EXAMPLES.parent
GUIDES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", *sorted(EXAMPLES.rglob("README.md"))]

#: A file's name as a link, a colon, and its text: all of it, or some of its lines.
SHOWN = re.compile(
    r"^\[`(?P<file>examples/[\w./-]+)`\]\([\w./-]+\)(?P<part>, in part)?:\n\n```\w+\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)

QUOTED = [(guide, found) for guide in GUIDES for found in SHOWN.finditer(guide.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("guide", "found"), QUOTED, ids=[f"{guide.name}-{found['file']}" for guide, found in QUOTED])
def test_what_a_guide_shows_is_what_runs(guide, found) -> None:
    text = (ROOT / found["file"]).read_text(encoding="utf-8")
    assert found["text"] in text if found["part"] else found["text"] == text


def test_every_example_is_shown() -> None:
    shown = {found["file"] for _, found in QUOTED}
    sources = [path for path in EXAMPLES.glob("*sume*/*") if path.suffix in {".py", ".go", ".mjs", ".rs"}]
    sources += [*EXAMPLES.glob("produce-*/*.py"), *EXAMPLES.glob("produce-sql/*.sql"), EXAMPLES / "consume.sql"]
    assert len(sources) > 8
    assert {str(path.relative_to(ROOT)) for path in sources} <= shown
