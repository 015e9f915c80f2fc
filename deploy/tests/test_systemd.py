"""The unit for systemd, held against systemd's own tools where they are, and against what walpost's exit codes mean."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from places import DEPLOY, ROOT

UNIT = DEPLOY / "systemd" / "walpost.service"
#: The bar: of 10, and lower is better.
MOST_EXPOSED = 1.5

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that this machine has."""
    written = tmp_path / UNIT.name
    written.write_text(UNIT.read_text().replace("/usr/local/bin/walpost", shutil.which("true") or ""))
    return written


@needs_systemd
def test_systemd_takes_the_unit(unit: Path) -> None:
    done = analyze("verify", unit)
    about_it = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert done.returncode == 0 and not about_it, done.stderr


@needs_systemd
def test_the_service_is_hardly_exposed(unit: Path) -> None:
    done = analyze("security", "--offline=true", unit)
    (exposed,) = re.findall(r"Overall exposure level for walpost\.service: ([0-9.]+)", done.stdout)
    assert float(exposed) <= MOST_EXPOSED, done.stdout


def test_it_is_started_again_for_ever_unless_the_configuration_is_wrong() -> None:
    lines = UNIT.read_text().splitlines()
    for line in ("Restart=always", "RestartPreventExitStatus=2", "StartLimitIntervalSec=0", "LimitCORE=0"):
        assert line in lines
    (variable,) = re.findall(r"^Environment=(\w+)=", UNIT.read_text(), re.MULTILINE)
    assert f"`{variable}`" in (ROOT / "docs" / "reference" / "config.md").read_text()
