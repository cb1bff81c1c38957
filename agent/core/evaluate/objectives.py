"""Objectives: one score for a weighted tree of KPIs and objectives, and where it is heading."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.core.evaluate.targets import assess
from agent.core.model.plan import Objective, Plan
from agent.core.model.results import SeriesView, TargetState

MET_FROM = 0.999
"""A score from here on is met: a tenth of a percent short is a rounding away from all targets."""
AT_RISK_FROM = 0.9
"""A score from here on, though not met, is at risk: a tenth short in all, or more in one part."""
TREND_FROM = 0.01
"""A change of the score by less, one point of a hundred, is no trend: nobody acts on it."""
LOOK_BACK_MS = 7 * 86_400_000
"""How far a trend looks back, where the series remember as much."""
LOOK_BACK_WINDOWS = 4
"""Of windows so long that a week holds few of them, a trend looks back over so many."""

Attainments = Mapping[str, Sequence[float]]
"""By KPI, the attainment of each of its series that has one."""


@dataclass(frozen=True, slots=True)
class Score:
    """Where an objective stands. `value` is in [0, 1], None without data; `change` is how much
    higher it is than it was, None where the past is not known."""

    value: float | None = None
    change: float | None = None

    @property
    def state(self) -> TargetState:
        """Met from 0.999, at risk from 0.9, else missed; None is no data.

        By score and not by the worst of its parts: the weights say what matters, and a KPI in
        trouble has a state of its own.
        """
        if self.value is None:
            return TargetState.NO_DATA
        if self.value >= MET_FROM:
            return TargetState.MET
        return TargetState.AT_RISK if self.value >= AT_RISK_FROM else TargetState.MISSED

    @property
    def trend(self) -> Literal["up", "down", "flat"] | None:
        """Where it is heading; a change of less than a point is flat."""
        if self.change is None:
            return None
        if abs(self.change) < TREND_FROM:
            return "flat"
        return "up" if self.change > 0 else "down"


def scores(
    objectives: Mapping[str, Objective], attainments: Attainments
) -> dict[str, float | None]:
    """Weighted attainment of each objective, in [0, 1]; None when no part of it has any.

    A series counts for at most 1, so that doing better than the target in one place cannot hide a
    target that is missed in another. A KPI counts for the mean of its series, an objective for its
    score. A part without data is left out, and the weights of the others are scaled up to 1: no
    data is neither good nor bad. The objectives form no circle.
    """
    values: dict[str, float | None] = {}

    def score(name: str) -> float | None:
        if name not in values:
            objective = objectives[name]
            parts = [(_mean(attainments.get(kpi, ())), w) for kpi, w in objective.kpis.items()]
            parts += [(score(other), w) for other, w in objective.objectives.items()]
            known = [(value, weight) for value, weight in parts if value is not None]
            whole = sum(weight for _, weight in known)
            values[name] = sum(v * weight for v, weight in known) / whole if known else None
        return values[name]

    return {name: score(name) for name in objectives}


def _mean(series: Sequence[float]) -> float | None:
    if not series:
        return None
    return sum(min(max(attainment, 0.0), 1.0) for attainment in series) / len(series)


Earlier = Callable[[SeriesView], float | None]


def standing(plan: Plan, views: Iterable[SeriesView], earlier: Earlier) -> dict[str, Score]:
    """Score and change of every objective, from all series of the company.

    The change compares like with like: the score over the series whose past is known (`earlier`
    gives their attainment then), now and then. A series that is new is no progress.
    """
    counted = {kpi for objective in plan.objectives.values() for kpi in objective.kpis}
    now: dict[str, list[float]] = defaultdict(list)
    since: dict[str, list[float]] = defaultdict(list)
    then: dict[str, list[float]] = defaultdict(list)
    for view in views:
        if view.kpi not in counted or view.status is None or view.status.attainment is None:
            continue
        now[view.kpi].append(view.status.attainment)
        before = earlier(view)
        if before is not None:
            since[view.kpi].append(view.status.attainment)
            then[view.kpi].append(before)
    values = scores(plan.objectives, now)
    ends, starts = scores(plan.objectives, since), scores(plan.objectives, then)
    return {name: Score(values[name], _change(starts[name], ends[name])) for name in values}


def _change(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def earlier_attainment(
    view: SeriesView, span_ms: int, left_out: Callable[[int], bool] = lambda _: False
) -> float | None:
    """A series' attainment a week before its last closed window, of windows longer than a day and
    three quarters four windows before; of what it remembers, the oldest that is not older.

    The value then is compared with the target that holds now: a target that was moved is no trend.
    None where nothing older than the last window is remembered. `span_ms`: the window's length;
    `left_out`: whether the window with an end (ms) says nothing, because it was in maintenance.
    """
    if view.closed is None or view.target is None:
        return None
    from_ms = view.closed.end_ms - max(LOOK_BACK_MS, LOOK_BACK_WINDOWS * span_ms)
    at = bisect_left(view.history, from_ms, key=lambda window: window[0])
    for end_ms, value in view.history[at:]:
        if end_ms >= view.closed.end_ms:
            return None
        if value is not None and not left_out(end_ms):
            return assess(view.target, value)[1]
    return None


def in_tree_order(objectives: Mapping[str, Objective]) -> list[Objective]:
    """Every objective once, each before its parts: from the roots down, as they are declared."""
    inner = {part for objective in objectives.values() for part in objective.objectives}
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        # One that two others share comes with the later of them.
        order.pop(name, None)
        order[name] = None
        for part in objectives[name].objectives:
            visit(part)

    for name in objectives:
        if name not in inner:
            visit(name)
    return [objectives[name] for name in order]
