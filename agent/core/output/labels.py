"""Label names: which are reserved, and the external labels that distinguish installations.

External labels (`environment=prod,cluster=eu-1`, a setting) say which installation a series or an
alert is of if several share one Prometheus or Alertmanager, as Prometheus' own `external_labels`
do. They are no dimensions: all KPIs of an installation have the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from agent.errors import RulesError

if TYPE_CHECKING:
    from agent.core.model.plan import Plan

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
