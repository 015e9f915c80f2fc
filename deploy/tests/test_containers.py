"""The image and the demo of Docker Compose. There is no Docker here: files are held against its schema and against the source."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml
from compose_spec import PyCompose
from places import ROOT

DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = ROOT / "docker-compose.yml"


def copied() -> set[str]:
    """What the Dockerfile copies from the repository."""
    lines = [line.split() for line in DOCKERFILE.read_text().splitlines() if line.startswith("COPY ")]
    return {source for line in lines if not line[1].startswith("--from") for source in line[1:-1]}


def test_the_dockerfile_is_without_reproach() -> None:
    done = subprocess.run([Path(sys.executable).parent / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_program_is_made_of_is_copied_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied() == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    included = re.compile(r'include_(?:str|bytes)!\(\s*"([^"]+)"')
    for file in (ROOT / "src").rglob("*.rs"):
        for name in included.findall(file.read_text()):
            place = (file.parent / name).resolve().relative_to(ROOT)
            assert place.parts[0] in copied(), f"{file} includes {place}"


def test_the_image_runs_without_root_as_kubernetes_expects() -> None:
    text = DOCKERFILE.read_text()
    (user,) = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
    assert int(user) > 0
    for name in ("walpost.yaml", "setup.yaml"):
        assert f"runAsUser: {user}" in (ROOT / "deploy" / "kubernetes" / name).read_text()
    (rust,) = re.findall(r"^FROM rust:(\d+\.\d+)-", text, re.MULTILINE)
    (oldest,) = re.findall(r'^rust-version = "(\d+\.\d+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert tuple(map(int, rust.split("."))) >= tuple(map(int, oldest.split(".")))


def test_compose_understands_the_demo() -> None:
    compose = PyCompose.from_yaml(COMPOSE.read_text())
    compose.validate()
    assert sorted(compose.service_names()) == ["consumer", "nats", "postgres", "producer", "walpost"]


def test_the_demo_has_what_walpost_needs_and_stays_on_this_machine() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert "wal_level=logical" in services["postgres"]["command"]
    assert "-js" in services["nats"]["command"]
    assert services["walpost"]["command"] == ["run", "--setup", "--existing-rows", "missing"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    known = (ROOT / "docs" / "reference" / "config.md").read_text()
    for name in services["walpost"]["environment"]:
        assert f"`{name}`" in known, name


def test_the_producers_script_is_one_that_bash_takes() -> None:
    (script,) = yaml.safe_load(COMPOSE.read_text())["services"]["producer"]["command"]
    assert "$" not in script, "Compose would put a variable there"
    done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
