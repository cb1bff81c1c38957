"""The retailer's year through `replay`: targets and alerts against independent SQL."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from agent.core.model.results import AlertPhase, Transition
from agent.language.load import load
from agent.replay.runner import Replayed, replay, sources

from .answers import answered

pytestmark = pytest.mark.slow  # other oracles have the same kinds of targets and rules

RETAIL = Path(__file__).parents[2] / "examples" / "retail"
DATA = RETAIL / "retail-invoices.ndjson.gz"
NOW_MS = 1_700_000_000_000

EVENTS = f"""
    (select *, date_trunc('week', occurred_at) as week, date_trunc('month', occurred_at) as month,
            epoch_ms(timezone('Europe/London', occurred_at)) as at_ms
     from read_json('{DATA}', format = 'newline_delimited'))"""


@pytest.fixture(scope="module")
def year() -> Replayed:
    plan = load(RETAIL / "rules")
    return replay(plan, sources(plan, [str(DATA)]), NOW_MS)


def ask(query: str) -> list[tuple[object, ...]]:
    return duckdb.connect().execute(query).fetchall()


def test_replay_says_the_same_windows_as_any_other_cut_into_batches(year: Replayed) -> None:
    published = {*year.emitted.windows, *year.open}
    assert published == set(answered(RETAIL / "rules", DATA).published)


def test_every_month_stands_where_sql_says_against_its_target(year: Replayed) -> None:
    expected = ask(f"""
        select case when n < 1200 then 'missed' when n < 1400 then 'at_risk' else 'met' end,
               n / 1200
        from (select month, count(*) as n from {EVENTS} where type = 'invoice.placed'
              group by month order by month limit 12)""")
    actual = [
        (t.state.value, t.attainment)
        for t in year.emitted.targets
        if t.window.kpi == "invoices_placed"
    ]
    assert [state for state, _ in actual] == [state for state, _ in expected]
    assert [a for _, a in actual] == pytest.approx([a for _, a in expected], rel=1e-9)


def test_every_week_of_cancellations_stands_where_sql_says(year: Replayed) -> None:
    expected = ask(f"""
        select epoch_ms(timezone('Europe/London', week)),
               case when rate > 0.18 then 'missed' when rate > 0.15 then 'at_risk' else 'met' end
        from (select week, count_if(type = 'invoice.cancelled') / count(*) as rate from {EVENTS}
              where type in ('invoice.placed', 'invoice.cancelled') group by week) order by 1""")
    actual = [
        (t.window.start_ms, t.state.value)
        for t in year.emitted.targets
        if t.window.kpi == "cancellation_rate" and t.window.events
    ]
    assert actual == expected[: len(actual)]
    assert len(actual) >= 52


def steps(year: Replayed, rule: str) -> list[Transition]:
    return [t for t in year.emitted.transitions if t.rule == rule]


def test_silence_of_five_days_fires_and_ends_when_sql_finds_the_gap(year: Replayed) -> None:
    days_ms = 5 * 86_400_000
    # Events are known to their slice, five minutes for calendar windows: silence lasts from the end
    # of one that holds events to the start of the next that does.
    gaps = ask(f"""
        with seen as (select distinct (at_ms // 300000 + 1) * 300000 as slice_ms
                      from {EVENTS} where type = 'invoice.placed')
        select slice_ms, next_ms from (
            select slice_ms, lead(slice_ms) over (order by slice_ms) - 300000 as next_ms from seen)
        where next_ms - slice_ms > {days_ms}""")
    expected = []
    for last_ms, next_ms in gaps:
        assert isinstance(last_ms, int)
        expected += [(AlertPhase.FIRING, last_ms + days_ms), (AlertPhase.RESOLVED, next_ms)]
    assert [(t.state, t.at_ms) for t in steps(year, "shop_closed")] == expected
    assert len(expected) == 2  # Christmas 2010


@pytest.mark.parametrize(
    ("severity", "fires_above", "clears_below"), [("warning", 0.20, 0.18), ("critical", 0.25, 0.20)]
)
def test_cancellations_alert_in_the_weeks_that_sql_names(
    year: Replayed, severity: str, fires_above: float, clears_below: float
) -> None:
    weeks = ask(f"""
        select epoch_ms(timezone('Europe/London', week + interval 1 week)), rate from (
            select week, count(*) as n, count_if(type = 'invoice.cancelled') / count(*) as rate
            from {EVENTS} where type in ('invoice.placed', 'invoice.cancelled') group by week)
        where n >= 100 and week < date '2011-12-05' order by 1""")
    expected, firing = [], False
    for end_ms, rate in weeks:
        assert isinstance(rate, float)
        if not firing and rate > fires_above:
            firing = True
            expected.append((AlertPhase.FIRING, end_ms))
        elif firing and rate < clears_below:
            firing = False
            expected.append((AlertPhase.RESOLVED, end_ms))
    actual = steps(year, "many_cancellations")
    assert [(t.state, t.at_ms) for t in actual if t.severity == severity] == expected
    assert expected
