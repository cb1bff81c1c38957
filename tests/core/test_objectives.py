from __future__ import annotations

import pytest

from agent.core.objectives import score, state_of
from agent.core.plan import Objective
from agent.core.results import TargetState

SATISFACTION = Objective(
    name="customer_satisfaction",
    title="Customer satisfaction",
    description="",
    owner=None,
    kpis={"response_time": 0.3, "feedback_score": 0.4, "retention": 0.3},
)


def test_the_score_is_the_weighted_mean_over_kpis_of_the_mean_over_series() -> None:
    attainments = {"response_time": [1.0, 0.5], "feedback_score": [0.5], "retention": [1.0]}
    # 0.3 * 0.75 + 0.4 * 0.5 + 0.3 * 1
    assert score(SATISFACTION, attainments) == pytest.approx(0.725)


def test_more_than_the_target_counts_as_the_target() -> None:
    attainments = {"response_time": [10.0, 0.5], "feedback_score": [1.2], "retention": [3.0]}
    # 0.3 * (1 + 0.5) / 2 + 0.4 + 0.3
    assert score(SATISFACTION, attainments) == pytest.approx(0.925)


def test_a_kpi_without_data_is_left_out_and_the_weights_scaled_up() -> None:
    # (0.3 * 1 + 0.4 * 0.5) / 0.7
    found = score(SATISFACTION, {"response_time": [1.0], "feedback_score": [0.5], "retention": []})
    assert found == pytest.approx(5 / 7)


def test_no_data_at_all_is_no_score() -> None:
    assert score(SATISFACTION, {"retention": [], "another": [1.0]}) is None


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
    assert state_of(value) is state
