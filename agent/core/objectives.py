"""Objectives: one score for a weighted set of KPIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.core.plan import Objective
from agent.core.results import TargetState

MET_FROM = 0.999
"""A score from here on is met: a tenth of a percent short is a rounding away from all targets."""
AT_RISK_FROM = 0.9
"""A score from here on, though not met, is at risk: a tenth short in all, or more in one part."""


def score(objective: Objective, attainments: Mapping[str, Sequence[float]]) -> float | None:
    """Weighted attainment in [0, 1]; None when no KPI of the objective has any.

    `attainments` has, by KPI, the attainment of each of its series that has one. A series counts
    for at most 1, so that doing better than the target in one place can not hide a target that is
    missed in another. A KPI counts for the mean of its series. A KPI without data is left out, and
    the weights of the others are scaled up to 1: no data is neither good nor bad.
    """
    weighted = weights = 0.0
    for kpi, weight in objective.kpis.items():
        series = attainments.get(kpi, ())
        if series:
            mean = sum(min(max(one, 0.0), 1.0) for one in series) / len(series)
            weighted += weight * mean
            weights += weight
    return weighted / weights if weights else None


def state_of(score: float | None) -> TargetState:
    """Where an objective stands: met from 0.999, at risk from 0.9, else missed.

    By score and not by the worst of its KPIs: the weights say what matters, and a KPI in trouble
    has a state of its own. None is no data.
    """
    if score is None:
        return TargetState.NO_DATA
    if score >= MET_FROM:
        return TargetState.MET
    return TargetState.AT_RISK if score >= AT_RISK_FROM else TargetState.MISSED
