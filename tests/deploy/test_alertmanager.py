from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from agent.generate.prometheus import alert_rules
from agent.language.load import load

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/alertmanager/alertmanager.yml"


def tool(name: str, *arguments: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} is missing: apt-get install prometheus prometheus-alertmanager"
    done = subprocess.run(
        [path, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_label_that_inhibition_compares_is_one_that_alerts_carry() -> None:
    rules = yaml.safe_load(FILE.read_text())["inhibit_rules"]
    compared = {label for rule in rules for label in rule.get("equal", [])}
    assert compared == {"alertname", "kpi", "series", "topic", "job", "team"}
    assert "series:" in alert_rules(load(ROOT / "rules"))


@pytest.mark.needs_prometheus
def test_alertmanager_accepts_its_configuration() -> None:
    tool("amtool", "check-config", str(FILE))


@pytest.mark.needs_prometheus
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["severity=critical", "team=sales"], "on-call,sales"),
        (["severity=page", "team=growth"], "on-call,growth"),
        (["severity=warning", "team=support"], "support"),
        (["severity=info", "team=support"], "digest"),
        (["severity=warning"], "everyone"),
        (["severity=warning", "owner=head-of-growth", "team=growth"], "growth"),
        (
            ["severity=critical", "team=support", "escalation=managing-director"],
            "managing-director",
        ),
    ],
)
def test_alerts_reach_who_should_act(labels: list[str], receivers: str) -> None:
    said = tool("amtool", "config", "routes", "test", f"--config.file={FILE}", *labels)
    assert said.strip() == receivers


@pytest.mark.needs_prometheus
def test_prometheus_accepts_its_configuration_and_the_rules_beside_it() -> None:
    tool("promtool", "check", "config", str(ROOT / "deploy/prometheus/prometheus.yml"))
