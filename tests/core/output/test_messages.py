from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from msgspec import structs

from agent.core.model.kpis import OTHER, Target, dimension_of, event_value_of
from agent.core.model.results import (
    AlertPhase,
    Outcome,
    Reason,
    TargetState,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.model.rules import Level, ThresholdRule
from agent.core.output.messages import (
    VARIABLES,
    _variables,
    bound_text,
    dumps,
    iso,
    label,
    summary_json,
    target_json,
    transition_json,
    transition_key,
    window_json,
    window_key,
)
from tests.core.simulated import plan_of
from tests.core.small_plans import kpi, plan

START = 1_291_191_960_000  # 2010-12-01T08:26:00Z
WINDOW = WindowValue("response_time", ("apac",), START, START + 60_000, 700.5, 9)
RULE = ThresholdRule(
    name="slow",
    kpi="response_time",
    levels=(Level("critical", pl.col("value") > 600, None, "value > 600", None),),
    on="closed",
    for_ms=0,
    keep_firing_for_ms=0,
    min_events=0,
    summary="{{ region }} answers in {{ value | humanize_duration }}",
    description="Since {{ start | humanize_timestamp }}; see {{ labels.board }}",
    runbook="https://example.org/runbooks/slow",
    owner=None,
    team="tier-2",
    labels={"board": "support"},
)
FIRING = Transition(
    rule="slow",
    severity="critical",
    kpi="response_time",
    dimensions=("apac",),
    at_ms=START + 60_000,
    episode_ms=START,
    state=AlertPhase.FIRING,
    previous=AlertPhase.PENDING,
    value=700.5,
    bound="value > 600",
    start_ms=START,
    end_ms=START + 60_000,
    reason="for",
)


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (START, "2010-12-01T08:26:00Z"),
        (START + 7, "2010-12-01T08:26:00.007Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_iso_8601_in_utc(at_ms: int, text: str) -> None:
    assert iso(at_ms) == text


def test_labels_are_text() -> None:
    values = (None, True, False, 5, "apac", "")
    assert [label(v) for v in values] == ["__none__", "true", "false", "5", "apac", "__empty__"]


def test_a_window_as_json() -> None:
    assert dumps(window_json(kpi(), WINDOW)) == (
        b'{"kind":"window","kpi":"response_time","dimensions":{"region":"apac"},'
        b'"start":"2010-12-01T08:26:00Z","end":"2010-12-01T08:27:00Z","value":700.5,"events":9}'
    )


def test_an_open_window_without_value_and_with_a_null_dimension_as_json() -> None:
    window = structs.replace(WINDOW, dimensions=(None,), value=None, events=0, open=True)
    assert json.loads(dumps(window_json(kpi(), window))) == {
        "kind": "window",
        "kpi": "response_time",
        "dimensions": {"region": None},
        "start": "2010-12-01T08:26:00Z",
        "end": "2010-12-01T08:27:00Z",
        "value": None,
        "events": 0,
        "open": True,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_a_finite_number_is_null(value: float) -> None:
    window = structs.replace(WINDOW, value=value)
    assert json.loads(dumps(window_json(kpi(), window)))["value"] is None


def test_a_target_as_json_has_the_bounds_that_apply() -> None:
    target = Target(at_most=240, warn_at_most=200)
    status = TargetStatus(WINDOW, TargetState.MISSED, TargetState.MET, 0.25, target)
    assert json.loads(dumps(target_json(kpi(), status))) == {
        "kind": "target",
        "kpi": "response_time",
        "dimensions": {"region": "apac"},
        "start": "2010-12-01T08:26:00Z",
        "end": "2010-12-01T08:27:00Z",
        "value": 700.5,
        "events": 9,
        "state": "missed",
        "previous": "met",
        "attainment": 0.25,
        "bound": "value <= 240",
        "at_most": 240,
        "warn_at_most": 200,
    }


def test_a_transition_as_json_has_all_that_anybody_who_is_called_needs() -> None:
    assert json.loads(dumps(transition_json(plan(kpi(), RULE), RULE, FIRING))) == {
        "kind": "rule",
        "rule": "slow",
        "severity": "critical",
        "kpi": "response_time",
        "dimensions": {"region": "apac"},
        "start": "2010-12-01T08:26:00Z",
        "end": "2010-12-01T08:27:00Z",
        "at": "2010-12-01T08:27:00Z",
        "episode": "2010-12-01T08:26:00Z",
        "value": 700.5,
        "state": "firing",
        "previous": "pending",
        "bound": "value > 600",
        "reason": "for",
        "because": "value > 600 has held for 1m: "
        "the value is 11 min 40 s from 08:26 to 08:27 UTC on 2010-12-01",
        "facts": {},
        "summary": "apac answers in 11m 40s",
        "description": "Since 2010-12-01 08:26:00 UTC; see support",
        "runbook": "https://example.org/runbooks/slow",
        "owner": "support-ops",
        "team": "tier-2",
        "labels": {"board": "support"},
        "escalation": [],
        "objectives": [],
        "config_hash": plan(kpi(), RULE).config_hash,
    }


def test_when_it_was_published_is_said_where_that_is_known() -> None:
    message = transition_json(plan(kpi(), RULE), RULE, FIRING, processed_ms=START + 61_500)
    assert message["processed"] == "2010-12-01T08:27:01.500Z"


def test_a_rule_without_summary_gets_one() -> None:
    rule = replace(RULE, summary="")
    message = transition_json(plan(kpi(), rule), rule, FIRING)
    assert message["summary"] == "Response time (region=apac): value > 600"


def test_a_transition_of_what_is_no_longer_declared_can_still_be_reported() -> None:
    gone = replace(FIRING, kpi="old_kpi", reason="removed")
    message = transition_json(plan(kpi()), None, gone)
    assert message["dimensions"] == {"1": "apac"}
    assert message["summary"] == "old_kpi (1=apac): value > 600"
    assert message["owner"] is None


def test_the_variables_named_are_the_variables_given() -> None:
    assert set(_variables(kpi(), RULE, FIRING)) == VARIABLES | {"region"}


def test_a_dimension_with_the_name_of_a_variable_is_read_through_dimensions() -> None:
    rule = replace(RULE, summary="{{ value }} {{ dimensions.value }}")
    message = transition_json(plan(kpi(by=("value",)), rule), rule, FIRING)
    assert message["summary"] == "700.5 apac"


def test_the_summary_names_every_outcome_and_the_reasons_there_were() -> None:
    summary = summary_json(7, {Outcome.FOLDED: 5, Outcome.REJECTED: 2}, {Reason.NOT_JSON: 2})
    assert summary == {
        "kind": "summary",
        "records": 7,
        "outcomes": {
            "folded": 5,
            "rejected": 2,
            "late": 0,
            "duplicate": 0,
            "empty": 0,
            "ignored": 0,
        },
        "reasons": {"not_json": 2},
    }


def test_the_keys_are_stable_bytes() -> None:
    assert window_key(kpi(), WINDOW) == (
        b'{"kpi":"response_time","dimensions":{"region":"apac"},"start":"2010-12-01T08:26:00Z"}'
    )
    assert transition_key(plan(kpi(), RULE), FIRING) == (
        b'{"rule":"slow","severity":"critical","kpi":"response_time",'
        b'"dimensions":{"region":"apac"},"episode":"2010-12-01T08:26:00Z","state":"firing"}'
    )


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target(at_most=0), "value <= 0"),
        (Target(at_least=1234567.5), "value >= 1234567.5"),
        (Target(at_least=40, at_most=80, warn_at_least=50), "value between 40 and 80"),
    ],
)
def test_a_target_is_written_as_a_rule_would_write_it(target: Target, text: str) -> None:
    assert bound_text(target) == text


def test_the_alert_of_a_composite_rule_is_no_kpis(tmp_path: Path) -> None:
    both = plan_of(
        "events: {sale: {topic: shop, time: at, fields: {amount: float, region: string}}}\n"
        "kpis:\n"
        "  revenue: {from: sale, value: sum(amount), by: [region], window: 1m}\n"
        "rules:\n"
        "  low: {kpi: revenue, when: value < 5}\n"
        "  odd: {kpi: revenue, when: value < 3, depends_on: [low]}\n"
        '  both: {when: low and odd, severity: critical, summary: "{{ region }} is odd"}\n',
        tmp_path,
    )
    rule = both.rules["both"]
    minute = 60_000
    step = Transition(
        "both", "critical", rule.kpi, ("eu",), 3 * minute, minute, AlertPhase.FIRING,
        AlertPhase.PENDING, None, "low and odd", minute, 3 * minute, "for",
    )  # fmt: skip

    published = transition_json(both, rule, step)

    assert (published["kpi"], published["dimensions"]) == (None, {"region": "eu"})
    assert published["summary"] == "eu is odd"
    assert published["because"] == ("low and odd has held for 2m: it began at 1970-01-01 00:01 UTC")


def test_an_episode_that_is_silenced_twice_has_a_key_for_each_time() -> None:
    steps = [
        replace(
            FIRING, at_ms=at_ms, state=AlertPhase.INHIBITED, previous=AlertPhase.FIRING,
            reason="depends_on", bound="feed_gone",
        )
        for at_ms in (60_000, 120_000)
    ]  # fmt: skip
    company = plan(kpi())

    assert len({transition_key(company, step) for step in steps}) == 2
    assert transition_json(company, None, steps[0])["because"] == (
        "feed_gone fires, which this rule depends on"
    )


def test_different_dimensions_have_different_labels_and_none_is_empty() -> None:
    words = ["", "__none__", "__empty__", "__other__", "none", "__none", "a", "true", " "]
    texts = [slashes + word for word in words for slashes in ("", "\\", "\\\\")]
    labels = [label(None), label(OTHER), *(label(dimension_of(text)) for text in texts)]
    assert len(set(labels)) == len(labels)
    assert all(labels)
    assert [event_value_of(dimension_of(text)) for text in texts] == texts
