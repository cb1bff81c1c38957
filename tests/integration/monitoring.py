"""Debian's Prometheus and Alertmanager on the project's own files, with the tests' ports."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .waiting import Process, free_port, until

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "kpi-agent.rules.yml"
START_SECONDS = 30


class Server(Process):
    """A server with an HTTP API on a port of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.folder = folder / name
        self.folder.mkdir()
        self.address = f"127.0.0.1:{free_port()}"

    def get(self, path: str, **query: str) -> Any:
        """A JSON answer of its API. OSError where it gives none."""
        asked = f"http://{self.address}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    def wait_ready(self) -> None:
        """Wait until it serves."""
        until(self._is_ready, START_SECONDS, lambda: f"{self.name} ready\n{self.last_words()}")

    def _is_ready(self) -> bool:
        self.check_runs()
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Alertmanager(Server):
    """An Alertmanager with the routes of `deploy/`."""

    def start(self, config: Path = DEPLOY / "alertmanager" / "alertmanager.yml") -> None:
        """Start it, and wait until it serves."""
        self.launch(
            [
                "prometheus-alertmanager",
                f"--config.file={config}",
                f"--storage.path={self.folder}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
            ]
        )
        self.wait_ready()

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """The alerts of this name that are active now."""
        alerts = self.get("/api/v2/alerts", active="true", filter=f'alertname="{name}"')
        return [alert for alert in alerts if alert["status"]["state"] == "active"]


class Prometheus(Server):
    """A Prometheus with the generated rules, which scrapes these targets once a second."""

    def start(
        self, targets: Sequence[str], alertmanager: str, labels: Mapping[str, str] | None = None
    ) -> None:
        """Start it, and wait until it serves. `labels` are what the scrape adds to every series."""
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(RULES)]
        (alerting,) = config["alerting"]["alertmanagers"]
        alerting["static_configs"] = [{"targets": [alertmanager]}]
        (job,) = config["scrape_configs"]
        job["static_configs"] = [{"targets": list(targets), "labels": dict(labels or {})}]
        file = self.folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.launch(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--log.level=warn",
            ]
        )
        self.wait_ready()

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        answer = self.get("/api/v1/query", query=promql)
        assert answer["status"] == "success", answer
        samples: list[dict[str, Any]] = answer["data"]["result"]
        return samples

    def rules(self) -> list[dict[str, Any]]:
        """All loaded rules."""
        groups = self.get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def targets_up(self) -> int:
        """How many targets answered their last scrape."""
        targets = self.get("/api/v1/targets")["data"]["activeTargets"]
        return sum(target["health"] == "up" for target in targets)
