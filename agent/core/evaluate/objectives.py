"""Objectives: the score of a weighted tree of KPIs and objectives, and its trend."""

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
"""From this score on, an objective is met: it is all targets met, apart from rounding."""
AT_RISK_FROM = 0.9
"""From this score on, an objective is at risk; below, it is missed."""
TREND_FROM = 0.01
"""A smaller change of the score (one percentage point) counts as flat: nobody acts on it."""
LOOK_BACK_MS = 7 * 86_400_000
"""How far a trend looks back, if the series' history is long enough."""
LOOK_BACK_WINDOWS = 4
"""The minimum number of windows that a trend looks back, for windows of days or weeks."""

Attainments = Mapping[str, Sequence[float]]
"""The attainments of each KPI's series, without those that have none."""


@dataclass(frozen=True, slots=True)
class Score:
    """The score of an objective. `value` is in [0, 1], None without data; `change` is its change
    over the look-back, None if the past is unknown."""

    value: float | None = None
    change: float | None = None

    @property
    def state(self) -> TargetState:
        """Met from 0.999, at risk from 0.9, otherwise missed; no data without a value.

        It follows the score, not the worst part: the weights define what matters, and each KPI has
        a target state of its own.
        """
        if self.value is None:
            return TargetState.NO_DATA
        if self.value >= MET_FROM:
            return TargetState.MET
        return TargetState.AT_RISK if self.value >= AT_RISK_FROM else TargetState.MISSED

    @property
    def trend(self) -> Literal["up", "down", "flat"] | None:
        """The direction of the change; less than a percentage point is flat."""
        if self.change is None:
            return None
        if abs(self.change) < TREND_FROM:
            return "flat"
        return "up" if self.change > 0 else "down"


def scores(
    objectives: Mapping[str, Objective], attainments: Attainments
) -> dict[str, float | None]:
    """The weighted attainment of each objective, in [0, 1]; None if no part of it has data.

    A series counts at most 1, so that exceeding one target cannot hide that another is missed. A
    KPI counts as the mean of its series, an objective as its score. Parts without data are left
    out, and the weights of the others scaled up to 1. Objectives must not form a cycle.
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


def score_objectives(plan: Plan, views: Iterable[SeriesView], earlier: Earlier) -> dict[str, Score]:
    """The score and its change of every objective, from all series of all workers.

    `earlier` gives the attainment of a series at the start of the look-back (None: unknown). The
    change is between the scores over the series that have one, then and now, so that a new series
    does not look like progress.
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
    """The attainment of a series at the start of the look-back before its last closed window: a
    week, or four windows if that is longer. If the history is shorter, its oldest value is used.

    The earlier value is compared with the current target, because a moved target is not a trend.
    None without a value before the last window. `span_ms`: the window's length; `left_out`: whether
    the window with an end (ms) does not count, because it was in maintenance.
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
    """Every objective once, each before its parts, from the roots down in declaration order."""
    inner = {part for objective in objectives.values() for part in objective.objectives}
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        # A part that two objectives share comes after both.
        order.pop(name, None)
        order[name] = None
        for part in objectives[name].objectives:
            visit(part)

    for name in objectives:
        if name not in inner:
            visit(name)
    return [objectives[name] for name in order]
