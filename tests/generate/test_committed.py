"""The generated files of the example company are those in the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from agent.core.evaluate.objectives import Score
from agent.core.model.plan import Plan
from agent.export.alertmanager import DeliveryMetrics
from agent.export.metrics.agent_metrics import AgentMetrics
from agent.export.metrics.closed_samples import BANDS
from agent.export.metrics.kpi_series import LabelCache, families
from agent.export.remote_write.metrics import RemoteWriteMetrics
from agent.generate import board_kpi, names
from agent.generate.alertmanager import alertmanager_files, read_receivers
from agent.generate.board_strategy import BOARD_UID, KPI_TITLE
from agent.generate.files import differs
from agent.generate.grafana import dashboards, grafana_files
from agent.generate.prometheus import RULES_FILE, Deployment, alert_rules, prometheus_files
from agent.language.load import load
from tests.generate.queries import queries

from .plans import company

ROOT = Path(__file__).parents[2]


def alertmanager_with_receivers(plan: Plan) -> dict[str, str]:
    return alertmanager_files(plan, read_receivers(ROOT / "deploy/alertmanager/receivers.yml"))


def prometheus_with_links(plan: Plan) -> dict[str, str]:
    """As the Makefile has it generated."""
    links = re.search(r"^LINKS := (.*?)\n\n", (ROOT / "Makefile").read_text(), re.M | re.S)
    assert links is not None
    return prometheus_files(plan, Deployment(*re.findall(r"http\S+", links[1])))


@pytest.mark.parametrize(
    ("folder", "files", "what"),
    [
        ("deploy/prometheus", prometheus_with_links, "prometheus"),
        ("deploy/alertmanager", alertmanager_with_receivers, "alertmanager"),
        ("grafana", grafana_files, "grafana"),
    ],
)
def test_the_committed_files_are_what_the_rules_generate(folder, files, what) -> None:  # type: ignore[no-untyped-def]
    stale = differs(ROOT / folder, files(load(ROOT / "rules")), what)
    assert stale == [], f"run: kpi-agent generate {what}"


def test_the_scrape_configuration_has_what_rules_and_boards_need() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert (job["job_name"], job["honor_labels"]) == (names.JOB, True)
    assert config["rule_files"] == [RULES_FILE]


def test_every_series_of_the_boards_and_alerts_is_one_that_the_agent_exports() -> None:
    plan = company()
    text = alert_rules(plan) + "\n".join(q for d in dashboards(plan).values() for q in queries(d))
    asked = set(re.findall(r"\bkpi_[a-z0-9_]+\b", text)) - {"kpi_agent", KPI_TITLE, BOARD_UID}
    asked = {re.sub(r"_(total|bucket)$", "", name) for name in asked}
    leads = dict.fromkeys(plan.objectives, Score(1.0))
    exported = {f.name for f in families(plan, (), None, leads, LabelCache())}
    exported |= {f.name for f in every_agent_family()}
    assert asked - exported == set()


def every_agent_family():  # type: ignore[no-untyped-def]
    registry = AgentMetrics().registry
    DeliveryMetrics(registry, ())
    RemoteWriteMetrics(registry)
    return CollectorRegistry.collect(registry)  # those without a sample, too


def test_the_bands_are_those_of_the_exporter() -> None:
    assert tuple(board_kpi.BANDS) == BANDS


def test_firing_is_the_exporters_number() -> None:
    from agent.core.model.results import ALERT_PHASE_NUMBER, AlertPhase

    assert ALERT_PHASE_NUMBER[AlertPhase.FIRING] == names.FIRING
