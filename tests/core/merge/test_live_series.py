"""Which series of a KPI exist: live, expiring, expired; and what exceeds the limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.frame import series_key
from agent.core.merge.live_series import LiveSeries, series_limit
from agent.core.model.kpis import OTHER
from agent.core.state.series import Series
from tests.core.small_plans import MINUTE_MS, kpi

EMEA, APAC, AMER = ("emea",), ("apac",), ("amer",)


def live(most: int = 2) -> tuple[LiveSeries, list[Series]]:
    """The series of a KPI that holds so many, and those that began, as they began."""
    began: list[Series] = []
    limited = replace(kpi(), max_series=most, expire_after_ms=10 * MINUTE_MS)
    return LiveSeries(limited, series_limit(limited, 1), began.append), began


def test_a_series_begins_with_its_first_partial() -> None:
    series, began = live()
    assert series.series_for(MINUTE_MS, series_key(EMEA)) == EMEA
    assert series.series_for(2 * MINUTE_MS, series_key(EMEA)) == EMEA
    assert [(series.dimensions, series.first_ms) for series in began] == [(EMEA, MINUTE_MS)]


def test_a_series_begins_earlier_while_nothing_of_it_is_sealed() -> None:
    series, began = live()
    series.series_for(2 * MINUTE_MS, series_key(EMEA))
    assert series.series_for(MINUTE_MS, series_key(EMEA)) == EMEA
    assert series.live[EMEA].first_ms == MINUTE_MS
    assert began == [series.live[EMEA]] * 2


def test_a_partial_of_a_slice_that_a_row_has_sealed_is_not_wanted() -> None:
    series, _ = live()
    restored = Series.new("response_time", "", EMEA, 0)
    restored.seal(0, (1,), 5 * MINUTE_MS)
    series.restore(restored)
    assert series.series_for(4 * MINUTE_MS, series_key(EMEA)) is None
    assert series.series_for(5 * MINUTE_MS, series_key(EMEA)) == EMEA


def test_what_exceeds_the_limit_goes_to_other_and_those_that_are_there_go_on() -> None:
    series, _ = live(2)
    for dimensions in (EMEA, APAC):
        series.series_for(0, series_key(dimensions))
    assert series.series_for(0, series_key(AMER)) == (OTHER,)
    assert series.series_for(0, series_key(EMEA)) == EMEA
    assert series.overflowed == 1
    series.series_for(MINUTE_MS, series_key(AMER))
    assert series.overflowed == 1


def test_what_exceeds_the_limit_counts_once_though_its_frames_are_read_again() -> None:
    series, _ = live(1)
    for dimensions in (EMEA, (OTHER,)):
        restored = Series.new("response_time", "", dimensions, 0)
        restored.seal(0, (1,), 5 * MINUTE_MS)
        series.restore(restored)
    assert series.series_for(4 * MINUTE_MS, series_key(APAC)) is None
    assert series.series_for(5 * MINUTE_MS, series_key(APAC)) == (OTHER,)


@pytest.mark.parametrize(("minutes", "expired"), [(10, []), (11, [EMEA])])
def test_a_series_expires_once_it_had_no_event_for_long(
    minutes: int, expired: list[tuple[str, ...]]
) -> None:
    series, _ = live()
    series.begin(EMEA, 0)
    series.begin(APAC, 5 * MINUTE_MS)
    assert [s.dimensions for s in series.pop_old(minutes * MINUTE_MS)] == expired
    assert sorted(series.live) == sorted({EMEA, APAC} - set(expired))


def test_a_series_that_expired_is_found_until_its_windows_are_read() -> None:
    series, _ = live()
    series.begin(EMEA, 0).keep(MINUTE_MS, 1.0, 3)
    [old] = series.pop_old(60 * MINUTE_MS)
    series.keep_unread(old)
    assert series.drop_read([old]) == set()
    assert series.find(EMEA) is old
    old.drop_read(MINUTE_MS)
    assert series.drop_read([]) == {EMEA}
    assert series.find(EMEA) is None


def test_a_series_that_comes_again_has_the_windows_that_were_not_read() -> None:
    series, _ = live()
    series.begin(EMEA, 0).keep(MINUTE_MS, 1.0, 3)
    [old] = series.pop_old(60 * MINUTE_MS)
    series.keep_unread(old)
    series.series_for(90 * MINUTE_MS, series_key(EMEA))
    assert series.live[EMEA].unread == {MINUTE_MS: (1.0, 3)}
    assert series.expired == {}


@pytest.mark.parametrize(("partitions", "placement", "most"), [(1, None, 10), (4, None, 3)])
def test_each_state_partition_has_its_share_of_the_limit(
    partitions: int, placement: None, most: int
) -> None:
    limit = series_limit(replace(kpi(), placement=placement), partitions)
    assert not limit.is_reached(most - 1)
    assert limit.is_reached(most)


def test_the_limit_of_bytes_is_reached_by_what_rows_hold() -> None:
    full = replace(kpi(), max_state_bytes=100)
    assert not series_limit(full, 1, lambda: 99).is_reached(0)
    assert series_limit(full, 1, lambda: 100).is_reached(0)
