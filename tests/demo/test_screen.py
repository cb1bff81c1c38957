from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from agent.core.model.results import AlertPhase
from agent.demo.screen import Screen, alert_line, waiting_line
from agent.export.agent_state import Alert
from agent.language.load import load

PLAN = load(Path(__file__).parents[2] / "rules")


def alert(phase: AlertPhase) -> Alert:
    return Alert(
        "slow_support", "critical", "response_time", ("emea",), phase, 0, 612.0, "emea waits 10m"
    )


def screen() -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen(Console(file=out, width=100)), out


def test_an_alert_is_one_line_with_its_series_and_summary() -> None:
    assert (
        alert_line(alert(AlertPhase.FIRING), PLAN)
        == "firing    critical  slow_support {region=emea}: emea waits 10m"
    )


def test_an_alert_that_was_over_before_the_demo_began_is_not_said_to_end() -> None:
    shown, out = screen()
    shown.alerts([alert(AlertPhase.RESOLVED)], PLAN)
    shown.alerts([alert(AlertPhase.FIRING)], PLAN)
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["firing"]


def test_each_phase_of_an_alert_is_said_once() -> None:
    shown, out = screen()
    for phase in (AlertPhase.PENDING, AlertPhase.PENDING, AlertPhase.FIRING, AlertPhase.RESOLVED):
        shown.alerts([alert(phase)], PLAN)
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["pending", "firing", "resolved"]


def test_an_alert_that_was_never_up_is_not_mentioned() -> None:
    shown, out = screen()
    shown.alerts([alert(AlertPhase.INACTIVE)], PLAN)
    assert out.getvalue() == ""


def test_the_panel_says_what_to_open() -> None:
    shown, out = screen()
    shown.open("Example company", 9108, ["a [bracket] is text"])
    shown.close()
    text = out.getvalue()
    assert "http://localhost:9108/" in text
    assert "http://localhost:9108/metrics" in text
    assert "a [bracket] is text" in text


def test_what_is_waited_for_is_said_until_all_is_ready() -> None:
    assert waiting_line({"broker": None, "merge": "starting"}) == "merge: starting"
    assert waiting_line({"broker": None, "merge": None}) is None
