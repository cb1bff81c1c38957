"""`/api/v1/alerts`: what is active, what was, and the filters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Transition
from agent.core.output.messages import transition_json
from agent.export.web.alerts import BadQuery, Query, alerts_response
from tests.export.invented import COMPANY, NOW_MS, SLOW_SUPPORT, company_state
from tests.export.web.test_server import _client


def step(minute: int, state: AlertPhase, region: str = "emea") -> dict[str, Any]:
    """A step as the alerts topic says it."""
    before = AlertPhase.PENDING if state is AlertPhase.FIRING else AlertPhase.FIRING
    published = Transition(
        "slow_support", "critical", "response_time", (region,), NOW_MS + minute * 60_000, NOW_MS,
        state, before, 428.0, "value > 600", NOW_MS - 300_000, NOW_MS, "when",
    )  # fmt: skip
    text = json.dumps(transition_json(COMPANY, SLOW_SUPPORT, published), default=str)
    parsed: dict[str, Any] = json.loads(text)
    return parsed


STEPS = [
    step(3, AlertPhase.RESOLVED),
    step(2, AlertPhase.FIRING, "apac"),
    step(1, AlertPhase.FIRING),
]


def answer(*pairs: tuple[str, str], plan: Plan = COMPANY) -> dict[str, Any]:
    alerts = company_state().fleet.alerts()
    return alerts_response(plan, alerts, STEPS, Query(pairs), NOW_MS)


def test_active_alerts_say_all_that_anybody_who_is_called_needs() -> None:
    slow, quiet = answer()["alerts"]
    assert slow == {
        "rule": "slow_support",
        "severity": "warning",
        "state": "firing",
        "kpi": "response_time",
        "dimensions": {"region": "emea"},
        "since": "2026-11-24T11:24:04Z",
        "value": 428.0,
        "summary": "emea answers in 7 min 8 s",
        "description": slow["description"],
        "runbook": "https://example.org/runbooks/slow-support",
        "owner": "support-ops",
        "team": "operations",
        "escalation": "director after 30m",
        "objectives": ["customer_satisfaction"],
    }
    assert (quiet["rule"], quiet["state"], quiet["dimensions"]) == ("quiet_support", "pending", {})


def test_the_history_is_what_the_topic_says() -> None:
    assert answer()["history"] == STEPS


@pytest.mark.parametrize(
    ("pairs", "alerts", "history"),
    [
        ([("state", "firing")], ["slow_support"], [1, 2]),
        ([("state", "resolved")], [], [0]),
        ([("state", "resolved"), ("state", "firing")], ["slow_support"], [0, 1, 2]),
        ([("rule", "quiet_support")], ["quiet_support"], []),
        ([("kpi", "revenue")], [], []),
        ([("severity", "critical"), ("limit", "1")], [], [0]),
        ([("limit", "0")], ["slow_support", "quiet_support"], []),
    ],
)
def test_filters_choose_alerts_and_steps(
    pairs: list[tuple[str, str]], alerts: list[str], history: list[int]
) -> None:
    body = answer(*pairs)
    assert [alert["rule"] for alert in body["alerts"]] == alerts
    assert body["history"] == [STEPS[n] for n in history]


@pytest.mark.parametrize(
    ("pair", "hint"),
    [
        (("stat", "firing"), "no filter is called stat: rule, kpi, state, severity, limit are"),
        (
            ("state", "fired"),
            "state is one of inactive, pending, firing, inhibited, resolved, not fired",
        ),
        (("severity", "high"), "severity is one of page, critical, warning, info, not high"),
        (("limit", "-1"), "limit is a number of transitions, not -1"),
        (("limit", "9" * 5000), f"limit is at most 10000, not {'9' * 40}…"),
        (("limit", "10001"), "limit is at most 10000, not 10001"),
        (("limit", "²"), "limit is a number of transitions, not ²"),
    ],
)
def test_a_filter_that_there_is_not_is_refused(pair: tuple[str, str], hint: str) -> None:
    with pytest.raises(BadQuery) as refused:
        answer(pair)
    assert str(refused.value) == hint


async def test_it_is_served_and_bad_questions_are_400() -> None:
    state = company_state()
    state.fleet.history = STEPS
    async with _client(state) as client:
        good = await client.get("/api/v1/alerts?state=resolved")
        assert good.headers["Cache-Control"] == "no-store"
        assert [alert["state"] for alert in (await good.json())["history"]] == ["resolved"]
        bad = await client.get("/api/v1/alerts?since=yesterday")
        assert bad.status == 400
        assert "no filter is called since" in (await bad.json())["error"]
