"""The labels by which Alertmanager routes an alert to people. They are the same whether the agent
sends the alert itself or Prometheus evaluates the generated rule."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.rules import SEVERITIES, Escalation, Rule, Severity, variants
from agent.core.model.text import duration

ESCALATION = "escalation"
"""The label of an alert that is escalated; its value is the receiver (`to`)."""


def severities(rule: Rule) -> tuple[Severity, ...]:
    """The severities that a rule can fire with, with or without its overrides; the most urgent
    first."""
    levels = {level.severity for variant in variants(rule) for level in variant.levels}
    return tuple(severity for severity in SEVERITIES if severity in levels)


def alert_labels(plan: Plan, rule: Rule, kpi: Kpi, severity: Severity) -> dict[str, str]:
    """The labels of an alert, without those of the series. None is a value of a KPI, since labels
    identify an alert. Empty ones are left out."""
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

    Alertmanager inhibits by labels of equal names. With this label, two series differ even if a
    dimension has the name of one of the labels above.
    """
    return ",".join(f"{name}={value}" for name, value in pairs)


def escalation_text(steps: Iterable[Escalation]) -> str:
    """`head-of-support after 30m, director after 2h`; "" without escalation."""
    return ", ".join(f"{step.to} after {duration(step.after_ms)}" for step in steps)
