"""What comes in: events a second, and the series and windows of each KPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.core.model.plan import Plan

DEFAULT_SERIES = 100
"""Series of a KPI with `by`, unless stated: the rules don't say how many values occur."""


@dataclass(frozen=True, slots=True)
class KpiLoad:
    """One KPI. `hop_seconds`: between two windows of a series that close. `base`: it is folded from
    events, not computed from other KPIs."""

    series: int
    hop_seconds: float
    slice_seconds: float
    lateness_seconds: float
    base: bool = True


@dataclass(frozen=True, slots=True)
class Load:
    """The load of all workers. `keyed`: records are keyed by the KPIs' dimensions, so that a series
    is in one source partition, not in all of them. `ids`: events have an id that is deduplicated.
    """

    events_per_second: float
    kpis: tuple[KpiLoad, ...]
    flush_seconds: float = 1.0
    keyed: bool = False
    ids: bool = False

    @property
    def series(self) -> int:
        """The series of all KPIs."""
        return sum(kpi.series for kpi in self.kpis)

    @property
    def base_kpis(self) -> tuple[KpiLoad, ...]:
        """The KPIs that are folded from events."""
        return tuple(kpi for kpi in self.kpis if kpi.base)


def load_of(
    plan: Plan,
    events_per_second: float,
    *,
    series: int = DEFAULT_SERIES,
    series_of: Mapping[str, int] | None = None,
    flush_seconds: float = 1.0,
    keyed: bool = False,
) -> Load:
    """The load of a plan. `series` of each KPI with `by`, except those in `series_of`, at most its
    `max_series`; a KPI without `by` has one."""
    numbers = series_of or {}
    kpis = tuple(
        KpiLoad(
            series=min(numbers.get(kpi.name, series), kpi.max_series) if kpi.by else 1,
            hop_seconds=kpi.window.step_ms / 1000,
            slice_seconds=kpi.slice_ms / 1000,
            lateness_seconds=kpi.lateness_ms / 1000,
            base=kpi.contract is not None,
        )
        for kpi in plan.kpis.values()
    )
    used = {kpi.contract for kpi in plan.kpis.values()}
    ids = any(contract.ids for name, contract in plan.contracts.items() if name in used)
    return Load(events_per_second, kpis, flush_seconds, keyed, ids)
