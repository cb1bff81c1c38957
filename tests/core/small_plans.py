"""Plans made by hand, for tests that need a KPI but no YAML."""

from __future__ import annotations

import polars as pl

from agent.core.model.kpis import Kpi, Target, TargetOverride
from agent.core.model.plan import Plan
from agent.core.model.rules import Rule
from agent.core.model.windows import FixedWindow

MINUTE_MS = 60_000


def kpi(
    *overrides: TargetOverride,
    by: tuple[str, ...] = ("region",),
    target: Target | None = None,
    owner: str | None = "support-ops",
) -> Kpi:
    """`response_time`, in windows of a minute."""
    return Kpi(
        name="response_time",
        title="Response time",
        description="",
        unit="seconds",
        better="lower",
        owner=owner,
        team="support",
        contract="ticket.answered",
        inputs=(),
        where=None,
        partials=(),
        value=pl.col("a0"),
        by=by,
        window=FixedWindow(MINUTE_MS, MINUTE_MS),
        slice_ms=MINUTE_MS,
        lateness_ms=0,
        target=target,
        overrides=overrides,
        max_series=10,
        expire_after_ms=7 * 24 * 60 * MINUTE_MS,
        fingerprint="",
        sql="",
        where_sql=None,
    )


def plan(kpis: Kpi, *rules: Rule) -> Plan:
    """A plan of one KPI and its rules."""
    return Plan({}, {kpis.name: kpis}, {rule.name: rule for rule in rules}, {}, "hash")
