"""The manifests for Kubernetes: what its schema says, what walpost says of the configuration, and what was decided."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from places import DEPLOY, WALPOST

FOLDER = DEPLOY / "kubernetes"
#: The oldest version that gets fixes upstream when this is written, and the newest that the schemas know.
VERSIONS = ("1.33", "1.37")


def documents(name: str) -> dict[str, Any]:
    """The objects of a file, by kind."""
    return {document["kind"]: document for document in yaml.safe_load_all((FOLDER / name).read_text())}


def pods() -> list[tuple[str, Any]]:
    return [
        ("walpost", documents("walpost.yaml")["Deployment"]["spec"]["template"]["spec"]),
        ("setup", documents("setup.yaml")["Job"]["spec"]["template"]["spec"]),
        ("webhooks", documents("webhooks.yaml")["Deployment"]["spec"]["template"]["spec"]),
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["walpost.yaml", "setup.yaml", "webhooks.yaml"])
def test_the_objects_are_as_kubernetes_wants_them(name: str, version: str) -> None:
    for document in documents(name).values():
        kubernetes_validate.validate(document, version, strict=True)


def test_every_file_is_looked_at() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {
        "walpost.yaml",
        "setup.yaml",
        "webhooks.yaml",
        "podmonitor.yaml",
    }


@pytest.mark.parametrize("name", ["walpost.yaml", "webhooks.yaml"])
def test_two_processes_run_and_one_is_always_there(name: str) -> None:
    objects = documents(name)
    deployment, budget = objects["Deployment"]["spec"], objects["PodDisruptionBudget"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert budget["minAvailable"] == 1
    assert deployment["selector"]["matchLabels"] == budget["selector"]["matchLabels"] == labels


@pytest.mark.parametrize(("file", "source"), [("walpost.yaml", "admin/mod.rs"), ("webhooks.yaml", "webhooks/port.rs")])
def test_the_probes_ask_what_the_admin_port_answers(file: str, source: str) -> None:
    source = (DEPLOY.parent / "src" / source).read_text()
    pod = documents(file)["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    port = container["ports"][0]
    for probe, path in (("livenessProbe", "/live"), ("readinessProbe", "/ready")):
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}
        assert f'.route("{path}"' in source
    monitor = documents("podmonitor.yaml")["PodMonitor"]["spec"]
    assert monitor["podMetricsEndpoints"][0]["port"] == port["name"]
    (those,) = monitor["selector"]["matchExpressions"]
    assert pod["metadata"]["labels"][those["key"]] in those["values"]
    assert {"name": "WALPOST_ADMIN_LISTEN", "value": f"0.0.0.0:{port['containerPort']}"} in container["env"]


@pytest.mark.parametrize(("name", "pod"), pods())
def test_it_may_do_next_to_nothing(name: str, pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] > 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"} and "memory" in container["resources"]["limits"]
    assert all(mount["readOnly"] for mount in container["volumeMounts"])


def test_it_is_given_more_time_to_stop_than_it_takes() -> None:
    keys = (DEPLOY.parent / "docs" / "reference" / "config.md").read_text()
    (drain,) = [line for line in keys.splitlines() if "`delivery.drain_timeout`" in line]
    assert "| `10s` |" in drain, "look at terminationGracePeriodSeconds, too"
    assert pods()[0][1]["terminationGracePeriodSeconds"] >= 10 + 2 + 5


@pytest.mark.parametrize(("name", "pod"), pods())
def test_walpost_takes_the_configuration(name: str, pod: dict[str, Any], tmp_path: Path) -> None:
    """With the files where the pod has them; nothing is connected to."""
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    files = (
        "walpost/postgres-password",
        "walpost/postgres-ca.pem",
        "walpost/nats.creds",
        "walpost-webhooks/shop.secret",
    )
    for file in files:
        path = tmp_path / "secrets" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{secret}\n")
    file = "webhooks.yaml" if name == "webhooks" else "walpost.yaml"
    text = documents(file)["ConfigMap"]["data"]["walpost.toml"]
    (tmp_path / "walpost.toml").write_text(text.replace("/run/secrets", str(tmp_path / "secrets")))
    environment = {entry["name"]: entry["value"] for entry in pod["containers"][0].get("env", [])}
    done = subprocess.run(
        [str(WALPOST), "config", "check", *(["--webhooks"] if name == "webhooks" else [])],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
