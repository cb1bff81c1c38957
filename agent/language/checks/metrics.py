"""The metric names of KPIs: unique, and none of the agent's own."""

from __future__ import annotations

from agent.core.model.kpis import metric_name
from agent.core.model.metrics import AGENT_PREFIX, SHARED_METRICS
from agent.language.declared import Declared, Entry
from agent.language.models.kpis import KpiSpec

ODD_ENDINGS = ("_total", "_bucket", "_count", "_sum", "_gcount", "_gsum", "_created", "_info")
"""Endings that OpenMetrics reserves for counters, histograms and info metrics (its specification,
section "MetricFamily"); `promtool check metrics` warns of them."""

_VARIANTS = {
    "": "the closed value",
    "current": "the current value",
    "target": "the target",
}


def check(declared: Declared) -> None:
    """Check the metric names of every KPI against the agent's, and against each other's."""
    owners: dict[str, tuple[Entry[KpiSpec], str]] = {}
    for entry in declared.kpis.values():
        if entry.has_hole("unit"):
            continue
        for middle, what in _VARIANTS.items():
            metric = metric_name(entry.name, entry.model.unit, middle)
            if metric in SHARED_METRICS or metric.startswith(AGENT_PREFIX):
                message = f"its metric {metric} ({what}) would be one of the agent's own"
                declared.report(entry, (), message, "rename the KPI", on="key")
                break
            other = owners.setdefault(metric, (entry, what))
            if other[0] is not entry:
                message = (
                    f"its metric {metric} ({what}) is also that of '{other[0].name}' ({other[1]})"
                )
                hint = "rename one, or give it another unit"
                declared.report(entry, (), message, hint, on="key")
                break
        _ending(declared, entry)


def _ending(declared: Declared, entry: Entry[KpiSpec]) -> None:
    metric = metric_name(entry.name, entry.model.unit)
    ending = next((e for e in ODD_ENDINGS if metric.endswith(e)), None)
    if ending is not None:
        message = f"its metric {metric} ends in {ending}, which Prometheus keeps for other types"
        hint = "a KPI is a gauge: give it another unit or name"
        at = ("unit",) if entry.model.unit else ()
        declared.report(entry, at, message, hint, on="value" if at else "key", severity="warning")
