"""`per: kpi` absence rules: whether any series of a KPI has events, by the slices that frames name.

Minutes are those after 09:00 UTC. The rule fires after five minutes without events.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.evaluate.evaluator import Evaluator
from agent.core.merge.base_kpi import BaseKpi
from agent.core.merge.kpi_absence import KpiAbsence
from agent.core.merge.live_series import series_limit
from agent.core.state.series import Series
from tests.core.simulated import EVENTS, plan_of

MINUTE_MS = 60_000
NINE_MS = 1_760_000_400_000
RULES = f"""{EVENTS}kpis:
  visits: {{from: visit, value: count(*), by: [region], window: 1m}}
rules:
  gone: {{kpi: visits, no_data_for: 5m, per: kpi}}
"""


@pytest.fixture
def absence(tmp_path: Path) -> KpiAbsence:
    plan = plan_of(RULES, tmp_path)
    kpi = plan.kpis["visits"]
    return KpiAbsence(BaseKpi(Evaluator(plan, kpi), series_limit(kpi, 1), False), is_reporter=True)


def note(absence: KpiAbsence, *minutes: int, position: int = 0, is_new: bool = True) -> None:
    absence.note([NINE_MS + minute * MINUTE_MS for minute in minutes], position, is_new)


def advance(absence: KpiAbsence, minute: int) -> list[tuple[int, str]]:
    """Advance the frontier to a minute: the transitions, by minute."""
    frontier_ms = NINE_MS + minute * MINUTE_MS
    absence.state.advance(frontier_ms)
    absence.advance(frontier_ms)
    return [((t.at_ms - NINE_MS) // MINUTE_MS, t.state.value) for t in absence.drain()]


def test_the_rule_fires_after_the_last_slice_with_events_and_resolves_with_the_next(
    absence: KpiAbsence,
) -> None:
    note(absence, 0, 3)
    assert advance(absence, 9) == []  # the slice of minute 3 ends at 4
    assert not absence.changed or absence.series is not None
    assert advance(absence, 10) == [(9, "firing")]
    note(absence, 12)
    assert advance(absence, 13) == [(12, "resolved")]


def test_before_the_first_event_there_is_no_series(absence: KpiAbsence) -> None:
    assert advance(absence, 60) == []
    assert absence.series is None and not absence.changed


def test_transitions_are_drained_once(absence: KpiAbsence) -> None:
    note(absence, 0)
    assert advance(absence, 7) == [(6, "firing")]
    assert absence.drain() == []


@pytest.mark.parametrize(("is_new", "expected"), [(True, [(9, "resolved")]), (False, [])])
def test_new_events_of_a_sealed_slice_count_in_the_oldest_that_is_not(
    absence: KpiAbsence, is_new: bool, expected: list[tuple[int, str]]
) -> None:
    note(absence, 0)
    assert advance(absence, 9) == [(6, "firing")]
    note(absence, 0, is_new=is_new)
    assert advance(absence, 10) == expected


def test_a_restart_needs_the_first_frame_that_names_a_slice_beyond_the_frontier(
    absence: KpiAbsence,
) -> None:
    note(absence, 0, position=4)
    note(absence, 1, position=5)
    note(absence, 0, 1, position=6)  # a newer frame names the same slices again
    assert absence.first_position == 4
    advance(absence, 1)
    assert absence.first_position == 5
    advance(absence, 2)
    assert absence.first_position is None


def test_a_restored_alert_continues(absence: KpiAbsence) -> None:
    note(absence, 0)
    advance(absence, 7)
    row = absence.series
    assert row is not None
    again = KpiAbsence(absence.state, is_reporter=True)
    again.restore(row)
    note(again, 8)
    assert advance(again, 9) == [(8, "resolved")]
    assert isinstance(again.series, Series) and again.series.dimensions is None
