"""The units for systemd, held against systemd's own tools where they are, and against what walpost's exit codes mean."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from places import DEPLOY, ROOT

UNITS = sorted((DEPLOY / "systemd").iterdir())
#: The bar: of 10, and lower is better.
MOST_EXPOSED = 1.5

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


def settings(unit: Path) -> dict[str, list[str]]:
    """The settings of a unit, by name."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture(params=UNITS, ids=lambda unit: unit.stem)
def unit(request: pytest.FixtureRequest) -> Path:
    """A unit as it is shipped."""
    found: Path = request.param
    return found


@pytest.fixture
def startable(unit: Path, tmp_path: Path) -> Path:
    """The unit with a program that this machine has."""
    written = tmp_path / unit.name
    written.write_text(unit.read_text().replace("/usr/local/bin/walpost", shutil.which("true") or ""))
    return written


def test_there_is_one_for_each_role() -> None:
    starts = [settings(unit)["ExecStart"] for unit in UNITS]
    assert starts == [
        ["/usr/local/bin/walpost --config /etc/walpost/webhooks.toml webhooks run"],
        ["/usr/local/bin/walpost run"],
    ]


@needs_systemd
def test_systemd_takes_the_unit(startable: Path) -> None:
    done = analyze("verify", startable)
    about_it = [line for line in done.stderr.splitlines() if startable.name in line]
    assert done.returncode == 0 and not about_it, done.stderr


@needs_systemd
def test_the_service_is_hardly_exposed(startable: Path) -> None:
    done = analyze("security", "--offline=true", startable)
    (exposed,) = re.findall(rf"Overall exposure level for {startable.name}: ([0-9.]+)", done.stdout)
    assert float(exposed) <= MOST_EXPOSED, done.stdout


def test_it_is_started_again_for_ever_unless_the_configuration_is_wrong(unit: Path) -> None:
    found = settings(unit)
    assert (found["Restart"], found["RestartPreventExitStatus"]) == (["always"], ["2"])
    assert (found["StartLimitIntervalSec"], found["LimitCORE"]) == (["0"], ["0"])
    (variable, _, _) = found["Environment"][0].partition("=")
    assert f"`{variable}`" in (ROOT / "docs" / "reference" / "config.md").read_text()


def test_both_are_hardened_alike() -> None:
    own = {"Description", "ExecStart", "Environment", "LoadCredential"}
    one, other = ({name: value for name, value in settings(unit).items() if name not in own} for unit in UNITS)
    assert one == other
