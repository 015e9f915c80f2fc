#!/usr/bin/env python3
"""Install a program from Debian's packages, where there are any and this may be done.

As a program: `tools/debian.py PACKAGE PROGRAM`, which does nothing if the program is there, and fails by a line on standard
error alone: whoever needs the program says what it means to do without. Needs Python 3.9 or later.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

USAGE = """\
usage: tools/debian.py PACKAGE PROGRAM
"""


def main(arguments: list[str]) -> int:
    """Install what is asked for; the exit code."""
    if len(arguments) != 2:
        sys.stderr.write(USAGE)
        return 2
    package, program = arguments
    if shutil.which(program) is None:
        why_not = install(package)
        if why_not is not None:
            say(f"{package} was NOT installed: {why_not}")
    return 0


def install(package: str) -> str | None:
    """Install a package, or say why not."""
    apt = shutil.which("apt-get")
    if apt is None:
        return "this system has no apt-get"
    if os.geteuid() != 0:
        return f"that takes root; as root: apt-get install {package}"
    say(f"installing Debian's package {package}")
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in ([apt, "update", "-qq"], [apt, "install", "-qq", "-y", "--no-install-recommends", package]):
        done = subprocess.run(step, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            return f"{' '.join(step)} failed (its own message is above)"
    return None


def say(text: str) -> None:
    """One line of progress."""
    print(f"tools: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
