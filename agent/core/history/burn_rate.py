"""`burn_rate('1h')`: how fast an error budget is used up, for a ratio KPI with an objective.

The error budget is the share of events that may be bad: 1 - objective. A burn rate of 1 uses up
exactly the budget by the end of the period; 14.4 uses up 2 % of a budget of 30 days in one hour
(Google, The Site Reliability Workbook, 2018, chapter 5, "Alerting on SLOs").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.model.history import Feature, FeatureContext
from agent.core.model.kpis import Better
from agent.core.model.rules import Severity
from agent.core.model.windows import HOUR_MS, Window


@dataclass(frozen=True, slots=True)
class BurnWindows:
    """A row of the workbook's table: an alert fires while both windows burn faster than its rate.
    `budget` is the share of the budget that is used up when it fires."""

    severity: Severity
    budget: float
    long_ms: int
    short_ms: int


PUBLISHED: tuple[BurnWindows, ...] = (
    BurnWindows("critical", 0.02, HOUR_MS, 300_000),
    BurnWindows("critical", 0.05, 6 * HOUR_MS, 30 * 60_000),
    BurnWindows("warning", 0.10, 72 * HOUR_MS, 6 * HOUR_MS),
)
"""Table 5-8 of the workbook. The burn rate of a row is its budget times the period (30 days)
divided by the long window: 14.4, 6 and 1."""


@dataclass(frozen=True, slots=True)
class BurnRate(Feature):
    """The share of bad events over a span, as a multiple of the error budget.

    Windows are weighted by their number of events. The KPI's value is the share of good events if
    the KPI is better when higher, otherwise the share of bad ones.
    """

    span_ms: int
    budget: float
    better: Better

    def needs_ms(self, window: Window) -> int:
        """The span, at least a window."""
        return max(self.span_ms, window.span_ms)

    def compute(self, context: FeatureContext) -> float | None:
        """None where the span had no events."""
        bad = _bad_share(context, self.span_ms, self.better)
        return None if bad is None else bad / self.budget


@dataclass(frozen=True, slots=True)
class BudgetLeft(Feature):
    """The share of the period's error budget that is left; negative: overspent."""

    period_ms: int
    budget: float
    better: Better

    def needs_ms(self, window: Window) -> int:
        """The period."""
        return self.period_ms

    def compute(self, context: FeatureContext) -> float | None:
        """None where the period had no events."""
        bad = _bad_share(context, self.period_ms, self.better)
        return None if bad is None else 1 - bad / self.budget


def _bad_share(context: FeatureContext, span_ms: int, better: Better) -> float | None:
    indices = context.disjoint_windows(span_ms)
    values, events = context.past.values[indices], context.past.events[indices]
    counted = ~np.isnan(values) & (events > 0)
    total = float(events[counted].sum())
    if total == 0:
        return None
    share = float((np.clip(values[counted], 0, 1) * events[counted]).sum()) / total
    return 1 - share if better == "higher" else share
