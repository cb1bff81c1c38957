"""What the board's snapshot says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from msgspec import structs

from agent.core.evaluate.objectives import Score
from agent.core.model.events import Topics
from agent.core.model.kpis import Target, TargetOverride
from agent.core.model.plan import Maintenance
from agent.core.model.results import AlertPhase, SeriesView
from agent.core.model.rules import Severity
from agent.core.model.schedules import Schedule
from agent.export.agent_state import AgentState, Alert
from agent.export.web.board import Board, change
from tests.core.decode.samples import contract
from tests.export import invented
from tests.export.invented import (
    COMPANY,
    NOW_MS,
    RESPONSE,
    SLOW_SUPPORT,
    TASKS,
    company_state,
    view,
)
from tests.export.running_agent import running_agent
from tests.export.web.test_alerts import STEPS


async def _board(state: AgentState) -> dict[str, Any]:
    made = await Board(state, lambda: NOW_MS).snapshot()
    return json.loads(json.dumps(made, allow_nan=False))  # as a reader gets it


def _kpi(board: dict[str, Any], name: str) -> dict[str, Any]:
    return next(kpi for kpi in board["kpis"] if kpi["name"] == name)


async def test_a_kpi_shows_its_worst_series_first() -> None:
    kpi = _kpi(await _board(company_state()), "response_time")
    assert [row["series"] for row in kpi["rows"]] == ["emea", "amer", "apac"]
    assert (kpi["state"], kpi["counts"]) == ("missed", {"missed": 1, "at_risk": 1, "met": 1})
    worst = kpi["rows"][0]
    assert worst["text"] == "7 min 8 s"
    assert worst["current"] == "7 min 20 s"
    assert worst["target"] == "at most 4 min, warn above 3 min 20 s"
    assert worst["attainment_text"] == "56 %"
    assert worst["phase"] == "firing"
    assert worst["bounds"] == {"at_most": 240, "warn_at_most": 200}
    assert kpi["rows"][2]["bounds"] == {"at_most": 300, "warn_at_most": 260}
    assert (kpi["total"], kpi["stale"]) == (3, False)


async def test_a_board_has_few_rows_of_a_kpi_and_gives_more_when_asked() -> None:
    board = Board(company_state(), lambda: NOW_MS)
    few, more = (
        _kpi(await board.snapshot(), "tasks_per_employee"),
        await board.kpi("tasks_per_employee"),
    )
    assert more is not None
    assert (few["total"], len(few["rows"]), len(more["rows"])) == (8, 6, 8)
    assert more["rows"][7]["series"] == "none"
    assert await board.kpi("unheard_of") is None


async def test_alerts_come_firing_first_with_owner_and_runbook() -> None:
    alerts = (await _board(company_state()))["alerts"]
    assert [(a["rule"], a["phase"]) for a in alerts] == [
        ("slow_support", "firing"),
        ("quiet_support", "pending"),
    ]
    assert alerts[0]["summary"] == "emea answers in 7 min 8 s"
    assert alerts[0]["owner"] == "support-ops"
    assert (alerts[0]["team"], alerts[0]["escalation"]) == ("operations", "director after 30m")
    assert (alerts[1]["team"], alerts[1]["escalation"]) == ("operations", "")
    assert alerts[0]["runbook"] == "https://example.org/runbooks/slow-support"
    assert alerts[0]["since_ms"] == NOW_MS - 9 * invented.MINUTE_MS
    assert alerts[1]["owner"] == "support-ops"  # its KPI's, as the rule has none


async def test_a_runbook_that_is_no_web_page_is_no_link() -> None:
    state = company_state()
    rule = replace(SLOW_SUPPORT, runbook="javascript:alert(1)")
    state.rules.plan = replace(COMPANY, rules={**COMPANY.rules, "slow_support": rule})
    assert (await _board(state))["alerts"][0]["runbook"] is None


async def test_objectives_have_score_state_and_kpis() -> None:
    objectives = {o["name"]: o for o in (await _board(company_state()))["objectives"]}
    satisfaction = objectives["customer_satisfaction"]
    assert (satisfaction["text"], satisfaction["state"]) == ("83 %", "missed")
    assert [(k["name"], k["weight"], k["state"]) for k in satisfaction["kpis"]] == [
        ("response_time", "30 %", "missed"),
        ("feedback_score", "40 %", "at_risk"),
        ("customer_retention", "30 %", "met"),
    ]
    assert (objectives["growth"]["state"], objectives["productivity"]["state"]) == (
        "at_risk",
        "met",
    )


async def test_a_score_short_of_all_is_not_rounded_up_to_it() -> None:
    state = company_state()
    state.fleet.objectives = {"growth": Score(0.99996)}
    texts = {o["name"]: o["text"] for o in (await _board(state))["objectives"]}
    assert texts.pop("growth") == "99.9 %"
    assert set(texts.values()) == {"–"}


async def test_an_objective_stands_above_its_parts_and_says_where_it_is_heading() -> None:
    objectives = (await _board(company_state()))["objectives"]
    assert [o["name"] for o in objectives] == [
        "productivity",
        "year_plan",
        "customer_satisfaction",
        "growth",
    ]
    plan, satisfaction, growth = objectives[1:]
    assert plan["objectives"] == [
        {
            "name": "customer_satisfaction", "title": "Customer satisfaction", "weight": "60 %",
            "state": "missed",
        },
        {"name": "growth", "title": "Growth", "weight": "40 %", "state": "at_risk"},
    ]  # fmt: skip
    assert [(o["trend"], o["trend_text"]) for o in (satisfaction, growth, objectives[0])] == [
        ("down", "down 4.1 points"),
        ("flat", "steady"),
        (None, ""),
    ]


async def test_the_last_transitions_of_alerts_are_reported_in_few_words() -> None:
    state = company_state()
    state.fleet.history = 20 * STEPS
    transitions = (await _board(state))["transitions"]
    assert len(transitions) == 30
    first = transitions[0]
    assert (first["state"], first["title"], first["series"]) == (
        "resolved",
        "Average response time to customer inquiries",
        "emea",
    )
    assert first["at_ms"] == NOW_MS + 3 * invented.MINUTE_MS
    assert first["because"].startswith("value > 600 holds")


async def test_a_kpi_says_which_objectives_it_serves() -> None:
    board = await _board(company_state())
    assert _kpi(board, "response_time")["objectives"] == ["Customer satisfaction"]


async def test_before_the_first_event_the_board_says_what_is_waited_for() -> None:
    board = await _board(
        running_agent(COMPANY, ready={"source topics": "waiting for topic support"})
    )
    assert board["data_until_ms"] is None
    assert board["ready"] == {
        "ok": False,
        "reasons": [{"component": "source topics", "reason": "waiting for topic support"}],
    }
    assert {kpi["state"] for kpi in board["kpis"]} == {"no_data", "none"}
    assert all(kpi["rows"] == [] for kpi in board["kpis"])


async def test_a_kpi_whose_windows_stopped_closing_is_stale() -> None:
    state = company_state()
    late = [view(RESPONSE, ("emea",), 100.0, end_ms=NOW_MS - 4_000 - 5 * invented.MINUTE_MS)]
    state.fleet.series = late
    assert _kpi(await _board(state), "response_time")["stale"] is True


async def test_values_that_are_not_finite_are_shown_as_missing() -> None:
    odd = view(TASKS, ("x",), float("nan"), history=[1.0, float("inf"), None, 2.0])
    board = await _board(running_agent(COMPANY, [structs.replace(odd, status=None)]))
    row = _kpi(board, "tasks_per_employee")["rows"][0]
    assert (row["text"], row["value"]) == ("–", None)
    assert [v for _, v in row["history"]] == [1.0, None, None, 2.0]
    assert (row["low"], row["high"]) == ("1 task", "2 tasks")


async def test_the_clock_alone_is_no_change() -> None:
    old = await Board(company_state(), lambda: NOW_MS).snapshot()
    new = await Board(company_state(), lambda: NOW_MS + 5_000).snapshot()
    assert change(old, new) == {}


async def test_a_change_has_only_what_changed_and_gives_the_new_board() -> None:
    old = await Board(company_state(), lambda: NOW_MS).snapshot()
    new = await Board(company_state(firing=False), lambda: NOW_MS).snapshot()
    changed = change(old, new)
    assert sorted(changed) == [
        "alert_counts", "alerts", "found_by_state", "kpi_order", "kpis", "now_ms", "objectives",
    ]  # fmt: skip
    assert [kpi["name"] for kpi in changed["kpis"]] == ["response_time"]
    known = {kpi["name"]: kpi for kpi in (*old["kpis"], *changed["kpis"])}
    assert {**old, **changed, "kpis": [known[n] for n in new["kpi_order"]]} == new


async def test_a_snapshot_is_shared_by_readers_of_the_same_moment() -> None:
    clock = [0.0]
    state = company_state()
    board = Board(state, lambda: NOW_MS, clock_seconds=lambda: clock[0])
    first = await board.snapshot()
    state.fleet.series = []
    assert await board.snapshot() is first
    clock[0] += 1
    second = await board.snapshot()
    assert {kpi["total"] for kpi in second["kpis"]} == {0}


async def test_an_alert_that_is_over_is_no_longer_a_phase_on_its_row() -> None:
    over = view(
        RESPONSE, ("emea",), 90.0, phases={("slow_support", "warning"): AlertPhase.RESOLVED}
    )
    board = await _board(running_agent(COMPANY, [over]))
    assert _kpi(board, "response_time")["rows"][0]["phase"] is None
    assert board["alerts"] == []


async def test_many_series_of_a_rule_are_one_card_and_all_are_counted() -> None:
    state = company_state()
    regions = [f"r{i:04}" for i in range(400)]
    state.fleet.active = [
        Alert("slow_support", severity, "response_time", (r,), AlertPhase.FIRING, NOW_MS)
        for r in regions
        for severity in ("warning", "critical")
    ]
    board = await _board(state)
    assert board["alert_counts"] == {"firing": 400, "inhibited": 0, "pending": 0}
    [alert] = board["alerts"]
    assert (alert["severity"], alert["series"], alert["count"]) == ("critical", "r0000", 400)
    assert [other["series"] for other in alert["others"]] == regions[1:21]
    assert {other["severity"] for other in alert["others"]} == {"critical"}


async def test_few_series_of_a_rule_are_cards_of_their_own() -> None:
    state = company_state()
    state.fleet.active = [
        Alert("slow_support", severity, "response_time", (region,), AlertPhase.FIRING, NOW_MS)
        for region in ("emea", "apac", "amer")
        for severity in ("warning", "critical")
    ]
    alerts = (await _board(state))["alerts"]
    assert [(a["series"], a["severity"], a["count"]) for a in alerts] == [
        ("amer", "critical", 1),
        ("apac", "critical", 1),
        ("emea", "critical", 1),
    ]


async def test_of_very_many_rules_the_gravest_are_shown_and_all_are_counted() -> None:
    state = company_state()
    state.fleet.active = [
        Alert(f"rule-{n}", "warning", "response_time", ("emea",), AlertPhase.FIRING, NOW_MS)
        for n in range(80)
    ]
    board = await _board(state)
    assert board["alert_counts"]["firing"] == 80
    assert len(board["alerts"]) == 50


async def test_while_nothing_is_counted_the_board_says_what_arrives() -> None:
    state = company_state()
    plan = state.plan
    state.rules.plan = replace(
        plan, contracts={"ticket": contract("ticket", topics=Topics(("support",)))}
    )
    state.metrics.records.clear()
    assert (await _board(state))["sources"] == [{"topic": "support", "records": 0, "why": []}]
    state.metrics.records.labels("support", "rejected", "wrong_type", "ticket").inc(5)
    state.metrics.records.labels("support", "ignored", "", "").inc(2)
    assert (await _board(state))["sources"] == [
        {
            "topic": "support",
            "records": 7,
            "why": [
                {"outcome": "wrong_type", "records": 5},
                {"outcome": "ignored", "records": 2},
            ],
        }
    ]
    state.metrics.records.labels("support", "folded", "", "ticket").inc(1)
    assert (await _board(state))["sources"] == []


async def test_what_resolved_long_ago_is_forgotten() -> None:
    state = company_state()
    minutes = (1, 30, 59, 61, 600)
    state.fleet.active = [
        Alert(
            "slow_support", "warning", "response_time", (f"r{m}",), AlertPhase.RESOLVED,
            NOW_MS - 4_000 - m * invented.MINUTE_MS,
        )
        for m in minutes
    ]  # fmt: skip
    assert [a["series"] for a in (await _board(state))["alerts"]] == ["r1", "r30", "r59"]


async def test_a_resolved_episode_is_one_card_once_all_of_it_is_over() -> None:
    def alert(severity: Severity, region: str, phase: AlertPhase) -> Alert:
        since_ms = NOW_MS - invented.MINUTE_MS
        return Alert("slow_support", severity, "response_time", (region,), phase, since_ms)

    state = company_state()
    state.fleet.active = [
        alert("warning", "emea", AlertPhase.RESOLVED),
        alert("critical", "emea", AlertPhase.RESOLVED),
        alert("warning", "apac", AlertPhase.FIRING),
        alert("critical", "apac", AlertPhase.RESOLVED),
    ]
    alerts = (await _board(state))["alerts"]
    assert [(a["series"], a["severity"], a["phase"]) for a in alerts] == [
        ("apac", "warning", "firing"),
        ("emea", "critical", "resolved"),
    ]


async def test_a_view_of_a_kpi_as_a_whole_is_no_row() -> None:
    whole = SeriesView("response_time", None, None, None, None, None)  # type: ignore[arg-type]
    state = running_agent(COMPANY, [whole, view(RESPONSE, ("emea",), 1.0)])
    assert _kpi(await _board(state), "response_time")["total"] == 1


async def test_a_series_in_maintenance_says_so_with_its_title() -> None:
    here = view(RESPONSE, ("emea",), 428.0)
    assert here.closed is not None
    maintained = structs.replace(
        here, closed=structs.replace(here.closed, maintenance="phones"), status=None
    )
    state = company_state()
    state.fleet.series = [maintained, view(RESPONSE, ("apac",), 120.0)]
    schedule = Schedule("UTC", from_ms=0, until_ms=NOW_MS)
    phones = Maintenance("phones", "New phones", "", frozenset({"response_time"}), {}, schedule)
    state.rules.plan = replace(COMPANY, maintenance={"phones": phones})
    kpi = _kpi(await _board(state), "response_time")
    assert [(row["series"], row["state"], row["maintenance"]) for row in kpi["rows"]] == [
        ("apac", "met", None),
        ("emea", "no_data", "New phones"),
    ]
    # The value is published all the same.
    assert kpi["rows"][1]["value"] == 428.0


async def test_a_kpis_target_by_calendar_is_that_of_the_newest_window() -> None:
    later = TargetOverride({}, Target(at_most=100), NOW_MS - 3_600_000, "2027-Q1")
    dated = replace(RESPONSE, overrides=(later,))
    state = company_state()
    state.rules.plan = replace(COMPANY, kpis={**COMPANY.kpis, "response_time": dated})
    assert _kpi(await _board(state), "response_time")["target"] == "at most 1 min 40 s"


async def test_records_that_were_gone_before_they_were_read_are_shown_for_an_hour() -> None:
    state = running_agent(COMPANY)
    missed = (("orders", 0, 12), ("orders", 1, 8), ("visits", 0, 0))
    for topic, partition, records in missed:
        state.metrics.note_missed(topic, partition, records, NOW_MS - 60_000)
    assert (await _board(state))["missed"] == [{"topic": "orders", "records": 20}]
    state = running_agent(COMPANY)
    state.metrics.note_missed("orders", 0, 12, NOW_MS - 3_601_000)
    assert (await _board(state))["missed"] == []
