"""What `explain` says of a rule over a series, from the state as it is held."""

from __future__ import annotations

import json

import pytest

from agent.core.explanation import Explanation, explain
from agent.core.merge.merger import Merger
from agent.core.pipeline import Pipeline
from agent.core.state.series import Series
from tests.core.batches import batch_of
from tests.core.simulated import EVENTS, START_MS, TOPIC, plan_of, sale, visit

MINUTE_MS = 60_000
RULES = f"""{EVENTS}kpis:
  revenue: {{from: sale, value: sum(amount), by: [region], window: 1m, target: {{at_least: 10}}}}
  visits: {{from: visit, value: count(*), by: [region], window: 1m}}
rules:
  poor: {{kpi: revenue, when: value < 5 or value < target / 4, for: 2m}}
  silent: {{kpi: visits, no_data_for: 3m}}
  crisis: {{when: poor and silent}}
"""
"""Amounts of 2 in each minute, and one visit."""


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    plan = plan_of(RULES, tmp_path_factory.mktemp("rules"))
    log = [visit(START_MS, "emea")]
    log += [sale(START_MS + i * MINUTE_MS, 2.0, "emea", "c", f"s{i}") for i in range(12)]
    pipeline = Pipeline(plan)
    pipeline.add(batch_of(TOPIC, log, at_ms=START_MS + 60 * MINUTE_MS))
    pipeline.finish()
    return pipeline


def explained(pipeline: Pipeline, rule: str) -> Explanation:
    [merger] = pipeline.mergers
    declared = pipeline.plan.rules[rule]
    series = series_of(merger, declared.kpi)
    explanation = explain(
        pipeline.plan, merger.state.kpis, merger.state.rule_graph, declared, series
    )
    assert explanation is not None
    return explanation


def series_of(merger: Merger, owner: str) -> Series:
    composite = merger.state.rule_graph.composites.get(owner)
    every = composite.series if composite is not None else merger.state.kpis[owner].series
    return every["emea",]


def test_each_clause_of_a_condition_says_whether_it_holds(pipeline: Pipeline) -> None:
    explanation = explained(pipeline, "poor")
    [alert] = explanation.alerts
    assert (alert.severity, alert.phase) == ("warning", "firing")
    assert alert.when is not None
    assert (alert.when.sql, alert.when.holds) == ("value < 5 or value < target / 4", True)
    assert [(clause.sql, clause.holds) for clause in alert.when.clauses] == [
        *(("value < 5", True), ("value < target / 4", True))
    ]
    assert dict(explanation.columns)["value"] == 2.0
    assert explanation.target is not None and explanation.target.at_least == 10


def test_silence_says_since_when_and_when_it_fires(pipeline: Pipeline) -> None:
    explanation = explained(pipeline, "silent")
    [alert] = explanation.alerts
    assert alert.when is None and alert.no_data_for_ms == 3 * MINUTE_MS
    assert explanation.last_event_ms == START_MS + MINUTE_MS
    assert alert.phase == "firing"


def test_a_rule_over_others_names_which_of_them_fire(pipeline: Pipeline) -> None:
    explanation = explained(pipeline, "crisis")
    [alert] = explanation.alerts
    assert alert.when is not None
    assert [(clause.sql, clause.holds) for clause in alert.when.clauses] == [
        *(("poor", True), ("silent", True))
    ]
    assert alert.phase == "firing"


def test_explaining_changes_nothing(pipeline: Pipeline) -> None:
    before = [json.dumps(view, default=repr) for view in pipeline.views()]
    assert explained(pipeline, "poor") == explained(pipeline, "poor")
    assert [json.dumps(view, default=repr) for view in pipeline.views()] == before
