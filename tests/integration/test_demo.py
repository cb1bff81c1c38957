"""The demo as a person starts it: a command, then a page with figures, an alert and its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from .agents import Agent
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(300)]

WINDOWS_SECONDS = 30
FIRES_SECONDS = 90
RESOLVES_SECONDS = 180


class Demo(Agent):
    """`kpi-agent demo` on a port of its own."""

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "agent", "demo", "--port", str(self.port)]
        self.launch([*command, "--seconds", str(RESOLVES_SECONDS + 30)], self._env)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    process = Demo("demo", tmp_path, {})
    process.forget("web_port")
    try:
        yield process
    finally:
        process.clean_up()


def test_the_demo_shows_figures_soon_and_an_alert_that_comes_and_goes(demo: Demo) -> None:
    started = time.monotonic()
    demo.start()

    def left(seconds: float) -> float:
        return seconds - (time.monotonic() - started)

    def board() -> dict[str, Any]:
        demo.check_runs()
        status, body = demo.get("/api/v1/board")
        return dict(msgspec.json.decode(body)) if status == 200 else {}

    def has_closed_windows() -> bool:
        return any(
            kpi["end_ms"] is not None and row["value"] is not None
            for kpi in board().get("kpis", [])
            for row in kpi["rows"]
        )

    def firing() -> set[str]:
        return {alert["rule"] for alert in board().get("alerts", []) if alert["phase"] == "firing"}

    until(has_closed_windows, left(WINDOWS_SECONDS), demo.last_words)
    until(lambda: "slow_support" in firing(), left(FIRES_SECONDS), demo.last_words)
    until(
        lambda: board() and "slow_support" not in firing(), left(RESOLVES_SECONDS), demo.last_words
    )
    assert f":{demo.port}" in demo.log.read_text(), "the terminal says what to open"
    assert demo.terminate() == 0, demo.last_words()
