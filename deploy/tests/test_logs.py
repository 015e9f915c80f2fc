"""The form of the log is that of whoever reads it: for people on a terminal, JSON for everything else."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

from places import WALPOST

#: Nobody answers there, so it ends at once, with an error.
NOWHERE = {"WALPOST_POSTGRES_URL": "postgres://app@127.0.0.1:1/app", "WALPOST_ADMIN_LISTEN": "127.0.0.1:0"}


def said(folder: Path, is_terminal: bool, **settings: str) -> list[str]:
    """The lines on standard error of a walpost that cannot reach its servers."""
    reader, writer = pty.openpty() if is_terminal else os.pipe()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", **NOWHERE, **settings}
    done = subprocess.run([WALPOST, "run"], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stderr=writer, check=False)
    os.close(writer)
    assert done.returncode == 1
    text = b""
    try:
        while part := os.read(reader, 65536):
            text += part
    except OSError:  # so a terminal ends
        pass
    os.close(reader)
    return text.decode().splitlines()


def test_for_people_on_a_terminal(tmp_path: Path) -> None:
    first, *rest = said(tmp_path, is_terminal=True, NO_COLOR="1")
    assert re.fullmatch(r"\S+Z  INFO starting  version=\S+ slot=walpost stream=OUTBOX", first)
    assert any(line.startswith("error: WP0101 ") for line in rest)


def test_with_colours_where_they_are_welcome(tmp_path: Path) -> None:
    assert "\x1b[32m INFO\x1b[0m" in said(tmp_path, is_terminal=True)[0]


def test_json_for_everything_else(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in said(tmp_path, is_terminal=False)]
    assert lines[0]["message"] == "starting" and lines[0]["slot"] == "walpost"
    assert (lines[-1]["level"], lines[-1]["code"]) == ("ERROR", "WP0101")


def test_the_form_can_be_said(tmp_path: Path) -> None:
    assert "INFO starting" in said(tmp_path, is_terminal=False, WALPOST_LOG_FORMAT="pretty")[0]
    assert json.loads(said(tmp_path, is_terminal=True, WALPOST_LOG_FORMAT="json")[0])["message"] == "starting"
