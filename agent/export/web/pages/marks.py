"""The marks of a chart besides its values: alerts, maintenance, changes of the rules, and the plain
numbers that rules compare values with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from agent.core.evaluate.maintenance import maintenance_calendar
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase
from agent.core.model.rules import ThresholdRule, variant_for
from agent.core.model.text import value_text
from agent.core.output.messages import PublishedTransition, dimensions_json
from agent.export.agent_state import RuleChange
from agent.export.web.shown import Json, series_text

MOST_MARKS = 200
"""Of each kind, the newest; more would cover the values."""
COMPARED = re.compile(r"\s*value\s*(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\s*", re.IGNORECASE)
"""A clause that compares the value with a plain number."""
_ENDED = (AlertPhase.RESOLVED, AlertPhase.INHIBITED, AlertPhase.INACTIVE)


def alert_marks(
    kpi: Kpi,
    dimensions: Dimensions | None,
    transitions: Iterable[PublishedTransition],
    since_ms: int,
    until_ms: int,
) -> list[Json]:
    """The periods in which alerts of a KPI, or of one of its series, fired, oldest first;
    `until_ms` None: it still fires. `transitions`: the newest first."""
    own = None if dimensions is None else dimensions_json(kpi, dimensions)
    firing: dict[tuple[Any, ...], Json] = {}
    marks: list[Json] = []
    for transition in reversed([s for s in transitions if s["kpi"] == kpi.name]):
        if own is not None and transition["dimensions"] not in (own, {}):
            continue
        series = tuple(transition["dimensions"].values())
        key = transition["rule"], transition["severity"], series
        at_ms = instant_ms(transition["at"])
        if transition["state"] == AlertPhase.FIRING:
            firing[key] = mark = {
                "rule": transition["rule"],
                "severity": transition["severity"],
                "series": series_text(series),
                "from_ms": at_ms,
                "until_ms": None,
                "text": transition.get("summary", ""),
            }
            marks.append(mark)
        elif transition["state"] in _ENDED and key in firing:
            firing.pop(key)["until_ms"] = at_ms
    within = [
        mark
        for mark in marks
        if mark["from_ms"] <= until_ms and (mark["until_ms"] or until_ms) >= since_ms
    ]
    return within[-MOST_MARKS:]


def maintenance_marks(
    plan: Plan, kpi: Kpi, dimensions: Dimensions | None, since_ms: int, until_ms: int
) -> list[Json]:
    """The maintenance periods of a KPI, or of one of its series."""
    calendar = maintenance_calendar(plan, kpi)
    return [
        {"title": m.title, "from_ms": max(start, since_ms), "until_ms": min(end, until_ms)}
        for m, (start, end) in calendar.periods(dimensions, since_ms, until_ms)
    ][-MOST_MARKS:]


def change_marks(
    changes: Iterable[RuleChange], kpi: Kpi, since_ms: int, until_ms: float
) -> list[Json]:
    """The changes of the rules that are, or may be, about a KPI."""
    return [
        {"at_ms": change.at_ms, "text": change.about.get(kpi.name, change.text)}
        for change in changes
        if since_ms <= change.at_ms <= until_ms and (change.is_general or kpi.name in change.about)
    ]


def rule_lines(plan: Plan, kpi: Kpi, dimensions: Dimensions | None) -> list[Json]:
    """The plain numbers that conditions of rules compare the value with; on the page of a KPI with
    several series, without overrides of the rules."""
    return list(_rule_lines(plan, kpi, dimensions))


def _rule_lines(plan: Plan, kpi: Kpi, dimensions: Dimensions | None) -> Iterator[Json]:
    for declared in plan.rules_of(kpi.name):
        rule = declared if dimensions is None else variant_for(declared, kpi.by, dimensions)
        if not isinstance(rule, ThresholdRule):
            continue
        for level in rule.levels:
            for clause in level.when_clauses or ():
                compared = COMPARED.fullmatch(clause.sql)
                if compared is None:
                    continue
                value = float(compared[2])
                side = "above" if compared[1].startswith(">") else "below"
                yield {
                    "rule": rule.name,
                    "severity": level.severity,
                    "value": value,
                    "text": f"{rule.name}, {level.severity}: {side} {value_text(value, kpi.unit)}",
                }


def instant_ms(text: str) -> int:
    """An instant of a message (ISO 8601, UTC)."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
