from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from agent.generate.grafana import DASHBOARDS_PATH
from agent.settings import PREFIX, Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict] = COMPOSE["services"]
NAMES = sorted(SERVICES)
PORT = str(Settings.model_fields["web_port"].default)


def mounts(service: dict) -> list[tuple[str, str]]:
    return [tuple(v.split(":")[:2]) for v in service.get("volumes", [])]


def test_it_starts_kafka_two_agents_and_what_watches_them() -> None:
    assert NAMES == ["agent-1", "agent-2", "alertmanager", "grafana", "kafka", "prometheus"]


@pytest.mark.parametrize("name", NAMES)
def test_images_are_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert tag
    assert tag != "latest"


@pytest.mark.parametrize("name", NAMES)
def test_every_mounted_file_and_volume_exists(name: str) -> None:
    for source, _ in mounts(SERVICES[name]):
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_published_beyond_this_machine(name: str) -> None:
    assert [p for p in SERVICES[name]["ports"] if not p.startswith("127.0.0.1:")] == []


def test_every_agent_setting_exists() -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    asked = set(SERVICES["agent-1"]["environment"])
    assert asked <= known
    Settings(
        **{
            name.removeprefix(PREFIX).lower(): value
            for name, value in SERVICES["agent-1"]["environment"].items()
        }
    )


def test_the_agents_are_reached_where_they_listen() -> None:
    targets = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    (job,) = targets["scrape_configs"]
    (static,) = job["static_configs"]
    assert static["targets"] == [f"agent-1:{PORT}", f"agent-2:{PORT}"]
    for name in ("agent-1", "agent-2"):
        assert [p.rpartition(":")[2] for p in SERVICES[name]["ports"]] == [PORT]


def test_prometheus_sends_alerts_to_the_alertmanager_of_the_file() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    (target,) = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    name, _, port = target.partition(":")
    assert [p.rpartition(":")[2] for p in SERVICES[name]["ports"]] == [port]


def test_the_agents_broker_is_the_one_that_kafka_advertises() -> None:
    kafka = SERVICES["kafka"]["environment"]
    broker = SERVICES["agent-1"]["environment"]["KPI_AGENT_BROKERS"]
    assert f"INTERNAL://{broker}" in kafka["KAFKA_ADVERTISED_LISTENERS"].split(",")
    listeners = {part.split("://")[0] for part in kafka["KAFKA_LISTENERS"].split(",")}
    secured = kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    assert listeners == {part.split(":")[0] for part in secured}


def test_grafana_finds_the_boards_where_its_provisioning_looks() -> None:
    targets = {inside: outside for outside, inside in mounts(SERVICES["grafana"])}
    assert targets[DASHBOARDS_PATH] == "../grafana/dashboards"
    assert targets["/etc/grafana/provisioning"] == "../grafana/provisioning"
    subject = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DEPLOY / targets[DASHBOARDS_PATH] / Path(subject).name).is_file()
    assert "PROMETHEUS_URL" in SERVICES["grafana"]["environment"]


def test_the_file_holds_no_password() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    values = re.findall(r"(?i)\b\w*(?:password|secret|token)\w*\s*:(?!\?)\s*(\S+)", text)
    assert [value for value in values if not value.startswith("${")] == []


def test_the_secret_that_the_rules_need_is_asked_for_and_the_file_says_how_to_make_it() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    wanted = SERVICES["agent-1"]["environment"][f"{PREFIX}PERSON_SECRET"]
    assert wanted.startswith(f"${{{PREFIX}PERSON_SECRET:?write it into deploy/.env")
    assert f'echo "{PREFIX}PERSON_SECRET=$(openssl rand -hex 32)" > deploy/.env' in text
    assert "/deploy/.env" in (DEPLOY.parent / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("agent-")])
def test_every_service_says_whether_it_is_healthy(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", ["agent-1", "agent-2"])
def test_the_agents_run_without_rights_they_do_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["depends_on"] == {"kafka": {"condition": "service_healthy"}}
