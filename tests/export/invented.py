"""An invented company for the tests of the exports: plan, series, the state of an agent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from agent.core.evaluate.objectives import Score
from agent.core.model.kpis import Dimensions, Kpi, Partial, PartialKind, Target, TargetOverride
from agent.core.model.plan import Objective, Plan
from agent.core.model.results import AlertPhase, SeriesView, TargetState, TargetStatus, WindowValue
from agent.core.model.rules import (
    AbsenceLevel,
    AbsenceRule,
    Escalation,
    Level,
    Rule,
    Severity,
    ThresholdRule,
)
from agent.core.model.windows import CalendarWindow, FixedWindow, Window
from agent.export.agent_state import AgentState, Alert
from tests.export.running_agent import FilledFleet, running_agent

MINUTE_MS = 60_000
NOW_MS = 1_795_520_000_000 // MINUTE_MS * MINUTE_MS + 4_000
"""A fixed instant of wall clock, four seconds into a minute."""

SLOW = Target(at_most=240, warn_at_most=200)
FIVE_MINUTES = FixedWindow(5 * MINUTE_MS, MINUTE_MS)


def kpi(
    name: str,
    title: str,
    unit: str | None,
    *,
    better: str = "higher",
    by: tuple[str, ...] = (),
    target: Target | None = None,
    owner: str | None = None,
    window: Window = FIVE_MINUTES,
    overrides: tuple[TargetOverride, ...] = (),
    inputs: tuple[str, ...] = (),
) -> Kpi:
    """A KPI with only what the exports look at."""
    return Kpi(
        name=name,
        title=title,
        description=f"{title}, as the board explains it.",
        unit=unit,
        better=better,
        owner=owner,
        team="operations",
        contract=None if inputs else "event",
        inputs=inputs,
        where=None,
        partials=(Partial(PartialKind.COUNT),),
        value=pl.col("a0"),
        by=by,
        window=window,
        lateness_ms=10_000,
        target=target,
        overrides=overrides,
        max_series=10_000,
        expire_after_ms=7 * 86_400_000,
        fingerprint=name,
        sql="count(*)",
        where_sql=None,
        slice_ms=60_000,
    )


def threshold(name: str, of: str, *severities: Severity, **words: Any) -> ThresholdRule:
    """A rule `value > 600` at these severities."""
    levels = tuple(Level(s, pl.col("value") > 600, None, "value > 600", None) for s in severities)
    return ThresholdRule(
        name=name,
        kpi=of,
        levels=levels,
        on="closed",
        for_ms=600_000,
        keep_firing_for_ms=0,
        min_events=0,
        summary=words.get("summary", ""),
        description="",
        runbook=words.get("runbook"),
        owner=words.get("owner"),
        team=None,
        escalation=words.get("escalation", ()),
    )


def absence(name: str, of: str, per: str, severity: Severity = "warning") -> AbsenceRule:
    """A rule that fires after fifteen minutes of silence."""
    levels = (AbsenceLevel(severity, 900_000),)
    return AbsenceRule(name=name, kpi=of, levels=levels, per=per)


def plan(
    kpis: Sequence[Kpi], rules: Sequence[Rule] = (), objectives: Sequence[Objective] = ()
) -> Plan:
    """A plan of these, without contracts."""
    return Plan(
        {},
        {k.name: k for k in kpis},
        {r.name: r for r in rules},
        {o.name: o for o in objectives},
        "c0ffee",
    )


def attainment(value: float, target: Target) -> float:
    """Value against target, both positive."""
    if target.at_most is not None:
        return min(10.0, target.at_most / value)
    return value / (target.at_least or 1.0)


def standing(value: float | None, target: Target) -> TargetState:
    """The state of a value against a one-sided target with a warning."""
    if value is None:
        return TargetState.NO_DATA
    sign = 1 if target.at_most is not None else -1
    bound = target.at_most if sign == 1 else target.at_least
    warn = target.warn_at_most if sign == 1 else target.warn_at_least
    if sign * value > sign * (bound or 0):
        return TargetState.MISSED
    return TargetState.AT_RISK if sign * value > sign * (warn or bound or 0) else TargetState.MET


def view(
    of: Kpi,
    dimensions: Dimensions,
    value: float | None,
    *,
    current: float | None = None,
    events: int = 120,
    end_ms: int = NOW_MS - 4_000,
    target: Target | None = None,
    history: Sequence[float | None] | None = None,
    phases: dict[tuple[str, Severity], AlertPhase] | None = None,
) -> SeriesView:
    """A series whose last window closed at `end_ms` with `value`."""
    target = target or of.target
    start_ms = of.window.start_of(end_ms)
    closed = WindowValue(of.name, dimensions, start_ms, end_ms, value, events)
    status = None
    if target is not None:
        reached = None if value is None else attainment(value, target)
        status = TargetStatus(closed, standing(value, target), None, reached, target)
    past = list(history) if history is not None else [value]
    step = of.window.step_ms
    return SeriesView(
        of.name,
        dimensions,
        closed,
        WindowValue(of.name, dimensions, end_ms, end_ms + step, current, 7, open=True),
        target,
        status,
        tuple((end_ms - step * (len(past) - 1 - i), v) for i, v in enumerate(past)),
        phases or {},
    )


def wave(middle: float, swing: float, drift: float = 0.0, points: int = 40, phase: float = 0.0):
    """A history that looks like a day's."""
    return [
        middle
        + swing * math.sin(i / 4 + phase)
        + swing * 0.35 * math.sin(i * 1.7 + phase)
        + drift * i
        for i in range(points)
    ]


RESPONSE = kpi(
    "response_time",
    "Average response time to customer inquiries",
    "seconds",
    better="lower",
    by=("region",),
    target=SLOW,
    owner="support-ops",
    overrides=(TargetOverride({"region": "apac"}, Target(at_most=300, warn_at_most=260)),),
)
FEEDBACK = kpi(
    "feedback_score",
    "Feedback score",
    "stars",
    target=Target(at_least=4.2, warn_at_least=4.4),
    owner="support-ops",
)
RETENTION = kpi(
    "customer_retention",
    "Customer retention rate",
    "ratio",
    owner="head-of-growth",
    target=Target(at_least=0.8, warn_at_least=0.85),
    window=CalendarWindow("day", "Europe/London"),
)
REVENUE = kpi(
    "revenue", "Revenue", "gbp", by=("country",), owner="sales", target=Target(at_least=900)
)
CONVERSION = kpi(
    "conversion",
    "Visits that become orders",
    "ratio",
    owner="web",
    target=Target(at_least=0.03, warn_at_least=0.035),
    inputs=("orders", "visits"),
)
TASKS = kpi(
    "tasks_per_employee",
    "Finished tasks per employee",
    "tasks",
    by=("team",),
    owner="operations",
    target=Target(at_least=3),
)
ORDERS = kpi("orders", "Orders", None, owner="sales")

SLOW_SUPPORT = threshold(
    "slow_support",
    "response_time",
    "warning",
    "critical",
    runbook="https://example.org/runbooks/slow-support",
    owner="support-ops",
    escalation=(Escalation(1_800_000, "director"),),
)
RULES = (
    SLOW_SUPPORT,
    absence("quiet_support", "response_time", "kpi"),
    absence("quiet_region", "response_time", "series", "info"),
    threshold("low_conversion", "conversion", "page"),
)
OBJECTIVES = (
    Objective(
        "customer_satisfaction",
        "Customer satisfaction",
        "Customers who come back",
        "head-of-support",
        {"response_time": 0.3, "feedback_score": 0.4, "customer_retention": 0.3},
    ),
    Objective("growth", "Growth", "", "head-of-growth", {"revenue": 0.6, "conversion": 0.4}),
    Objective("productivity", "Productivity", "", "operations", {"tasks_per_employee": 1.0}),
    Objective(
        "year_plan",
        "This year's plan",
        "",
        "director",
        {},
        {"customer_satisfaction": 0.6, "growth": 0.4},
    ),
)
COMPANY = plan(
    (RESPONSE, FEEDBACK, RETENTION, REVENUE, ORDERS, CONVERSION, TASKS), RULES, OBJECTIVES
)
APAC = Target(at_most=300, warn_at_most=260)


def company_series(*, firing: bool = True) -> list[SeriesView]:
    """The series of a bad quarter of an hour; `firing` False: of a good one."""
    emea = 428.0 if firing else 150.0
    phase = AlertPhase.FIRING if firing else AlertPhase.INACTIVE
    slow = [*wave(150, 22, 0.0, 30), 180, 205, 230, 262, 300, 331, 360, 395, 410, emea]
    steady = wave(150, 22, 0.0, 40)
    day_end = RETENTION.window.last_end_over(NOW_MS - 86_400_000)
    teams = ("logistics", "support", "returns", "finance", "catalogue", "payments", "quality", None)
    return [
        view(
            RESPONSE,
            ("emea",),
            emea,
            current=440 if firing else 148,
            history=slow if firing else steady,
            phases={("slow_support", "warning"): phase},
        ),
        view(RESPONSE, ("amer",), 211.4, current=196, history=wave(190, 25, 0.4)),
        view(RESPONSE, ("apac",), 172.3, current=180, target=APAC, history=wave(170, 20)),
        SeriesView(
            "response_time",
            (),
            None,
            None,
            None,
            None,
            phases={("quiet_support", "warning"): AlertPhase.PENDING},
        ),
        view(FEEDBACK, (), 4.31, current=4.4, history=wave(4.4, 0.1, -0.002)),
        view(
            RETENTION, (), 0.872, current=0.41, end_ms=day_end, history=wave(0.86, 0.015, points=20)
        ),
        view(
            REVENUE, ("United Kingdom",), 12_840.5, current=2_210.0, history=wave(12_000, 2_000, 20)
        ),
        view(REVENUE, ("Germany",), 1_911.0, current=310.0, history=wave(2_000, 300)),
        view(REVENUE, ("Ireland",), 861.2, current=95.0, history=wave(1_100, 140, -5)),
        view(ORDERS, (), 512, current=88, history=wave(500, 60)),
        view(CONVERSION, (), 0.0334, current=0.031, history=wave(0.036, 0.002, -0.00006)),
        *(
            view(
                TASKS,
                (team,),
                3.1 + i * 0.4,
                current=0.6,
                history=wave(3.1 + i * 0.4, 0.5, phase=i),
            )
            for i, team in enumerate(teams)
        ),
    ]


def company_state(*, firing: bool = True) -> AgentState:
    """A running agent that holds the whole company."""
    series = company_series(firing=firing)
    alerts = (
        [
            Alert(
                "slow_support",
                "warning",
                "response_time",
                ("emea",),
                AlertPhase.FIRING,
                NOW_MS - 9 * MINUTE_MS,
                428.0,
                "emea answers in 7 min 8 s",
                "More than ten minutes over the bound.",
            ),
            Alert(
                "quiet_support",
                "warning",
                "response_time",
                (),
                AlertPhase.PENDING,
                NOW_MS - 4 * MINUTE_MS,
                None,
                "No ticket answered anywhere",
            ),
        ]
        if firing
        else [
            Alert(
                "slow_support",
                "warning",
                "response_time",
                ("emea",),
                AlertPhase.RESOLVED,
                NOW_MS - 2 * MINUTE_MS,
                150.0,
                "emea answers in 2 min 30 s",
            ),
        ]
    )
    scores = {
        "year_plan": Score(0.9, -0.02),
        "customer_satisfaction": Score(0.83, -0.041),
        "growth": Score(0.97, 0.004),
        "productivity": Score(1.0),
    }
    state = running_agent(
        COMPANY,
        fleet=FilledFleet(series, alerts, objectives=scores, leads=True),
        ready={"ingest": None, "merge": None},
        name="Brightwater Trading",
    )
    metrics = state.metrics
    metrics.records.labels("support", "folded", "", "ticket.answered").inc(5_000)
    metrics.records.labels("support", "rejected", "not_json", "").inc(3)
    metrics.lag.labels("support", "0").set(12)
    metrics.watermark.labels("support", "0").set((NOW_MS - 4_000) / 1000)
    metrics.flush_seconds.observe(0.02)
    metrics.last_reload.set((NOW_MS - 3_600_000) / 1000)
    return state
