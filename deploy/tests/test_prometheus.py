"""The alerts and the dashboard, held against real Prometheus. That they name metrics which exist is tested in tests/reference/."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import yaml
from places import DEPLOY

PROMTOOL = os.environ["PROMTOOL"]
RULES = DEPLOY / "prometheus" / "alerts.yml"
CASES = DEPLOY / "prometheus" / "alerts_test.yml"
DASHBOARD = DEPLOY / "grafana" / "walpost.json"


def promtool(*arguments: str | Path) -> str:
    """What promtool says of something that is right."""
    done = subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]


def test_prometheus_takes_the_rules() -> None:
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", CASES)


def test_each_alert_is_seen_to_be_silent_to_fire_and_to_be_silent_again() -> None:
    seen: dict[str, list[tuple[float, bool]]] = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for step in case.get("alert_rule_test", []):
            minutes = float(step["eval_time"].removesuffix("m"))
            seen.setdefault(step["alertname"], []).append((minutes, bool(step["exp_alerts"])))
    assert sorted(seen) == sorted(alerts())
    for name, steps in seen.items():
        assert [fires for _, fires in sorted(steps)] == [False, True, False], name


def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    expressions = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        expressions += [target["expr"] for target in panel.get("targets", [])]
    assert len(expressions) > 40
    values = {"$job": "outbox", "$__rate_interval": "1m", "$__range": "3h"}
    rules = []
    for index, expression in enumerate(expressions):
        for variable, value in values.items():
            expression = expression.replace(variable, value)
        assert "$" not in expression, expression
        rules.append({"record": f"panel_{index}", "expr": expression})
    written = tmp_path / "dashboard.yml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", written)


def test_the_dashboard_can_be_imported_and_asks_for_its_source_and_its_outbox() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= dashboard.keys()
    assert "id" not in dashboard  # one that an instance of Grafana gave
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "job"]
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Is it delivering?", "How far behind?", "Postgres: the slot", "NATS", "Errors", "Cleanup", "Webhooks"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        for target in panel["targets"]:
            selected = len(re.findall(r"walpost_\w+", target["expr"]))
            assert target["expr"].count('job=~"$job"') == selected, target["expr"]


def test_no_panel_lies_upon_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies upon {taken[x, y]}"
                taken[x, y] = panel["title"]
