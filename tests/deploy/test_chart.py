"""The Helm chart, by Helm's own engine: what it renders by default, and with every option."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.settings import PREFIX, Settings
from scripts.chart import CHART, render
from tests.conftest import ROOT

pytestmark = pytest.mark.needs_helm

RULES = {path.stem: path.read_text() for path in sorted((ROOT / "rules").glob("*.yaml"))}
DASHBOARDS = {p.stem: p.read_text() for p in sorted((ROOT / "grafana/dashboards").glob("*.json"))}
ALERTS = (ROOT / "deploy/prometheus/kpi-agent.rules.yml").read_text()
DIGEST = "sha256:" + "ab" * 32
MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
EVERYTHING: dict[str, Any] = {
    "image": {"digest": DIGEST, "pullSecrets": ["registry"]},
    "replicas": None,
    "settings": {
        "brokers": "a.example.org:9093,b.example.org:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "kpi-agent",
        "ssl_check_hostname": True,
        "flush_interval": 0.5,
        "state_partitions": 16,
    },
    "secretFiles": {
        "sasl_password_file": {"secret": "kafka-user", "key": "password"},
        "ssl_cafile": {"secret": "kafka-ca", "key": "ca.crt"},
        "web_config_file": {"secret": "kpi-agent-web", "key": "web.yml"},
    },
    "rules": {"files": RULES},
    "storage": {"size": "20Gi", "className": "fast"},
    "scheme": "HTTPS",
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/kpi"}},
    "service": {"type": "LoadBalancer", "port": 443, "annotations": {"internal": "true"}},
    "ingress": {
        "host": "kpis.example.org",
        "className": "nginx",
        "tlsSecret": "kpi-agent-tls",
        "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"},
    },
    "networkPolicy": {
        "from": [MONITORING],
        "egress": [{"to": [MONITORING], "ports": [{"port": 9093}]}],
    },
    "podMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "endpoint": {"authorization": {"credentials": {"name": "kpi-agent-token", "key": "token"}}},
    },
    "prometheusRule": {"rules": ALERTS, "labels": {"release": "prometheus"}},
    "dashboards": {"files": DASHBOARDS},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "kpi", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "extraVolumes": [{"name": "web", "secret": {"secretName": "kpi-agent-web"}}],
    "extraVolumeMounts": [{"name": "web", "mountPath": "/etc/kpi-agent/web", "readOnly": True}],
}
OF_THE_OPERATOR = ("PodMonitor", "PrometheusRule")


def objects(values: dict[str, Any], name: str = "kpi-agent") -> list[dict[str, Any]]:
    texts = render(values, name).values()
    return [o for text in texts for o in yaml.safe_load_all(text) if o]


@pytest.fixture(scope="module")
def everything() -> list[dict[str, Any]]:
    return objects(EVERYTHING)


def only(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (sole,) = (o for o in objects if o["kind"] == kind)
    return sole


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_kubernetes_knows_every_field(values: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    known = [o for o in objects(values) if o["kind"] not in OF_THE_OPERATOR]
    file.write_text(yaml.safe_dump_all(known))
    validate = ROOT / ".cache/helm/bin/kubernetes-validate"
    result = subprocess.run(
        [validate, "--strict", file], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("passed") == len(known)


def test_every_option_is_tried() -> None:
    options = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(EVERYTHING) | {"resources", "podAnnotations"} == set(options)


def test_the_agent_takes_the_settings(everything: list[dict[str, Any]]) -> None:
    pod = only(everything, "StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = {v["name"].removeprefix(PREFIX).lower(): v["value"] for v in container["env"]}
    settings = Settings(**given)
    assert settings.state_partitions == 16
    assert settings.flush_interval == 0.5
    assert settings.ssl_check_hostname is True
    assert str(settings.sasl_password_file) == "/etc/kpi-agent/secrets/sasl_password_file"


def test_a_board_behind_an_ingress_answers_to_its_name(everything: list[dict[str, Any]]) -> None:
    (rule,) = only(everything, "Ingress")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    services = {o["metadata"]["name"]: o for o in everything if o["kind"] == "Service"}
    assert backend["port"]["name"] in {
        port["name"] for port in services[backend["name"]]["spec"]["ports"]
    }
    pod = only(everything, "StatefulSet")["spec"]["template"]["spec"]
    env = {v["name"]: v["value"] for v in pod["containers"][0]["env"]}
    assert env["KPI_AGENT_WEB_HOSTS"] == rule["host"] == "kpis.example.org"
    assert env["KPI_AGENT_EXTERNAL_URL"] == "https://kpis.example.org"
    own = {"ingress": {"host": "kpis.example.org"}, "settings": {"web_hosts": "a.org,b.org"}}
    pod = only(objects(own), "StatefulSet")["spec"]["template"]["spec"]
    env = [(v["name"], v["value"]) for v in pod["containers"][0]["env"]]
    assert [value for name, value in env if name == "KPI_AGENT_WEB_HOSTS"] == ["a.org,b.org"]


def test_a_scrape_of_a_closed_port_has_credentials(everything: list[dict[str, Any]]) -> None:
    (endpoint,) = only(everything, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["authorization"]["credentials"]["name"] == "kpi-agent-token"


def test_without_a_volume_the_state_is_in_the_pod() -> None:
    workers = only(objects({"storage": {"size": ""}}), "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in workers
    volumes = {volume["name"]: volume for volume in workers["template"]["spec"]["volumes"]}
    assert volumes["state"] == {"name": "state", "emptyDir": {}}


def test_files_arrive_as_they_are(everything: list[dict[str, Any]]) -> None:
    maps = {o["metadata"]["name"]: o for o in everything if o["kind"] == "ConfigMap"}
    assert maps["kpi-agent-rules-files"]["data"] == {f"{n}.yaml": t for n, t in RULES.items()}
    boards = [o for o in maps.values() if "grafana_dashboard" in o["metadata"]["labels"]]
    arrived = {name: text for o in boards for name, text in o["data"].items()}
    assert arrived == {f"{name}.json": text for name, text in DASHBOARDS.items()}
    assert only(everything, "PrometheusRule")["spec"] == yaml.safe_load(ALERTS)


def test_changed_rules_roll_the_workers_over() -> None:
    def pod(text: str) -> dict[str, Any]:
        rules = {"rules": {"files": {"sales": text}}}
        return only(objects(rules), "StatefulSet")["spec"]["template"]["metadata"]

    assert pod("a: 1") == pod("a: 1")
    assert pod("a: 1") != pod("a: 2")


def test_a_digest_names_the_image_and_an_autoscaler_the_number(
    everything: list[dict[str, Any]],
) -> None:
    workers = only(everything, "StatefulSet")["spec"]
    (container,) = workers["template"]["spec"]["containers"]
    assert container["image"] == f"registry.example.org/kpi-agent@{DIGEST}"
    assert "replicas" not in workers


def test_two_releases_share_nothing() -> None:
    named = [{(o["kind"], o["metadata"]["name"]) for o in objects({}, n)} for n in ("a", "b")]
    assert not named[0] & named[1]
    selectors = [only(objects({}, n), "StatefulSet")["spec"]["selector"] for n in ("a", "b")]
    assert selectors[0] != selectors[1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"settings": {"broker": "a:1"}}, "broker"),
        ({"settings": {"sasl_password": "hush"}}, "sasl_password"),
        ({"secretFiles": {"ssl_ca": {"secret": "a", "key": "b"}}}, "ssl_ca"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"replica": 3}, "replica"),
    ],
)
def test_a_mistake_in_the_values_is_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        render(values)


PAGE = (ROOT / "docs/kubernetes.md").read_text()
EXAMPLES = [yaml.safe_load(t) for t in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)]
VALUES = [example for example in EXAMPLES if "apiVersion" not in example]


@pytest.mark.parametrize("values", VALUES, ids="-".join)
def test_the_examples_of_the_page_are_values_that_render(values: dict[str, Any]) -> None:
    rendered = objects(values)
    (container,) = only(rendered, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    env = {v["name"].removeprefix(PREFIX).lower(): v["value"] for v in container["env"]}
    Settings(**env)
    absent = {name for name, source in values.get("secretFiles", {}).items() if source is None}
    assert not absent & set(env)
    assert set(values.get("settings", {})) <= set(env)


def test_the_page_scales_the_chart_by_a_metric_of_the_agent() -> None:
    (scaled,) = (example for example in EXAMPLES if "apiVersion" in example)
    target = scaled["spec"]["scaleTargetRef"]
    workers = only(objects({}), "StatefulSet")
    assert (target["kind"], target["name"]) == (workers["kind"], workers["metadata"]["name"])
    assert "`kpi_agent_lag_records{" in (ROOT / "docs/operations.md").read_text()
    assert scaled["spec"]["triggers"][0]["metadata"]["query"] == "sum(kpi_agent_lag_records)"


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project


def test_the_schema_is_one_of_json() -> None:
    assert json.loads((CHART / "values.schema.json").read_text())["additionalProperties"] is False
