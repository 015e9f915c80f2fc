#!/usr/bin/env python3
"""Run the checks and tests of the Django package, each with its own versions of Python and Django.

Finds the Pythons of this machine, gives each wanted pair of Django and Python an environment in `.tools/` with the exact
versions of `django/requirements/`, and runs there. Knows nothing about where packages come from: that is pip's
configuration. Needs Python 3.9 or later; the package itself needs 3.10, which may be another one.

Invariant: an environment whose stamp is the text of its requirements and of the project is complete.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "django"
TOOLS = ROOT / ".tools"

Version = Tuple[int, int]

#: Each version of Django with the versions of Python that it runs on and we support.
SUPPORTED: Dict[str, List[Version]] = {
    "5.2": [(3, 10), (3, 11), (3, 12), (3, 13), (3, 14)],
    "6.0": [(3, 12), (3, 13), (3, 14)],
    "6.1": [(3, 12), (3, 13), (3, 14)],
}

USAGE = """\
usage: tools/django_package.py check|test|test-all|bench [arguments of pytest]
  check     format, lints and types, with the newest pair of Django and Python
  test      the tests with the newest pair, with coverage, and with the oldest pair
  test-all  the tests with every pair
  bench     what recording costs
"""

NO_PYTHON = """\
error: no Python from 3.10 on was found, which the Django package needs
hint: looked for python3.10 to python3.14 on PATH and among pyenv's versions, and at {python}
"""


class Pair(NamedTuple):
    """An environment: a version of Django on a version of Python."""

    django: str
    python: Version
    program: str
    """The interpreter that makes the environment."""

    @property
    def name(self) -> str:
        """The pair in words."""
        return f"Django {self.django} on Python {self.python[0]}.{self.python[1]}"

    @property
    def folder(self) -> Path:
        """Where its environment is."""
        return TOOLS / f"django-{self.django}-py{self.python[0]}.{self.python[1]}"


def main(arguments: List[str]) -> int:
    """Run what is asked for; the exit code."""
    if not arguments or arguments[0] not in ("check", "test", "test-all", "bench"):
        sys.stderr.write(USAGE)
        return 2
    command, extra = arguments[0], arguments[1:]
    pairs = pairs_of(pythons())
    if not pairs:
        sys.stderr.write(NO_PYTHON.format(python=sys.executable))
        return 1
    oldest, newest = pairs[0], pairs[-1]
    if command == "check":
        return check(newest)
    if command == "bench":
        return run(newest, "benchmarks/recording.py")
    if command == "test-all":
        return first_failure([test(pair, extra) for pair in pairs])
    codes = [test_with_coverage(newest, extra)]
    if oldest != newest:
        codes.append(test(oldest, ["-m", "not processes", *extra], postgres=oldest_postgres()))
    return first_failure(codes)


def check(pair: Pair) -> int:
    """Check format, lints and types; of the examples, format and lints."""
    sources = [".", "../examples"]
    steps = (
        ["ruff", "format", "--check", "--quiet", *sources],
        ["ruff", "check", "--quiet", *sources],
        ["mypy", "src", "tests", "benchmarks"],
    )
    return first_failure([run(pair, "-m", *step) for step in steps])


def test(pair: Pair, extra: List[str], postgres: Optional[str] = None) -> int:
    """Run the tests."""
    say(f"{pair.name}" + (f", Postgres {postgres}" if postgres else ""))
    return run(pair, "-m", "pytest", "-q", *extra, WALPOST_TEST_PG=postgres)


def test_with_coverage(pair: Pair, extra: List[str]) -> int:
    """Run the tests, and hold what they reach against the bar if they are all."""
    say(f"{pair.name}, with coverage")
    for stale in PACKAGE.glob(".coverage*"):
        stale.unlink()
    code = run(pair, "-m", "coverage", "run", "-m", "pytest", "-q", *extra)
    run(pair, "-m", "coverage", "combine", "--quiet")
    return code if code or extra else run(pair, "-m", "coverage", "report")


def run(pair: Pair, *arguments: str, **environment: Optional[str]) -> int:
    """Run a Python command in a pair's environment; the exit code."""
    settings = {name: value for name, value in environment.items() if value is not None}
    command = [str(interpreter(pair)), *arguments]
    return subprocess.run(command, cwd=PACKAGE, env={**os.environ, **settings}, check=False).returncode


def interpreter(pair: Pair) -> Path:
    """The Python of a pair's environment, which is made first if need be."""
    python = pair.folder / "bin" / "python"
    requirements = PACKAGE / "requirements" / f"django-{pair.django}.txt"
    project, _, _ = (PACKAGE / "pyproject.toml").read_text(encoding="utf-8").partition("\n[tool.")
    wanted = requirements.read_text(encoding="utf-8") + project
    stamp = pair.folder / "STAMP"
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / ".lock-django", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second finds the work done
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return python
        say(f"installing {pair.name}")
        shutil.rmtree(pair.folder, ignore_errors=True)
        subprocess.run([pair.program, "-m", "venv", str(pair.folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "-r", str(requirements)], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(PACKAGE)], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def pairs_of(found: Dict[Version, str]) -> List[Pair]:
    """Every supported pair that this machine can run, the oldest first."""
    return [
        Pair(django, python, found[python])
        for django, supported in SUPPORTED.items()
        for python in supported
        if python in found
    ]


def pythons() -> Dict[Version, str]:
    """The interpreters of this machine by version."""
    found: Dict[Version, str] = {}
    for minor in range(10, 15):
        pyenv = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
        for candidate in (shutil.which(f"python3.{minor}"), *map(str, pyenv), sys.executable):
            if candidate and version_of(candidate) == (3, minor):
                found[3, minor] = candidate
                break
    return found


def version_of(program: str) -> Optional[Version]:
    """The version of an interpreter that can make environments; nothing for a shim that leads nowhere."""
    probe = [program, "-c", "import ensurepip, venv, sys; print(*sys.version_info[:2])"]
    done = subprocess.run(probe, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        return None
    major, minor = done.stdout.split()
    return int(major), int(minor)


def oldest_postgres() -> Optional[str]:
    """The oldest installed version of Postgres that is supported; nothing if there are only those of `.tools/`."""
    found = [path.parent.name for path in Path("/usr/lib/postgresql").glob("*/bin")]
    return min((version for version in found if version.isdigit() and int(version) >= 15), key=int, default=None)


def first_failure(codes: List[int]) -> int:
    """The first exit code that is not 0."""
    return next((code for code in codes if code), 0)


def say(text: str) -> None:
    """One line of progress."""
    print(f"django: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"error: {' '.join(error.cmd)} failed (its own message is above)\n")
        sys.exit(1)
