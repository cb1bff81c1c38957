"""`burn_rate()` and `budget_left()`: by events, and with the published windows."""

from __future__ import annotations

import pytest

from agent.core.history.burn_rate import PUBLISHED, BudgetLeft, BurnRate
from tests.core.history.looks import DAY, DAYS, HOURS, look


def test_the_published_burn_rates_are_those_of_thirty_days() -> None:
    # The Site Reliability Workbook, table 5-8.
    rates = [(r.long_ms // 3_600_000, r.short_ms // 60_000) for r in PUBLISHED]
    assert rates == [(1, 5), (6, 30), (72, 360)]
    assert [r.budget * 30 * DAY / r.long_ms for r in PUBLISHED] == pytest.approx([14.4, 6, 1])


def test_a_budget_burns_by_events_not_by_windows() -> None:
    # 1000 events with 1 % bad and 10 with 50 % bad: 15 of 1010 are bad, of a budget of 0.1 %.
    seen = look([0.99, 0.5], HOURS, events=[1000, 10])
    assert BurnRate("", 2 * 3_600_000, 0.001, "higher").compute(seen) == pytest.approx(
        15 / 1010 / 0.001
    )
    assert BurnRate("", 3_600_000, 0.001, "higher").compute(seen) == pytest.approx(500)
    assert BurnRate("", 3_600_000, 0.001, "lower").compute(look([0.01], HOURS)) == pytest.approx(10)
    assert BudgetLeft("", DAY, 0.1, "higher").compute(seen) == pytest.approx(1 - 15 / 1010 / 0.1)
    assert BurnRate("", 3_600_000, 0.001, "higher").compute(look([None], DAYS, events=[0])) is None
