"""Agents as people run them: `python -m agent run`, its settings in the environment."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from .waiting import Process, free_port, until

READY_SECONDS = 90  # two agents that share out their groups, on a machine that is busy


class Agent(Process):
    """One agent. It keeps its port and its settings when it is started again."""

    def __init__(self, name: str, folder: Path, settings: dict[str, Any]) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        ours = {
            "web_port": self.port,
            "web_host": "127.0.0.1",
            "web_reload": True,
            "log_format": "json",
            **settings,
        }
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("KPI_AGENT_")}
        self._env |= {f"KPI_AGENT_{k.upper()}": str(v) for k, v in ours.items()}

    def forget(self, setting: str) -> None:
        """Leave a setting to its default."""
        del self._env[f"KPI_AGENT_{setting.upper()}"]

    def start(self) -> None:
        """Start it; it may take a while until it is ready."""
        self.launch([sys.executable, "-m", "agent", "run"], self._env)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; (0, why) while nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def json(self, path: str) -> Any:
        """A JSON answer."""
        status, body = self.get(path)
        assert status == 200, f"{path}: {status} {body}"
        return msgspec.json.decode(body)

    def ready(self) -> tuple[int, str]:
        """What `/-/ready` says."""
        self.check_runs()
        return self.get("/-/ready")

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until it is ready."""
        until(
            lambda: self.ready()[0] == 200,
            seconds,
            lambda: f"{self.name} ready: {self.ready()}\n{self.last_words()}",
        )

    def wait_says(self, words: str, seconds: float = READY_SECONDS) -> str:
        """Wait until it is not ready and says why, with these words; all that it says."""
        until(
            lambda: self.ready()[0] == 503 and words in self.ready()[1],
            seconds,
            lambda: f"{self.name} says {words!r}: {self.ready()}\n{self.last_words()}",
        )
        return self.ready()[1]

    def samples(self) -> list[tuple[str, dict[str, str], float]]:
        """What `/metrics` holds: name, labels, value."""
        status, text = self.get("/metrics")
        assert status == 200, text
        return [
            (sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def outcomes(self) -> Counter[str]:
        """How many records it consumed, by outcome."""
        counted: Counter[str] = Counter()
        for name, labels, value in self.samples():
            if name == "kpi_agent_records_total":
                counted[labels["outcome"]] += int(value)
        return counted

    def lag(self) -> int:
        """How many records it has not read yet."""
        return sum(int(v) for name, _, v in self.samples() if name == "kpi_agent_lag_records")
