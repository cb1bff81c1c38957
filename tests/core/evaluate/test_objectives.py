from __future__ import annotations

from collections.abc import Mapping

import pytest

from agent.core.evaluate.objectives import (
    Score,
    earlier_attainment,
    in_tree_order,
    score_objectives,
    scores,
)
from agent.core.evaluate.targets import assess
from agent.core.model.kpis import Target
from agent.core.model.plan import Objective
from agent.core.model.results import SeriesView, TargetState, TargetStatus, WindowValue
from agent.core.model.windows import FixedWindow
from tests.export.invented import kpi, plan

DAY_MS = 86_400_000
NOW_MS = 1_000 * DAY_MS


def objective(
    name: str, kpis: Mapping[str, float], objectives: Mapping[str, float] | None = None
) -> Objective:
    return Objective(name, name.title(), "", None, kpis, objectives or {})


SATISFACTION = objective(
    "satisfaction", {"response_time": 0.3, "feedback_score": 0.4, "retention": 0.3}
)
GROWTH = objective("growth", {"revenue": 1.0})
PLAN = objective("plan", {"feedback_score": 0.1}, {"satisfaction": 0.5, "growth": 0.4})


def score(attainments: Mapping[str, list[float]]) -> float | None:
    return scores({"satisfaction": SATISFACTION}, attainments)["satisfaction"]


def test_the_score_is_the_weighted_mean_over_kpis_of_the_mean_over_series() -> None:
    attainments = {"response_time": [1.0, 0.5], "feedback_score": [0.5], "retention": [1.0]}
    # 0.3 * 0.75 + 0.4 * 0.5 + 0.3 * 1
    assert score(attainments) == pytest.approx(0.725)


def test_more_than_the_target_counts_as_the_target() -> None:
    attainments = {"response_time": [10.0, 0.5], "feedback_score": [1.2], "retention": [3.0]}
    # 0.3 * (1 + 0.5) / 2 + 0.4 + 0.3
    assert score(attainments) == pytest.approx(0.925)


def test_a_kpi_without_data_is_left_out_and_the_weights_scaled_up() -> None:
    # (0.3 * 1 + 0.4 * 0.5) / 0.7
    value = score({"response_time": [1.0], "feedback_score": [0.5], "retention": []})
    assert value == pytest.approx(5 / 7)


def test_no_data_at_all_is_no_score() -> None:
    assert score({"retention": [], "another": [1.0]}) is None


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (None, TargetState.NO_DATA),
        (1.0, TargetState.MET),
        (0.999, TargetState.MET),
        (0.998, TargetState.AT_RISK),
        (0.9, TargetState.AT_RISK),
        (0.899, TargetState.MISSED),
        (0.0, TargetState.MISSED),
    ],
)
def test_the_state_follows_the_score(value: float | None, state: TargetState) -> None:
    assert Score(value).state is state


@pytest.mark.parametrize(
    ("change", "trend"),
    [(None, None), (0.0, "flat"), (-0.0099, "flat"), (0.01, "up"), (-0.01, "down")],
)
def test_a_change_of_less_than_a_point_is_no_trend(change: float | None, trend: str) -> None:
    assert Score(0.5, change).trend == trend


TREE = {o.name: o for o in (GROWTH, PLAN, SATISFACTION)}


def test_an_objective_above_counts_the_scores_below_it_and_its_own_kpis() -> None:
    by_objective = scores(
        TREE,
        {"response_time": [1.0], "feedback_score": [0.5], "retention": [1.0], "revenue": [0.7]},
    )
    # satisfaction: 0.3 + 0.4 * 0.5 + 0.3 = 0.8; plan: 0.1 * 0.5 + 0.5 * 0.8 + 0.4 * 0.7
    assert by_objective == pytest.approx({"satisfaction": 0.8, "growth": 0.7, "plan": 0.73})


def test_an_objective_below_without_data_is_left_out() -> None:
    # (0.1 * 0.5 + 0.5 * 0.5) / 0.6
    assert scores(TREE, {"feedback_score": [0.5]}) == pytest.approx(
        {"satisfaction": 0.5, "growth": None, "plan": 0.5}
    )


def test_the_tree_is_reported_from_its_roots_each_objective_once_and_before_its_parts() -> None:
    shared = objective("shared", {"revenue": 1.0})
    both = {
        o.name: o
        for o in (
            shared,
            objective("b", {}, {"shared": 1.0}),
            objective("top", {}, {"shared": 0.5, "b": 0.5}),
        )
    }
    assert [o.name for o in in_tree_order(TREE)] == ["plan", "satisfaction", "growth"]
    assert [o.name for o in in_tree_order(both)] == ["top", "b", "shared"]


AT_LEAST = Target(at_least=100)


def series(name: str, *history: tuple[float, float | None], key: str = "x") -> SeriesView:
    """A series with closed windows: how many days ago each ended, and its value; newest last."""
    published = tuple((NOW_MS - int(days * DAY_MS), value) for days, value in history)
    end_ms, value = published[-1]
    window = WindowValue(name, (key,), end_ms - DAY_MS, end_ms, value, 1)
    state, attainment = assess(AT_LEAST, value)
    status = TargetStatus(window, state, None, attainment, AT_LEAST)
    return SeriesView(name, (key,), window, None, AT_LEAST, status, published)


@pytest.mark.parametrize(
    ("history", "span_days", "expected"),
    [
        ([(9, 10.0), (7, 20.0), (3, 30.0), (0, 40.0)], 1, 0.2),  # a week before
        ([(9, 10.0), (6, 20.0), (0, 40.0)], 1, 0.2),  # the oldest that is not older
        ([(9, 10.0), (7, None), (3, 30.0), (0, 40.0)], 1, 0.3),  # a window without a value
        ([(0.1, 10.0), (0, 40.0)], 0.1, 0.1),  # all that is remembered
        ([(120, 5.0), (90, 10.0), (30, 20.0), (0, 40.0)], 30, 0.05),  # four months
        ([(9, 10.0), (0, 40.0)], 1, None),  # nothing within the week
        ([(0, 40.0)], 1, None),  # nothing older
    ],
)
def test_a_series_is_compared_with_what_it_was(
    history: list[tuple[float, float | None]], span_days: float, expected: float | None
) -> None:
    assert earlier_attainment(series("a", *history), int(span_days * DAY_MS)) == expected


def test_a_window_in_maintenance_is_not_compared_with() -> None:
    published = series("a", (9, 10.0), (7, 20.0), (3, 30.0), (0, 40.0))
    calm = NOW_MS - 7 * DAY_MS
    assert earlier_attainment(published, DAY_MS, lambda end_ms: end_ms == calm) == 0.3


def test_the_change_of_a_score_is_over_the_series_that_have_a_past() -> None:
    company = plan(
        [
            kpi("revenue", "Revenue", "eur", by=("key",), window=FixedWindow(DAY_MS, DAY_MS)),
            kpi("orders", "Orders", None, by=("key",), window=FixedWindow(DAY_MS, DAY_MS)),
        ],
        objectives=[
            objective("growth", {"revenue": 0.5, "orders": 0.5}),
            objective("top", {}, {"growth": 1.0}),
        ],
    )
    views = [
        series("revenue", (7, 50.0), (0, 60.0)),
        series("revenue", (0, 100.0), key="new"),  # is in the score, and is no progress
        series("orders", (7, 80.0), (0, 60.0)),
    ]
    by_objective = score_objectives(company, views, lambda view: earlier_attainment(view, DAY_MS))
    # now: 0.5 * (0.6 + 1) / 2 + 0.5 * 0.6; with a past: (0.6 + 0.6) / 2, then (0.5 + 0.8) / 2
    assert by_objective["growth"].value == pytest.approx(0.7)
    assert by_objective["growth"].change == pytest.approx(-0.05)
    assert (by_objective["top"].value, by_objective["top"].change) == pytest.approx((0.7, -0.05))
    assert by_objective["top"].trend == "down"
