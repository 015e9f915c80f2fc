#!/usr/bin/env python3
"""Run what is in `examples/`: the tests of all of it, or the Django shop to play with.

Makes environments in `.tools/` with the exact versions that the examples pin. An example in a language whose toolchain
is not here does not run, and the tests say so at their end. The shop needs Python 3.10 or
later, the tests need 3.11: so does one of the examples.

Invariant: an environment whose stamp is the text of its requirements is complete.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import debian
from django_package import pythons

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
EXAMPLES = ROOT / "examples"
SHOP = EXAMPLES / "django-shop"

#: Debian's package of a Chromium without windows, and what any of them is called.
CHROMIUM_PACKAGE = "chromium-headless-shell"
CHROMIUM = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")

USAGE = """\
usage: tools/examples.py test|demo|browser [arguments]
  test     the tests of the examples; arguments of pytest
  demo     the Django shop with its servers; arguments of examples/django-shop/demo.py
  browser  install a Chromium from Debian's packages, for the test of the shop's page
"""

NO_PYTHON = """\
error: no Python from {} on was found, which the examples need
"""

NO_BROWSER = """\
examples: there is no Chromium, and it was not installed ({}): the page of the shop will NOT be tested in a browser
"""


def main(arguments: list[str]) -> int:
    """Run what is asked for; the exit code."""
    command, extra = arguments[:1], arguments[1:]
    if command == ["browser"]:
        return browser()
    if command not in (["test"], ["demo"]):
        sys.stderr.write(USAGE)
        return 2
    found, needed = pythons(), (3, 10) if command == ["demo"] else (3, 11)
    newest = max(found, default=(0, 0))
    if newest < needed:
        sys.stderr.write(NO_PYTHON.format(".".join(map(str, needed))))
        return 1
    program = found[newest]
    if command == ["demo"]:
        python = environment(program, "django-shop", [SHOP / "requirements.txt"])
        # In place of this process, so that Ctrl-C is for the demonstration alone.
        os.execv(python, [str(python), str(SHOP / "demo.py"), *extra])
    lists = [EXAMPLES / "tests" / "requirements.txt", *sorted(EXAMPLES.glob("*/requirements.txt"))]
    python = environment(program, "examples-tests", lists)
    return subprocess.run([str(python), "-m", "pytest", "-q", *extra], cwd=EXAMPLES / "tests", check=False).returncode


def environment(program: str, name: str, requirements: list[Path]) -> Path:
    """The Python that has what is required by the first of these lists, which may name the others."""
    folder = TOOLS / name
    python, stamp = folder / "bin" / "python", folder / "STAMP"
    wanted = program + "\n" + "".join(path.read_text(encoding="utf-8") for path in requirements)
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / ".lock-examples", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second finds the work done
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return python
        say(f"installing {name}")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([program, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "--only-binary", ":all:", "-r", str(requirements[0])], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def browser() -> int:
    """Install a Chromium if there is none and this may be done; without one the tests run all the same, and say so."""
    if any(map(shutil.which, CHROMIUM)):
        return 0
    why_not = debian.install(CHROMIUM_PACKAGE)
    if why_not is not None:
        sys.stderr.write(NO_BROWSER.format(why_not))
    return 0


def say(text: str) -> None:
    """One line of progress."""
    print(f"examples: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"error: {' '.join(map(str, error.cmd))} failed (its own message is above)\n")
        sys.exit(1)
