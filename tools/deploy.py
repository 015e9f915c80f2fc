#!/usr/bin/env python3
"""Run the tests of `deploy/`: alerts, dashboard, manifests, unit, images.

Gets what they need into `.tools/`: an environment with the exact versions of `deploy/tests/requirements.txt`, and
Prometheus' own `promtool`. That one comes from PATH, or from Debian's package `prometheus`, which is unpacked and not
installed: apt checks its signature, and the version that is pinned here is held against its sum as well. Without a promtool
the tests fail. Needs Python 3.10 or later.

Invariant: an environment whose stamp is the text of its requirements is complete; so is a promtool that is in its place.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from django_package import pythons

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
TESTS = ROOT / "deploy" / "tests"

#: Debian's package that holds promtool: version, and sum where it is known, by architecture.
VERSION = "2.42.0+ds-5+deb12u1"
SUMS = {"amd64": "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55"}

NO_PYTHON = """\
error: no Python from 3.10 on was found, which the tests of deploy/ need
"""

NO_PROMTOOL = """\
error: there is no promtool, and the alerts cannot be tested without one
hint: it was not on PATH, and Debian's package `prometheus` could not be had (the message of apt is above)
hint: on Debian and Ubuntu run `apt-get update`, or install `prometheus`; elsewhere put Prometheus' promtool on PATH
"""


def main(arguments: list[str]) -> int:
    """Run the tests; the exit code."""
    if arguments[:1] != ["test"]:
        sys.stderr.write("usage: tools/deploy.py test [arguments of pytest]\n")
        return 2
    program = next((found for _, found in sorted(pythons().items(), reverse=True)), None)
    if program is None:
        sys.stderr.write(NO_PYTHON)
        return 1
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / ".lock-deploy", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second finds the work done
        python = environment(program)
        promtool = find_promtool() or fetch_promtool()
    if promtool is None:
        sys.stderr.write(NO_PROMTOOL)
        return 1
    settings = {**os.environ, "PROMTOOL": promtool}
    return subprocess.run([str(python), "-m", "pytest", "-q", *arguments[1:]], cwd=TESTS, env=settings, check=False).returncode


def environment(program: str) -> Path:
    """The Python that has what the tests need, made first if need be."""
    folder = TOOLS / "deploy-tests"
    python, stamp = folder / "bin" / "python", folder / "STAMP"
    wanted = program + "\n" + (TESTS / "requirements.txt").read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    say("installing what the tests of deploy/ need (some 40 MB)")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([program, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, "--only-binary", ":all:", "-r", str(TESTS / "requirements.txt")], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def find_promtool() -> str | None:
    """The promtool that is here."""
    own = TOOLS / "promtool" / "promtool"
    return str(own) if own.is_file() else shutil.which("promtool")


def fetch_promtool() -> str | None:
    """Unpack promtool from Debian's package; nothing if that cannot be had."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    say("fetching promtool from Debian's package prometheus (some 20 MB)")
    with tempfile.TemporaryDirectory(prefix=".new-promtool-", dir=TOOLS) as name:
        folder = Path(name)
        package = download(folder)
        if package is None:
            return None
        subprocess.run(["dpkg-deb", "--extract", str(package), str(folder / "all")], check=True)
        fresh, place = folder / "promtool", TOOLS / "promtool"
        fresh.mkdir()
        shutil.copy2(folder / "all" / "usr" / "bin" / "promtool", fresh / "promtool")
        shutil.rmtree(place, ignore_errors=True)
        os.rename(fresh, place)
    return find_promtool()


def download(folder: Path) -> Path | None:
    """Have apt fetch the pinned version; where the archive has it no more, the one that it has."""
    if not candidate() and os.geteuid() == 0:  # a machine that never heard of the archive's contents
        subprocess.run(["apt-get", "update", "-qq"], check=False)
    for wanted in (f"prometheus={VERSION}", "prometheus"):
        # The user that apt downloads as may not write here.
        command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", wanted]
        if subprocess.run(command, cwd=folder, check=False).returncode == 0:
            (package,) = folder.glob("*.deb")
            check_sum(package, is_pinned=wanted != "prometheus")
            return package
    return None


def candidate() -> bool:
    """Whether apt knows of the package."""
    done = subprocess.run(["apt-cache", "show", "prometheus"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return bool(done.stdout)


def check_sum(package: Path, is_pinned: bool) -> None:
    """Refuse a package that claims to be the pinned one and is not."""
    if not is_pinned:
        say(f"{VERSION} is not to be had any more; taking {package.name}, whose signature apt has checked")
        return
    expected = SUMS.get(package.stem.rsplit("_", 1)[-1])
    if expected and hashlib.sha256(package.read_bytes()).hexdigest() != expected:
        raise OSError(f"{package.name} is not the file that is pinned in tools/deploy.py")


def say(text: str) -> None:
    """One line of progress."""
    print(f"deploy: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
