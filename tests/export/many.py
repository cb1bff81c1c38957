"""An agent of a large company: many KPIs of many series, with alerts that fire on many of them."""

from __future__ import annotations

from dataclasses import replace

from agent.core.model.kpis import Kpi, Target
from agent.core.model.plan import Objective
from agent.core.model.results import AlertPhase, SeriesView
from agent.core.model.rules import Severity
from agent.export.agent_state import AgentState, Alert
from tests.export.invented import MINUTE_MS, NOW_MS, kpi, plan, threshold, view, wave
from tests.export.running_agent import FilledFleet, running_agent

REGIONS = ("emea", "apac", "amer", "latam")
OWNERS = ("support-ops", "sales", "web", "logistics", "finance")
TITLES = ("Response time", "Orders", "Revenue", "Error rate", "Basket value", "Returns")
FIRING_RULES = 12
"""Rules that fire, each on as many series."""


def many_series(kpis: int = 60, series: int = 200, firing: int = 120) -> AgentState:
    """`kpis` KPIs of `series` series each, by region and shop, and `firing` alerts."""
    declared = [_kpi(i) for i in range(kpis)]
    per_rule = firing // FIRING_RULES
    rules = [
        threshold(f"low_{i:02}", declared[i].name, "warning", "critical")
        for i in range(min(FIRING_RULES, kpis))
    ]
    firing_of = {rule.kpi: rule.name for rule in rules}
    views: list[SeriesView] = []
    alerts: list[Alert] = []
    for i, of in enumerate(declared):
        for j in range(series):
            dimensions = (REGIONS[j % len(REGIONS)], f"shop-{j:03}")
            fires = of.name in firing_of and j < per_rule
            views.append(_view(of, dimensions, i, j, firing_of.get(of.name) if fires else None))
            if fires:
                alerts += _episode(firing_of[of.name], of, dimensions, j)
    objectives = [
        Objective(f"goal_{n}", f"Goal {n}", "", OWNERS[n], {k.name: 1.0 for k in declared[n::5]})
        for n in range(5)
    ]
    state = running_agent(
        plan(declared, rules, objectives),
        fleet=FilledFleet(views, alerts, leads=True),
        ready={"ingest": None, "merge": None},
        name="Large company",
    )
    state.metrics.watermark.labels("events", "0").set((NOW_MS - 4_000) / 1000)
    return state


def _kpi(index: int) -> Kpi:
    target = Target(at_least=100, warn_at_least=110) if index % 6 else None
    made = kpi(
        f"kpi_{index:02}", f"{TITLES[index % len(TITLES)]} {index}", "orders",
        by=("region", "shop"), target=target, owner=OWNERS[index % len(OWNERS)],
    )  # fmt: skip
    return replace(made, team=f"team-{index % 7}")


def _view(of: Kpi, dimensions: tuple[str, ...], i: int, j: int, fires: str | None) -> SeriesView:
    value = 90.0 - j % 40 if fires or (i % 4 == 0 and j % 5 == 0) else 112.0 + (i * 7 + j) % 60
    history = wave(value, 6.0, phase=i + j)
    levels: tuple[Severity, ...] = ("warning", "critical")
    phases = {(fires, level): AlertPhase.FIRING for level in levels} if fires else {}
    return view(of, dimensions, value, current=value * 0.4, history=history, phases=phases)


def _episode(rule: str, of: Kpi, dimensions: tuple[str, ...], j: int) -> list[Alert]:
    """Both severities of one episode."""
    summary = f"{of.title} of {' '.join(dimensions)} is low"
    since = NOW_MS - (j + 1) * MINUTE_MS
    levels: tuple[Severity, ...] = ("warning", "critical")
    return [
        Alert(rule, level, of.name, dimensions, AlertPhase.FIRING, since, 50.0 + j, summary)
        for level in levels
    ]
