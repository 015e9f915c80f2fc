"""The guide `docs/guides/django.md`, run from an empty folder: every file is written, every command executed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

GUIDE = servers.ROOT / "docs" / "guides" / "django.md"
BLOCK = re.compile(
    r"(?:(?P<end>At the end of )?`(?P<file>[\w/.]+)`:\n\n)?```(?P<kind>python|console)\n(?P<text>.*?)```", re.DOTALL
)
#: Where the servers are said to be, and what cannot be installed because it is being tested.
NOT_RUN = ("$ export ", "$ python3 -m venv")

pytestmark = pytest.mark.processes


def expectation(shown: str) -> re.Pattern[str]:
    """Return what a command's output must match: the guide's words, with anything in place of an ellipsis."""
    lines = ["(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in shown.splitlines()]
    return re.compile("".join(lines))


def commands(text: str) -> list[tuple[str, str]]:
    """Return each command of a block with what the guide shows behind it."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def test_the_guide_works_word_for_word(postgres: servers.Postgres, nats_server: servers.Nats, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "walpost").symlink_to(servers.relay_program())
    place = tmp_path / "project"
    place.mkdir()
    path = [str(programs), str(Path(sys.executable).parent), str(client_programs()), os.environ["PATH"]]
    environment = {
        **os.environ,
        "PATH": ":".join(path),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": "postgres",
        "PGDATABASE": "shop",
        "WALPOST_POSTGRES_URL": postgres.url("shop"),
        "WALPOST_NATS_URL": nats_server.url,
        "WALPOST_ADMIN_LISTEN": f"127.0.0.1:{servers.free_port()}",
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    shell = Shell(place, environment)
    try:
        for block in BLOCK.finditer(GUIDE.read_text()):
            if block["kind"] == "python":
                with (place / block["file"]).open("a" if block["end"] else "w") as file:
                    file.write(block["text"])
            elif not block["text"].startswith(NOT_RUN):
                for command, shown in commands(block["text"]):
                    code, said = shell.run(command)
                    assert code == 0, f"$ {command}\n{said}"
                    assert expectation(shown).fullmatch(said), f"$ {command}\n{said}"
    finally:
        shell.end()
        with postgres.connect() as server:
            drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = 'shop'"
            servers.eventually(lambda: server.execute(drop), "the slot to be free")
            server.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")


class Shell:
    """A shell in which the reader of the guide types."""

    def __init__(self, place: Path, environment: dict[str, str]) -> None:
        self._out = place.parent / "out"
        self._child = subprocess.Popen(
            ["bash", "-m"], cwd=place, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, command: str) -> tuple[int, str]:
        """Run a command; its exit code, and what it said."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        line = command if command.endswith("&") else f"{{ {command}\n}} > {self._out} 2>&1"
        self._out.write_text("")
        self._child.stdin.write(f"{line}\necho $?\n")
        self._child.stdin.flush()
        return int(self._child.stdout.readline()), self._out.read_text()

    def end(self) -> None:
        """End the shell and what was started from it."""
        found = subprocess.run(
            ["ps", "-o", "pid=", "-s", str(self._child.pid)], capture_output=True, text=True, check=False
        )
        for pid in found.stdout.split():
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself meanwhile
                os.kill(int(pid), signal.SIGKILL)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()


def client_programs() -> Path:
    """Return a folder with `createdb` and `psql`."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in folders if (folder / "psql").is_file()), servers.postgres_folder())
