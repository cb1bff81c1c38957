"""A small company's plan: every kind of KPI, target and rule that has a generated form."""

from __future__ import annotations

import polars as pl

from agent.core.model.events import Contract, Field, TimeSource, Topics
from agent.core.model.kpis import Kpi, Partial, PartialKind, Target, TargetOverride
from agent.core.model.plan import Objective, Plan
from agent.core.model.rules import AbsenceLevel, AbsenceRule, Level, Severity, ThresholdRule
from agent.core.model.windows import CalendarWindow, FixedWindow, Window

MINUTE_MS = 60_000


def contract(name: str, topic: str) -> Contract:
    return Contract(
        name=name,
        topics=Topics((topic,)),
        type_path=("type",),
        type_value=name,
        times=(TimeSource(("at",)),),
        timezone="UTC",
        ids=(),
        lateness_ms=10_000,
        max_future_ms=3_600_000,
        idle_after_ms=30_000,
        max_bytes=2**20,
        fields=(Field("region", ("region",), "string"), Field("amount", ("amount",), "float")),
        duplicate_window_ms=MINUTE_MS,
    )


def kpi(
    name: str,
    unit: str | None,
    *,
    by: tuple[str, ...] = (),
    window: Window | None = None,
    target: Target | None = None,
    overrides: tuple[TargetOverride, ...] = (),
    source: str | None = "order.completed",
    inputs: tuple[str, ...] = (),
    title: str | None = None,
) -> Kpi:
    return Kpi(
        name=name,
        title=title or name.replace("_", " ").capitalize(),
        description=f"What {name} means.",
        unit=unit,
        better="higher",
        owner=f"{name}-owner",
        team="sales",
        contract=source,
        inputs=inputs,
        where=None,
        partials=(Partial(PartialKind.COUNT),) if source else (),
        value=pl.col("a0"),
        by=by,
        window=window or FixedWindow(5 * MINUTE_MS, MINUTE_MS),
        slice_ms=MINUTE_MS,
        lateness_ms=10_000,
        target=target,
        overrides=overrides,
        max_series=100,
        expire_after_ms=7 * 86_400_000,
        fingerprint=name,
        sql="count(*)",
        where_sql="region <> 'test'",
    )


def level(severity: Severity, when: str, clear: str | None = None) -> Level:
    parsed = pl.sql_expr(when)
    return Level(severity, parsed, pl.sql_expr(clear) if clear else None, when, clear)


def threshold(name: str, of: str, *levels: Level, **given: object) -> ThresholdRule:
    fields: dict[str, object] = {
        "on": "closed",
        "for_ms": 0,
        "keep_firing_for_ms": 0,
        "min_events": 0,
        "summary": "{{ region }} answers in {{ value | humanize }}",
        "description": "",
        "runbook": None,
        "owner": None,
        "team": None,
    }
    return ThresholdRule(name=name, kpi=of, levels=levels, **(fields | given))  # type: ignore[arg-type]


def absence(name: str, of: str, **given: object) -> AbsenceRule:
    fields: dict[str, object] = {
        "levels": (AbsenceLevel("critical", 15 * MINUTE_MS),),
        "per": "kpi",
        "keep_firing_for_ms": 0,
        "summary": "",
        "description": "",
        "runbook": "https://example.org/runbooks/orders",
        "owner": "on-call",
        "team": "shop",
    }
    return AbsenceRule(name=name, kpi=of, **(fields | given))  # type: ignore[arg-type]


def company() -> Plan:
    """Five KPIs, three rules, two objectives over two event types."""
    kpis = [
        kpi(
            "response_time",
            "seconds",
            by=("region",),
            source="ticket.answered",
            target=Target(at_most=240, warn_at_most=200),
            overrides=(TargetOverride({"region": "apac"}, Target(at_most=300)),),
        ),
        kpi("revenue", "gbp", by=("region", "pod"), target=Target(at_least=100)),
        kpi("visits", None, window=CalendarWindow("month", "Europe/London")),
        kpi("orders", None, window=CalendarWindow("month", "Europe/London")),
        kpi(
            "conversion",
            "ratio",
            source=None,
            inputs=("orders", "visits"),
            window=CalendarWindow("month", "Europe/London"),
            target=Target(at_least=0.1, at_most=0.9, warn_at_least=0.2, warn_at_most=0.8),
        ),
    ]
    rules = [
        threshold(
            "slow_support",
            "response_time",
            level("warning", "value > 400"),
            level("critical", "value > 600", "value < 480"),
            labels={"area": "support"},
        ),
        threshold(
            "odd_revenue",
            "revenue",
            level("info", "value < 10"),
            summary="{% if value > 3 %}odd{% endif %}",
            on="current",
        ),
        absence("no_orders", "orders"),
    ]
    objectives = [
        Objective("growth", "Growth", "More of it.", "ceo", {"revenue": 0.6, "conversion": 0.4}),
        Objective("service", "Service", "", None, {"response_time": 1.0}),
    ]
    contracts = [contract("order.completed", "orders"), contract("ticket.answered", "support")]
    return Plan(
        contracts={c.name: c for c in contracts},
        kpis={k.name: k for k in kpis},
        rules={r.name: r for r in rules},
        objectives={o.name: o for o in objectives},
        config_hash="0" * 8,
    )
