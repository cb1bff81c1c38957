"""Why, in words: when an alert fired, what decides next, values in people's units."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.model.results import AlertPhase
from agent.core.output.messages import iso
from agent.export.agent_state import Alert
from agent.export.web.pages.explained import in_words
from agent.export.web.shown import clock_text
from tests.export.invented import MINUTE_MS, NOW_MS, RESPONSE, company_state
from tests.export.web.pages.test_kpi_pages import _client

END_MS = NOW_MS - 4_000


def document(**changes: Any) -> dict[str, Any]:
    alert = {
        "severity": "warning", "state": "firing", "since": iso(END_MS - 20 * MINUTE_MS),
        "fires_at": None, "ends_at": None,
        "when": {"sql": "value > 600", "holds": True,
                 "clauses": [{"sql": "value > 600", "values": "640 > 600", "holds": True}]},
        "clear": {"sql": "value < 480", "holds": False,
                  "clauses": [{"sql": "value < 480", "values": "640 < 480", "holds": False}]},
    }  # fmt: skip
    made = {
        "rule": "slow_support", "facts": [], "rule_override": None, "target": None,
        "not_evaluated": None, "inhibited_by": [],
        "window": {"value": 640.0, "events": 1200, "open": False},
    }  # fmt: skip
    return {**made, "alerts": [{**alert, **changes}]}


def words(made: dict[str, Any], alerts: list[Alert] | None = None) -> dict[str, Any]:
    (said,) = in_words(
        [made], alerts or [], RESPONSE, ("emea",), lambda at: clock_text(at, NOW_MS, "UTC")
    )
    return said


def test_an_alert_has_fired_since_it_fired_and_not_since_it_was_pending() -> None:
    fired = Alert("slow_support", "warning", "response_time", ("emea",), AlertPhase.FIRING,
                  END_MS - 10 * MINUTE_MS)  # fmt: skip
    said = words(document(), [fired])
    at, began = (clock_text(END_MS - n * MINUTE_MS, NOW_MS, "UTC") for n in (10, 20))
    assert said["state_text"] == f"firing since {at}, after it began at {began}"


def test_of_what_fires_the_end_is_explained_and_values_are_in_peoples_units() -> None:
    assert words(document())["because"] == [
        "The value is 10 min 40 s, of 1,200 events.",
        "Clears when value < 480 (10 min 40 s < 8 min): does not hold.",
    ]


def test_of_what_is_pending_it_is_said_when_it_fires() -> None:
    pending = document(state="pending", fires_at=iso(END_MS + 5 * MINUTE_MS))
    at = clock_text(END_MS + 5 * MINUTE_MS, NOW_MS, "UTC")
    assert words(pending)["state_text"].endswith(f"fires at {at} if that continues")


def test_a_silence_says_how_long_it_may_last() -> None:
    silent = document(state="inactive", since=None, no_data_for_seconds=900, when=None, clear=None)
    assert words(silent)["because"][-1] == "It fires after 15 min without an event."
    assert words(silent)["state_text"] == "not firing"


@pytest.mark.parametrize(("query", "shown"), [("?series=region%3Demea", True), ("", False)])
async def test_the_page_of_a_series_explains_its_rules(
    query: str, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = company_state()
    asked = []

    async def explain(name: str, series: str) -> dict[str, Any]:
        asked.append((name, series))
        return {"count": 1, "series": [{**document(), "rule": name}]}

    monkeypatch.setattr(state.fleet, "explain", explain)
    async with _client(state) as client:
        text = await (await client.get(f"/kpis/response_time{query}")).text()
    assert ('id="why"' in text) is shown
    assert ("The value is 10 min 40 s" in text) is shown
    # Rules over the KPI as a whole are about no series.
    assert asked == (
        [(n, "region=emea") for n in ("slow_support", "quiet_region")] if shown else []
    )
