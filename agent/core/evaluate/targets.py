"""Targets: which target applies to a window, and the state and attainment of a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from agent.core.model.kpis import Dimensions, Kpi, Target, TargetOverride, matches
from agent.core.model.results import TargetState, WindowValue

MAX_ATTAINMENT = 10.0
"""Attainment is clipped to [0, 10]: without it, one at_most series with a value near zero would
dominate every mean and every chart axis."""


MAX_CACHED_SERIES = 100_000
"""The size of LRU caches by series: overrides are matched once per series, not once per window."""

Benchmark = Callable[[str, WindowValue], float | None]
"""Looks up the value of a KPI, by name, in the same window as another KPI's; None: no value."""


def unknown_benchmark(name: str, window: WindowValue) -> float | None:
    """The `Benchmark` of KPIs that are evaluated without benchmarks."""
    return None


class Targets:
    """The targets of one KPI's series."""

    def __init__(self, kpi: Kpi) -> None:
        self._kpi = kpi
        self._overrides = lru_cache(MAX_CACHED_SERIES)(partial(overrides_of, kpi))

    def for_series(self, dimensions: Dimensions, start_ms: int) -> Target | None:
        """The target that applies to the window of a series that starts at an instant (ms)."""
        if not self._kpi.overrides:
            return self._kpi.target
        return in_force(self._kpi, self._overrides(dimensions), start_ms)

    def for_window(self, window: WindowValue, benchmark: Benchmark) -> Target | None:
        """The target of a closed window, with the values of its benchmarks as bounds."""
        target = self.for_series(window.dimensions, window.start_ms)
        if target is None or not target.kpis:
            return target
        return resolved(target, {name: benchmark(name, window) for _, name in target.kpis})


def overrides_of(kpi: Kpi, dimensions: Dimensions) -> tuple[TargetOverride, ...]:
    """The overrides that match a series, regardless of when they start."""
    return tuple(o for o in kpi.overrides if matches(kpi.by, dimensions, o.match))


def target_of(kpi: Kpi, dimensions: Dimensions, start_ms: int) -> Target | None:
    """The target of the window of a series that starts at an instant (ms): that of the last
    matching override that has started by then, otherwise the KPI's own. None: there is none."""
    return in_force(kpi, overrides_of(kpi, dimensions), start_ms)


def common_target(kpi: Kpi, start_ms: int) -> Target | None:
    """The target, at an instant (ms), of the series that no override with a `match` applies to."""
    return in_force(kpi, [o for o in kpi.overrides if not o.match], start_ms)


def in_force(kpi: Kpi, overrides: Sequence[TargetOverride], start_ms: int) -> Target | None:
    """The target at an instant, given the overrides that match."""
    override = last_started(overrides, start_ms)
    return kpi.target if override is None else override.target


def last_started(overrides: Sequence[TargetOverride], start_ms: int) -> TargetOverride | None:
    """The override that has the target at an instant; None: the KPI's own applies."""
    started = (o for o in reversed(overrides) if o.from_ms is None or o.from_ms <= start_ms)
    return next(started, None)


def benchmarks_of(kpi: Kpi) -> tuple[str, ...]:
    """The KPIs that a KPI's targets name as benchmarks, sorted."""
    targets = [kpi.target, *(override.target for override in kpi.overrides)]
    return tuple(sorted({name for t in targets if t is not None for _, name in t.kpis}))


def resolved(target: Target, values: Mapping[str, float | None]) -> Target:
    """A target with the values of its benchmarks as bounds; benchmarks without a value remain in
    `kpis`."""
    known: dict[str, Any] = {
        band: values[name] for band, name in target.kpis if values.get(name) is not None
    }
    missing = tuple(pair for pair in target.kpis if pair[0] not in known)
    return replace(target, kpis=missing, **known)


def assess(target: Target, value: float | None) -> tuple[TargetState, float | None]:
    """The target state and the attainment of a value.

    The state is no data without a value, or if a benchmark has no value; missed if the value is
    outside the bounds; at risk if it is inside them but outside the warn bounds; otherwise met. A
    value equal to a bound is inside.

    Attainment is 1 at the target and larger if the value is better, for both directions:

    - T > 0: `value / T` for at_least, `T / value` for at_most. If the value is not positive, it is
      0 for at_least and the maximum for at_most.
    - T < 0: the relative distance, `1 + (value - T) / |T|` for at_least, `1 - (value - T) / |T|`
      for at_most.
    - T = 0: 1 if met, otherwise 0.
    - between: 1 inside, otherwise by the formula of the missed bound.

    It is clipped to [0, `MAX_ATTAINMENT`] and never decreases while the value gets better; None
    without a value.
    """
    if value is None or target.kpis:
        return TargetState.NO_DATA, None
    if not _inside(value, target.at_least, target.at_most):
        state = TargetState.MISSED
    elif not _inside(value, target.warn_at_least, target.warn_at_most):
        state = TargetState.AT_RISK
    else:
        state = TargetState.MET
    return state, min(max(_attainment(target, value), 0.0), MAX_ATTAINMENT)


def _inside(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _attainment(target: Target, value: float) -> float:
    least, most = target.at_least, target.at_most
    # Division by a denormal number gives infinity, which is then clipped to the maximum.
    if least is not None and (most is None or value < least):
        return value / least if least > 0 else _distance(value, least, +1)
    if most is not None and (least is None or value > most):
        if most <= 0:
            return _distance(value, most, -1)
        return most / value if value > 0 else MAX_ATTAINMENT
    return 1.0


def _distance(value: float, bound: float, direction: int) -> float:
    if bound == 0:
        return 1.0 if direction * value >= 0 else 0.0
    return 1.0 + direction * (value - bound) / abs(bound)
