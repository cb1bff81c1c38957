"""The page about remote write holds what the agent and `deploy/` do."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from agent.core.model import metrics
from agent.export.remote_write.sender import REFUSED
from agent.settings import load_settings
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "remote-write.md").read_text()
DEPLOY = ROOT / "deploy"


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    settings, prometheus = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    file = tmp_path / "settings.yaml"
    file.write_text(settings)
    assert load_settings(file).remote_write_header_values == {"X-Scope-OrgID": "shop"}
    deployed = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert yaml.safe_load(prometheus)["storage"] == deployed["storage"]


def test_compose_writes_to_a_prometheus_that_receives() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    url = compose["x-agent"]["environment"]["KPI_AGENT_REMOTE_WRITE_URL"]
    assert url == "http://prometheus:9090/api/v1/write"
    assert "--web.enable-remote-write-receiver" in compose["services"]["prometheus"]["command"]


def test_the_series_and_the_answers_are_those_of_the_code() -> None:
    for metric in (
        metrics.WINDOW_EVENTS, metrics.TARGET_STATE, metrics.ATTAINMENT, metrics.MAINTENANCE
    ):  # fmt: skip
        assert f"`{metric}" in PAGE
    (answers,) = re.findall(r"^\| ([\d, ]+) \| finds the samples", PAGE, re.MULTILINE)
    assert {int(code) for code in answers.split(",")} == REFUSED
