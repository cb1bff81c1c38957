"""Who learns of which alert, and which alerts hold others back."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from agent.core.model.plan import Objective, Plan
from agent.core.model.rules import Escalation
from agent.errors import RulesError
from agent.generate.alertmanager import (
    CONFIG_FILE,
    alertmanager_files,
    read_receivers,
    receiver_names,
    skeleton,
)

from .plans import absence, company

PLAN = company()


def config(plan: Plan = PLAN, receivers: dict[str, Any] | None = None) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(alertmanager_files(plan, receivers)[CONFIG_FILE])
    return parsed


def with_rules(*rules: Any, plan: Plan = PLAN) -> Plan:
    return replace(plan, rules=plan.rules | {rule.name: rule for rule in rules})


def held_back_by(plan: Plan, source: str) -> list[dict[str, Any]]:
    rules = config(plan)["inhibit_rules"]
    return [rule for rule in rules if f'alertname="{source}"' in rule["source_matchers"]]


def test_every_team_and_every_owner_without_one_has_a_receiver() -> None:
    rules = with_rules(
        replace(PLAN.rules["slow_support"], escalation=(Escalation(60_000, "boss"),))
    )
    names = receiver_names(rules)
    teams = {kpi.team for kpi in PLAN.kpis.values()} | {r.team for r in PLAN.rules.values()}
    assert names[0] == "everyone"
    assert {"on-call", "digest", "boss", "ceo"} | {t for t in teams if t} <= set(names)
    assert [receiver["name"] for receiver in config(rules)["receivers"]] == names


def test_what_people_write_of_a_receiver_is_taken_over() -> None:
    mine = {"name": "on-call", "webhook_configs": [{"url": "http://pager.example.org/hook"}]}
    receivers = {
        receiver["name"]: receiver for receiver in config(receivers={"on-call": mine})["receivers"]
    }
    assert receivers["on-call"] == mine
    assert receivers["digest"] == {"name": "digest"}


def test_a_receiver_that_no_route_leads_to_is_refused() -> None:
    with pytest.raises(RulesError, match="no route leads to the receiver on-cal"):
        config(receivers={"on-cal": {"name": "on-cal"}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("receivers: 5", "must contain only `receivers:`"),
        ("receivers: [{nam: x}]", "must contain only `receivers:`"),
        ("receivers: []\nroute: {}", "must contain only `receivers:`"),
        ("receivers: [{name: a}, {name: a}]", "describes a more than once"),
        ("receivers: [", "can't be read"),
    ],
)
def test_a_broken_file_of_receivers_is_reported(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "receivers.yml").write_text(text)
    with pytest.raises(RulesError, match=message):
        read_receivers(tmp_path / "receivers.yml")


def test_the_skeleton_has_every_receiver_and_sends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "receivers.yml"
    assert read_receivers(file) == {}
    file.write_text(skeleton(PLAN))
    assert read_receivers(file) == {name: {"name": name} for name in receiver_names(PLAN)}


def test_a_silent_feed_holds_back_the_rules_over_what_comes_of_it() -> None:
    low = replace(PLAN.rules["slow_support"], name="low", kpi="conversion")
    rules, stale = held_back_by(with_rules(low), "no_orders")
    # Not `slow_support`, which evaluates another feed, and not itself.
    assert rules == {
        "source_matchers": ['alertname="no_orders"', 'rule="no_orders"'],
        "target_matchers": ['rule=~"low|odd_revenue"'],
    }
    assert stale["target_matchers"] == [
        'alertname="KpiStale"',
        'kpi=~"conversion|orders|revenue|visits"',
    ]


def test_the_silence_of_a_series_holds_back_only_what_agrees_with_it() -> None:
    whole = replace(PLAN.kpis["response_time"], name="tickets", by=())
    plan = replace(PLAN, kpis=PLAN.kpis | {"tickets": whole})
    of_whole = replace(PLAN.rules["slow_support"], name="slow", kpi="tickets")
    with_silence = with_rules(of_whole, absence("silent", "response_time", per="series"), plan=plan)
    (rules,) = held_back_by(with_silence, "silent")
    # Not `slow`: one region's silence says little of the whole.
    assert rules["target_matchers"] == ['rule="slow_support"']
    assert rules["equal"] == ["region"]


def test_two_absences_never_hold_each_other_back() -> None:
    both = with_rules(
        absence("silent", "orders", per="kpi"), absence("silent_too", "revenue", per="kpi")
    )
    for name in ("silent", "silent_too"):
        targets = " ".join(m for r in held_back_by(both, name) for m in r["target_matchers"])
        assert "silent" not in targets


def test_the_silence_of_some_events_is_not_that_of_the_feed() -> None:
    orders = replace(PLAN.kpis["orders"], where=pl.col("amount") > 0)
    plan = replace(PLAN, kpis=PLAN.kpis | {"orders": orders})
    assert held_back_by(with_rules(absence("s", "orders", per="kpi"), plan=plan), "s") == []


def test_an_objective_holds_back_warnings_of_its_own_kpis_for_its_own_team() -> None:
    above = Objective("above", "Above", "", "chair", {}, {"service": 1.0})
    plan = replace(PLAN, objectives=PLAN.objectives | {"above": above})
    (service,) = (
        r
        for r in held_back_by(plan, "KpiObjectiveMissed")
        if 'objective="service"' in r["source_matchers"]
    )
    assert service["target_matchers"] == ['rule="slow_support"', 'severity=~"warning|info"']
    assert service["equal"] == ["team"]
    assert not any(
        'objective="above"' in r["source_matchers"]
        for r in held_back_by(plan, "KpiObjectiveMissed")
    )


def amtool(*arguments: str) -> str:
    tool = shutil.which("amtool")
    assert tool, "amtool is missing: apt-get install prometheus-alertmanager"
    done = subprocess.run(
        [tool, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs_prometheus
def test_amtool_accepts_the_skeleton_with_every_channel_filled_in(tmp_path: Path) -> None:
    filled = re.sub(r"^    # ", "    ", skeleton(PLAN), flags=re.MULTILINE)
    filled = filled.replace("<address>", "a@example.org").replace("<host>", "mail.example.org")
    (tmp_path / "receivers.yml").write_text(filled)
    receivers = read_receivers(tmp_path / "receivers.yml")
    assert all(len(receiver) == 4 for receiver in receivers.values())
    file = tmp_path / CONFIG_FILE
    file.write_text(alertmanager_files(PLAN, receivers)[CONFIG_FILE])
    amtool("check-config", str(file))


@pytest.mark.needs_prometheus
def test_names_with_signs_of_their_own_are_routed(tmp_path: Path) -> None:
    odd = 'the "quick" team \\ 2, süd'
    rule = replace(PLAN.rules["slow_support"], team=odd, escalation=(Escalation(60_000, "a b"),))
    file = tmp_path / CONFIG_FILE
    file.write_text(alertmanager_files(with_rules(rule))[CONFIG_FILE])
    amtool("check-config", str(file))
    said = amtool("config", "routes", "test", f"--config.file={file}", "escalation=a b")
    assert said.strip() == "a b"
