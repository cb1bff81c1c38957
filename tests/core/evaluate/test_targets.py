from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.evaluate.targets import MAX_ATTAINMENT, assess, target_of
from agent.core.model.kpis import Target, TargetOverride
from agent.core.model.results import TargetState
from tests.core.small_plans import kpi

NO_DATA, MET, AT_RISK, MISSED = TargetState


BY = ("region", "tier", "vip")


@pytest.mark.parametrize(
    ("target", "value", "state", "attainment"),
    [
        (Target(at_most=240, warn_at_most=200), None, NO_DATA, None),
        (Target(at_most=240, warn_at_most=200), 200, MET, 1.2),
        (Target(at_most=240, warn_at_most=200), 200.5, AT_RISK, 240 / 200.5),
        (Target(at_most=240, warn_at_most=200), 240, AT_RISK, 1.0),
        (Target(at_most=240, warn_at_most=200), 480, MISSED, 0.5),
        (Target(at_most=240), 239, MET, 240 / 239),
        (Target(at_most=240), 241, MISSED, 240 / 241),
        (Target(at_least=100, warn_at_least=110), 110, MET, 1.1),
        (Target(at_least=100, warn_at_least=110), 109, AT_RISK, 1.09),
        (Target(at_least=100, warn_at_least=110), 100, AT_RISK, 1.0),
        (Target(at_least=100, warn_at_least=110), 99, MISSED, 0.99),
        (Target(at_least=100), 100, MET, 1.0),
        # Without a ratio: the distance from the bound, relative to it.
        (Target(at_least=100), -50, MISSED, 0.0),
        (Target(at_least=-100), -150, MISSED, 0.5),
        (Target(at_least=-100), -50, MET, 1.5),
        (Target(at_most=-100), -50, MISSED, 0.5),
        (Target(at_most=200), 0, MET, MAX_ATTAINMENT),
        (Target(at_most=200), -3, MET, MAX_ATTAINMENT),
        (Target(at_most=0), 0, MET, 1.0),
        (Target(at_most=0), 3, MISSED, 0.0),
        (Target(at_least=0), -0.1, MISSED, 0.0),
        (Target(at_least=0), 7, MET, 1.0),
        # Between.
        (Target(10, 20, 12, 18), 15, MET, 1.0),
        (Target(10, 20, 12, 18), 18, MET, 1.0),
        (Target(10, 20, 12, 18), 19, AT_RISK, 1.0),
        (Target(10, 20, 12, 18), 11, AT_RISK, 1.0),
        (Target(10, 20, 12, 18), 5, MISSED, 0.5),
        (Target(10, 20, 12, 18), 40, MISSED, 0.5),
        (Target(at_least=-5, at_most=5), -10, MISSED, 0.0),
        # Clipped.
        (Target(at_least=1), 1e9, MET, MAX_ATTAINMENT),
        (Target(at_most=1), 5e-324, MET, MAX_ATTAINMENT),
        (Target(at_least=1), -1e308, MISSED, 0.0),
        (Target(at_most=-1e308), 1e308, MISSED, 0.0),
    ],
)
def test_state_and_attainment_follow_the_bounds(
    target: Target, value: float | None, state: TargetState, attainment: float | None
) -> None:
    found_state, found_attainment = assess(target, value)

    assert found_state is state
    assert found_attainment == (attainment if attainment is None else pytest.approx(attainment))
    assert found_attainment is None or math.isfinite(found_attainment)


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-20, 20).map(float)


@given(numbers, numbers, numbers)
def test_attainment_never_falls_while_the_value_gets_better(
    bound: float, value: float, other: float
) -> None:
    low, high = sorted((value, other))

    assert _attainment(Target(at_least=bound), low) <= _attainment(Target(at_least=bound), high)
    assert _attainment(Target(at_most=bound), high) <= _attainment(Target(at_most=bound), low)


@given(numbers, numbers, numbers, numbers)
def test_attainment_between_bounds_never_falls_on_the_way_to_them(
    bound: float, other_bound: float, value: float, other: float
) -> None:
    least, most = sorted((bound, other_bound))
    target = Target(at_least=least, at_most=most)
    low, high = sorted((value, other))

    if high <= most:
        assert _attainment(target, low) <= _attainment(target, high)
    if low >= least:
        assert _attainment(target, high) <= _attainment(target, low)


def _attainment(target: Target, value: float) -> float:
    _, attainment = assess(target, value)
    assert attainment is not None
    return attainment


def test_the_last_matching_override_holds() -> None:
    own, apac, gold, apac_gold = (Target(at_most=n) for n in (1, 2, 3, 4))
    k = kpi(
        TargetOverride({"region": "apac"}, apac),
        TargetOverride({"region": "apac", "tier": 1}, apac_gold),
        TargetOverride({"tier": 2}, gold),
        by=BY,
        target=own,
    )

    assert target_of(k, ("emea", 1, False), 0) is own
    assert target_of(k, ("apac", 3, False), 0) is apac
    assert target_of(k, ("apac", 1, False), 0) is apac_gold
    assert target_of(k, ("apac", 2, False), 0) is gold


def test_an_override_of_null_matches_only_null() -> None:
    own, unknown = Target(at_most=1), Target(at_most=2)
    k = kpi(TargetOverride({"region": None}, unknown), by=BY, target=own)

    assert target_of(k, (None, 1, False), 0) is unknown
    assert target_of(k, ("__none__", 1, False), 0) is own


def test_true_is_not_one() -> None:
    vip = Target(at_most=2)
    k = kpi(TargetOverride({"vip": True}, vip), by=BY)

    assert target_of(k, ("apac", 1, True), 0) is vip
    assert target_of(k, ("apac", 1, 1), 0) is None


def test_of_overrides_that_change_with_time_the_last_that_has_begun_holds() -> None:
    early, late, apac, base = (Target(at_least=n) for n in (1, 2, 3, 4))
    k = kpi(
        TargetOverride({}, early, 100),
        TargetOverride({}, late, 200),
        TargetOverride({"region": "apac"}, apac, 150),
        target=base,
        by=("region",),
    )
    steps = [target_of(k, ("emea",), at) for at in (99, 100, 199, 200)]
    assert steps == [base, early, early, late]
    # Until its own begins, an override leaves the KPI's target as it is; then it wins.
    assert [target_of(k, ("apac",), at) for at in (120, 150, 200)] == [early, apac, apac]
