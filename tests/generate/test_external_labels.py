"""Several environments in one Prometheus and one Alertmanager, kept apart by external labels."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from agent.generate.alertmanager import alertmanager_files
from agent.generate.grafana import dashboards
from agent.generate.prometheus import Deployment, alert_rules
from tests.generate.queries import queries

from .plans import company

EXTERNAL = ("environment", "cluster")
PROD = 'environment="prod",cluster="eu"'
TEST = 'environment="test",cluster="eu"'


def firing(folder: Path, alert: str, at: str, *inputs: tuple[str, str]) -> list[dict[str, str]]:
    """The labels of an alert's instances then, by the rules with external labels."""
    deployment = Deployment(external_labels=EXTERNAL)
    (folder / "rules.yml").write_text(alert_rules(company(), deployment))
    case = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in inputs],
        "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": []}],
    }
    (folder / "case.yml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [case]})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", "case.yml"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0 or "got:" in said, said
    label_texts = re.findall(r"Labels:\{([^}]*)\}", said.partition("got:")[2])
    return [dict(re.findall(r'(\w+)="([^"]*)"', labels)) for labels in label_texts]


def build_info(labels: str) -> str:
    return f'kpi_agent_build_info{{{labels},instance="one"}}'


@pytest.mark.needs_prometheus
def test_an_environment_without_agents_is_missed_while_others_have_some(tmp_path: Path) -> None:
    inputs = (build_info(PROD), "1x5 stale"), (build_info(TEST), "1x60")
    assert firing(tmp_path, "KpiAgentAbsent", "4m", *inputs) == []
    (missed,) = firing(tmp_path, "KpiAgentAbsent", "20m", *inputs)
    assert (missed["environment"], missed["cluster"]) == ("prod", "eu")
    assert len(firing(tmp_path, "KpiAgentAbsent", "20m")) == 1  # where there never was any


@pytest.mark.needs_prometheus
def test_the_same_rule_fires_by_environment(tmp_path: Path) -> None:
    rule = 'rule="slow_support",severity="critical",kpi="response_time",region="emea"'
    inputs = [
        (f"kpi_rule_state{{{rule},{PROD}}}", "2x5"),
        (f"kpi_rule_state{{{rule},{TEST}}}", "2x5"),
    ]
    alerts = firing(tmp_path, "slow_support", "2m", *inputs)
    assert sorted(labels["environment"] for labels in alerts) == ["prod", "test"]


@pytest.mark.needs_prometheus
def test_prometheus_keeps_silent_only_where_the_agents_tell_alertmanager_themselves(
    tmp_path: Path,
) -> None:
    rule = 'rule="slow_support",severity="critical",kpi="response_time",region="emea"'
    alerts = firing(
        tmp_path, "slow_support", "2m",
        (f"kpi_rule_state{{{rule},{PROD}}}", "2x5"),
        (f"kpi_rule_state{{{rule},{TEST}}}", "2x5"),
        (f"kpi_agent_alert_delivery_up{{{PROD}}}", "1x5"),
    )  # fmt: skip
    assert [labels["environment"] for labels in alerts] == ["test"]


def test_no_alert_holds_back_one_of_another_environment() -> None:
    config = yaml.safe_load(alertmanager_files(company(), external=EXTERNAL)["alertmanager.yml"])
    assert config["inhibit_rules"]
    assert all(set(EXTERNAL) <= set(rule["equal"]) for rule in config["inhibit_rules"])
    assert set(EXTERNAL) <= set(config["route"]["group_by"])


@pytest.mark.parametrize("name", sorted(dashboards(company())))
def test_a_board_shows_the_one_environment_that_is_chosen(name: str) -> None:
    text = dashboards(company(), EXTERNAL)[name]
    variables = [v for v in json.loads(text)["templating"]["list"] if v["name"] in EXTERNAL]
    assert [v["query"] for v in variables] == [
        f"label_values(kpi_agent_build_info, {label})" for label in EXTERNAL
    ]
    assert not any(v.get("multi") for v in variables)
    for query in queries(text):
        outside = re.sub(r'"[^"]*"|\b(?:by|on|without|group_left) \([^)]*\)', "", query)
        metrics = re.findall(r"\b(?:kpi|process)_\w+", outside)
        assert metrics
        assert query.count('environment=~".*",cluster=~".*"') == len(metrics), query


def test_without_external_labels_nothing_speaks_of_them() -> None:
    assert alert_rules(company(), Deployment(external_labels=())) == alert_rules(company())
    assert dashboards(company(), ()) == dashboards(company())
