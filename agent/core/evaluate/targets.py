"""Targets: which one applies to a series, and where a value stands against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from agent.core.model.kpis import Dimensions, Kpi, Target, TargetOverride, matches
from agent.core.model.results import TargetState, WindowValue

MAX_ATTAINMENT = 10.0
"""Attainment is clipped to [0, 10]: beyond ten times the target the figure says nothing more, and
one series near zero would swamp every mean and every axis it is drawn on."""


MAX_CACHED_SERIES = 100_000
"""Series whose overrides are cached, the least recently used dropped first: series come and go."""

Benchmark = Callable[[str, WindowValue], float | None]
"""The value that a KPI has in the same window as another's; None: it has none."""


def unknown_benchmark(name: str, window: WindowValue) -> float | None:
    """Of a KPI that is evaluated without its benchmarks."""
    return None


class Targets:
    """The targets of one KPI's series."""

    def __init__(self, kpi: Kpi) -> None:
        self._kpi = kpi
        self._overrides = lru_cache(MAX_CACHED_SERIES)(partial(overrides_of, kpi))

    def of(self, dimensions: Dimensions, start_ms: int) -> Target | None:
        """The target that applies to the window of a series that starts at an instant (ms)."""
        if not self._kpi.overrides:
            return self._kpi.target
        return in_force(self._kpi, self._overrides(dimensions), start_ms)

    def of_window(self, window: WindowValue, benchmark: Benchmark) -> Target | None:
        """The target of a closed window, with the values of its benchmarks for bounds."""
        target = self.of(window.dimensions, window.start_ms)
        if target is None or not target.kpis:
            return target
        return resolved(target, {name: benchmark(name, window) for _, name in target.kpis})


def overrides_of(kpi: Kpi, dimensions: Dimensions) -> tuple[TargetOverride, ...]:
    """The overrides that match a series, whenever they hold: the last that has begun is the one."""
    return tuple(o for o in kpi.overrides if matches(kpi.by, dimensions, o.match))


def target_of(kpi: Kpi, dimensions: Dimensions, start_ms: int) -> Target | None:
    """The target of the window of a series that starts at an instant (ms): that of the last
    override that matches the series and has begun, else the KPI's own. None: there is none."""
    return in_force(kpi, overrides_of(kpi, dimensions), start_ms)


def common_target(kpi: Kpi, start_ms: int) -> Target | None:
    """The target, at an instant (ms), of the series that no override matches."""
    return in_force(kpi, [o for o in kpi.overrides if not o.match], start_ms)


def in_force(kpi: Kpi, overrides: Sequence[TargetOverride], start_ms: int) -> Target | None:
    """The target at an instant among overrides that match."""
    for override in reversed(overrides):
        if override.from_ms is None or override.from_ms <= start_ms:
            return override.target
    return kpi.target


def benchmarks_of(kpi: Kpi) -> tuple[str, ...]:
    """The KPIs that any of a KPI's targets names, sorted."""
    targets = [kpi.target, *(override.target for override in kpi.overrides)]
    return tuple(sorted({name for t in targets if t is not None for _, name in t.kpis}))


def resolved(target: Target, values: Mapping[str, float | None]) -> Target:
    """A target with the values of its benchmarks for bounds; one without a value stays open."""
    known: dict[str, Any] = {
        band: values[name] for band, name in target.kpis if values.get(name) is not None
    }
    missing = tuple(pair for pair in target.kpis if pair[0] not in known)
    return replace(target, kpis=missing, **known)


def assess(target: Target, value: float | None) -> tuple[TargetState, float | None]:
    """State and attainment of a value.

    State: no value, or a bound whose benchmark has none, is no data. A value outside the bounds has
    missed the target; inside them, but outside the warn bounds, it is at risk; else the target is
    met. A bound itself counts as inside.

    Attainment is 1 at the target and more when better, so that KPIs of either direction compare:

    - at_least T: `value / T`; at_most T: `T / value`, when both are positive; of a value that is
      not, where T is: nothing better than `at_most` could ask for, nothing of `at_least`;
    - of a negative T the relative distance `1 ± (value - T) / |T|`, plus for at_least, minus for
      at_most; with T = 0 there is no scale: 1 when met, else 0;
    - between: 1 inside, else by the formula of the bound that is missed.

    The result is clipped to [0, `MAX_ATTAINMENT`], and never falls while the value gets better;
    None without a value.
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
    # A denormal divisor overflows to infinity, which the clip then takes back to the maximum.
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
