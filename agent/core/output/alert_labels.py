"""Who is called by an alert: the labels that it is routed by, anybody who says Alertmanager of
it."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.rules import SEVERITIES, Escalation, Rule, Severity, variants
from agent.core.model.text import duration

ESCALATION = "escalation"
"""The label of the alert that calls the next one up; its value is who that is."""


def severities(rule: Rule) -> tuple[Severity, ...]:
    """The severities that a rule can fire with, by itself or where an override says otherwise; the
    most urgent first."""
    levels = {level.severity for variant in variants(rule) for level in variant.levels}
    return tuple(severity for severity in SEVERITIES if severity in levels)


def alert_labels(plan: Plan, rule: Rule, kpi: Kpi, severity: Severity) -> dict[str, str]:
    """Who and what, without the series; never a value. Empty ones are left out."""
    labels = dict(rule.labels) | {
        "severity": severity,
        "rule": rule.name,
        "kpi": kpi.name,
        "owner": rule.owner or kpi.owner or "",
        "team": rule.team or kpi.team or "",
        "objective": ",".join(plan.objectives_of(kpi.name)),
    }
    return {name: value for name, value in labels.items() if value}


def series_label(pairs: Iterable[tuple[str, str]]) -> str:
    """The label `series`: all dimensions in one, `region=emea,channel=web`.

    Alertmanager inhibits by labels of equal name, and two series stay apart where a dimension is
    called like one of the labels above.
    """
    return ",".join(f"{name}={value}" for name, value in pairs)


def escalation_text(steps: Iterable[Escalation]) -> str:
    """`head-of-support after 30m, director after 2h`; "" where nobody else is called."""
    return ", ".join(f"{step.to} after {duration(step.after_ms)}" for step in steps)
