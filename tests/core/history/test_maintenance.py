"""What was in maintenance is no past to compare with, whatever its values were."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.history.burn_rate import BudgetLeft, BurnRate
from agent.core.history.calendar_spans import Span
from agent.core.history.change import Change
from agent.core.history.forecast import Breach
from agent.core.history.pace import Pace
from agent.core.history.seasonal import SeasonalAnomaly
from agent.core.history.trend import Run, Trend
from agent.core.model.history import Feature
from agent.core.model.window_history import INCIDENT, MAINTENANCE, WindowHistory
from tests.core.history.looks import DAY, DAYS, look

FEATURES: list[Feature] = [
    Change("", Span(days=7), False, "UTC"),
    Change("", None, True, "UTC"),
    Trend("", 14 * DAY, False),
    Run("", "declining", 3),
    BurnRate("", 5 * DAY, 0.01, "higher"),
    BudgetLeft("", 20 * DAY, 0.01, "higher"),
    Breach("", 3 * DAY, 12 * DAY, None, None, "UTC"),
    SeasonalAnomaly("", "week", 60 * DAY, "UTC"),
]
values = st.one_of(st.none(), st.floats(-100, 100, allow_subnormal=False))


@given(
    st.lists(st.tuples(values, st.booleans()), min_size=30, max_size=40),
    st.floats(-100, 100, allow_subnormal=False),
)
@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: type(f).__name__)
def test_a_window_in_maintenance_is_as_good_as_one_without_a_value(
    feature: Feature, past: list[tuple[float | None, bool]], now: float
) -> None:
    published = [value for value, _ in past]
    flags = [MAINTENANCE if calm else 0 for _, calm in past]
    without = [None if calm else value for value, calm in past]
    bounds = (10.0, 90.0)
    flagged = look([*published, now], DAYS, flags=[*flags, 0], target=bounds)
    emptied = look([*without, now], DAYS, target=bounds)
    assert feature.compute(flagged) == feature.compute(emptied)


def test_totals_are_of_all_that_was_published() -> None:
    month = Pace("", "to_date", "month", "UTC", 0.0, 0)
    flags = [0, 0, 0, MAINTENANCE, 0]
    # The first window is 30 December; January's are 10, 1000 and 20.
    seen = look([5.0, 5.0, 10.0, 1000.0, 20.0], DAYS, flags=flags)
    assert month.compute(seen) == 1030


def test_a_past_keeps_what_was_published_beside_what_is_compared_with() -> None:
    past = WindowHistory([(1, 5.0, 1, MAINTENANCE), (2, 6.0, 1, INCIDENT), (3, 7.0, 1, 0)])
    past.append((4, 8.0, 1, 0))
    past.flag(4, MAINTENANCE)
    for seen in (past, past.upto(4)):
        assert seen.published.tolist() == [5, 6, 7, 8]
        assert seen.values.tolist() == pytest.approx([nan, 6, 7, nan], nan_ok=True)
    for end in range(5, 200):  # beyond the room that there was
        past.append((end, float(end), 1, 0))
    assert past.published.tolist()[:4] == [5, 6, 7, 8]
    assert np.flatnonzero(np.isnan(past.values)).tolist() == [0, 3]
