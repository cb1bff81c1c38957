"""Labels: reserved names, the external labels that distinguish installations, those of alerts.

External labels (`environment=prod,cluster=eu-1`, a setting) say which installation a series or an
alert is of if several share one Prometheus or Alertmanager, as Prometheus' own `external_labels`
do. They are no dimensions: all KPIs of an installation have the same ones.

By the labels of an alert, Alertmanager routes it to people. They are the same whether the agent
sends the alert itself or Prometheus evaluates the generated rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.rules import SEVERITIES, Escalation, Rule, Severity, variants
from agent.core.model.text import duration
from agent.errors import RulesError

RESERVED_LABELS: Mapping[str, str] = {
    "le": "Prometheus uses it for the buckets of histograms",
    "quantile": "Prometheus uses it for summaries",
    "instance": "Prometheus sets it to the scraped address",
    "job": "Prometheus sets it to the scrape job",
    "alertname": "Prometheus sets it to the name of an alert",
    "band": "the agent's target metrics have it",
    "kpi": "the agent's metrics have it",
    "maintenance": "the agent's metrics have it",
    "rule": "the agent's metrics have it",
    "severity": "the agent's metrics have it",
    "objective": "the agent's metrics have it",
    "owner": "the generated alerts have it",
    "team": "the generated alerts have it",
    "series": "the generated alerts have it",
    "escalation": "the generated alerts have it",
    "kpi_title": "the generated boards have it",
    "kpi_board": "the generated boards have it",
}
"""Label names that no dimension and no external label can have, and why."""

AGENT_LABELS = frozenset(
    {
        *("topic", "partition", "state_partition", "outcome", "reason", "contract", "component"),
        *("version", "config_hash", "python", "group", "result", "alertmanager", "field"),
        "lookup",
        *("title", "unit", "better", "window", "above", "datasource"),
    }
)
"""Labels of the agent's own metrics, and the boards' variable: no external label has these."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def parse_external_labels(text: str) -> dict[str, str]:
    """`environment=prod,cluster=eu-1` as labels, in the order of names.

    Raises ValueError for other text, and for names that can't be external labels.
    """
    labels: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ValueError(f"{part!r} is not name=value")
        check_external_name(name)
        if name in labels:
            raise ValueError(f"{name!r} is given twice")
        labels[name] = value
    return dict(sorted(labels.items()))


def check_external_name(name: str) -> None:
    """Raise ValueError for a name that an external label can't have."""
    if not _NAME.fullmatch(name) or name.startswith("__"):
        raise ValueError(f"{name!r} is not a label name: letters, digits and _")
    if name in RESERVED_LABELS:
        raise ValueError(f"{name!r} cannot be an external label: {RESERVED_LABELS[name]}")
    if name in AGENT_LABELS:
        raise ValueError(f"{name!r} cannot be an external label: the agent's metrics have it")


def check_external_labels(plan: Plan, names: Iterable[str]) -> None:
    """Raise RulesError if a dimension or a rule's label has the name of an external label."""
    external = set(names)
    for kpi in plan.kpis.values():
        for name in sorted(external & set(kpi.by)):
            raise RulesError(
                f"'{name}' is a dimension of the KPI '{kpi.name}' and an external label",
                "give the field or the external label another name",
            )
    for rule in plan.rules.values():
        for name in sorted(external & set(rule.labels)):
            raise RulesError(
                f"'{name}' is a label of the rule '{rule.name}' and an external label",
                "take it out of the rule's `labels`",
            )


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
