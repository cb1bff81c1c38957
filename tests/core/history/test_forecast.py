"""`breach_in()` foresees a breach by trend or by season."""

from __future__ import annotations

from agent.core.history.forecast import Breach
from tests.core.history.looks import DAY, HOUR, HOURS, WEEK, look, weekly


def test_a_breach_is_foreseen_by_trend() -> None:
    falling = [100.0 - i for i in range(21)]  # 80 now, and a day later 79
    soon = Breach("", 3 * DAY, 20 * DAY, None, None, "UTC")
    assert soon.compute(look(falling, target=(78.0, None))) == 1
    assert soon.compute(look(falling, target=(76.0, None))) == 0
    assert soon.compute(look(falling, target=(None, 120.0))) == 0
    assert soon.compute(look([*falling, 200.0], target=(None, 120.0))) == 1  # it is there already
    assert soon.compute(look(falling)) is None
    assert Breach("", 3 * DAY, 20 * DAY, None, (78.0, None), "UTC").compute(look(falling)) == 1
    assert soon.compute(look(falling[:3], target=(78.0, None))) is None


def test_a_breach_is_foreseen_by_season() -> None:
    usual = weekly(6)
    night = look(usual[: 5 * 168 + 3], HOURS, target=(None, 150.0))  # Monday, three at night
    by_season = Breach("", 12 * HOUR, 5 * WEEK, "week", None, "UTC")
    by_trend = Breach("", 12 * HOUR, 5 * WEEK, None, None, "UTC")
    assert by_season.compute(night) == 1  # Monday's noon will be over it
    assert by_trend.compute(night) == 0
    sunday = look(usual[: 4 * 168 + 6 * 24 + 3], HOURS, target=(None, 150.0))
    assert by_season.compute(sunday) == 0
