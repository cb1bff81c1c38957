"""Objectives: KPIs that exist and have a target, with positive weights."""

from __future__ import annotations

from agent.spec.checks.kpis import has_target
from agent.spec.declared import Declared


def check(declared: Declared) -> None:
    """Check every objective."""
    for entry in declared.objectives.values():
        if not entry.model.kpis:
            hint = "name at least one, with its weight: `kpis: {orders: 1}`"
            declared.report(entry, ("kpis",), "an objective without KPIs", hint)
        for name, weight in entry.model.kpis.items():
            at = ("kpis", name)
            if not declared.known(entry, at, "kpis", name, on="key"):
                continue
            if weight <= 0:
                message = f"the weight {weight:g} is not above 0"
                hint = "weights are scaled to add up to 1: any positive numbers do"
                declared.report(entry, at, message, hint)
            kpi = declared.kpis.get(name)
            if kpi is not None and not has_target(kpi):
                message = f"'{name}' has no target, so it can not attain anything"
                declared.report(entry, at, message, "give the KPI a `target`", on="key")
