"""One rule of each kind over the retailer's year: when its alerts fire and end, computed twice.

The second time, windows and sums come from DuckDB over the raw events, slopes and tests from scipy
and pymannkendall, and an alert's life from ten lines that read as the documents do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pymannkendall
import pytest
from scipy import stats

from agent.core.model.results import AlertPhase, Emitted
from agent.language.load import load
from agent.replay.runner import replay, sources

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "examples" / "retail" / "retail-invoices.ndjson.gz"
NOW_MS = 1_700_000_000_000
DAY = 86_400_000
WEEK = 7 * DAY

Series = tuple[str, ...]
Steps = list[tuple[Series, int, str]]
"""Series, instant (ms) and `firing` or `resolved`."""


class Day(NamedTuple):
    """A window: its bounds in ms, its value, and its number of events."""

    start: int
    end: int
    value: float | None
    events: int


@pytest.fixture(scope="module")
def emitted() -> Emitted:
    """All that the agent says of the year."""
    plan = load(HERE / "rules_kinds")
    return replay(plan, sources(plan, [str(DATA)]), NOW_MS).emitted


@pytest.fixture(scope="module")
def published(emitted: Emitted) -> dict[str, Steps]:
    """What the agent says of its alerts, by rule."""
    by_rule: dict[str, Steps] = {name: [] for name in load(HERE / "rules_kinds").rules}
    for t in emitted.transitions:
        if t.state in (AlertPhase.FIRING, AlertPhase.RESOLVED):
            series = tuple(str(d) for d in t.dimensions)
            by_rule[t.rule].append((series, t.at_ms, t.state.value))
    return {name: sorted(steps) for name, steps in by_rule.items()}


@pytest.fixture(scope="module")
def db() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute(f"""create table events as
        select *, epoch_ms(timezone('Europe/London', occurred_at)) as at_ms
        from read_json('{DATA}', format = 'newline_delimited')""")
    made.execute("create view placed as select * from events where type = 'invoice.placed'")
    return made


def windows(db: duckdb.DuckDBPyConnection, unit: str, value: str, of: str = "placed") -> list[Day]:
    """Every window, by the London calendar, from the first event to what is settled an hour
    before the last one. Those without events are there, too."""
    rows = db.execute(f"""
        with span as (select date_trunc('{unit}', min(occurred_at)) as a,
                             max(occurred_at) - interval 1 hour as z from {of}),
        steps as (select unnest(generate_series(a, z, interval 1 {unit})) as t from span)
        select epoch_ms(timezone('Europe/London', t)),
               epoch_ms(timezone('Europe/London', t + interval 1 {unit})), {value}, count(units)
        from steps left join {of} on date_trunc('{unit}', occurred_at) = t
        where t + interval 1 {unit} <= (select z from span)
        group by t order by t""").fetchall()
    return [Day(*row) for row in rows]


def keep(db: duckdb.DuckDBPyConnection, table: str, days: Sequence[Day]) -> None:
    """Windows as a table that more can be asked of."""
    db.execute(
        f"""create or replace table {table} as
        select unnest(?::bigint[]) as finish, unnest(?::double[]) as value""",
        [[d.end for d in days], [d.value for d in days]],
    )


def life(
    evaluated: Iterable[tuple[int, bool | None, bool | None]],
    series: Series = (),
    hold: int = 0,
    keep_firing: int = 0,
    step: int = DAY,
) -> Steps:
    """An alert's life: pending while `when` holds, firing after `hold`; over once `clear` has held
    for `keep_firing`. What is not known changes nothing, and its time doesn't count: an answer is
    for `step` at most."""
    steps: Steps = []
    firing, held, clear_ms, last = False, None, None, 0
    for at, when, clear in evaluated:
        if when is None:
            continue
        gone, last = min(at - last, step), at
        if when:
            held = 0 if held is None else held + gone
            clear_ms = None
            if not firing and held >= hold:
                firing = True
                steps.append((series, at, "firing"))
        elif not firing:
            held = None
        elif not clear:
            clear_ms = None
        else:
            clear_ms = 0 if clear_ms is None else clear_ms + gone
            if clear_ms >= keep_firing:
                firing, held, clear_ms = False, None, None
                steps.append((series, at, "resolved"))
    return steps


def evaluated(
    days: Sequence[Day], when: Callable[[int], bool | None], series: Series = ()
) -> Steps:
    """The life of an alert that is over when its condition no longer holds."""
    answers = [(d.end, when(i)) for i, d in enumerate(days)]
    return life([(end, a, None if a is None else not a) for end, a in answers], series)


def within(days: Sequence[Day], last: int, span: int) -> list[Day]:
    """The windows up to the `last` that end within a span before its end, by the clock."""
    return [d for d in days[: last + 1] if d.end > days[last].end - span + 2 * DAY // 24]


def line(days: Sequence[Day]) -> tuple[float, float, float]:
    """Slope a day and height at the last window's end, and the median; flat where no trend is."""
    y = np.array([d.value for d in days], float)
    x = np.array([(d.end - days[-1].end) / DAY for d in days])
    if not pymannkendall.original_test(y, alpha=0.05).h:
        return 0.0, float(np.median(y)), float(np.median(y))
    fit: Any = stats.theilslopes(y, x)
    return float(fit[0]), float(fit[1]), float(np.median(y))


def same(published: dict[str, Steps], rule: str, expected: Steps) -> None:
    assert published[rule] == sorted(expected)
    assert any(state == "resolved" for _, _, state in expected), "no whole episode: it shows little"


def test_change_against_a_week_ago(
    published: dict[str, Steps], db: duckdb.DuckDBPyConnection
) -> None:
    keep(db, "days", windows(db, "day", "count(units)"))
    rows = db.execute("""select finish, (value - week_ago) / nullif(week_ago, 0) < -0.4 from
        (select finish, value, lag(value, 7) over (order by finish) as week_ago from days)
        order by finish""").fetchall()
    same(
        published,
        "change_in_a_week",
        life([(t, w, None if w is None else not w) for t, w in rows]),
    )


def test_change_against_the_window_before(
    published: dict[str, Steps], db: duckdb.DuckDBPyConnection
) -> None:
    keep(db, "weeks", windows(db, "week", "count(units)"))
    rows = db.execute("""select finish, value - lag(value) over (order by finish) < -50
        from weeks order by finish""").fetchall()
    same(published, "change_at_once", life([(t, w, None if w is None else not w) for t, w in rows]))


def test_declining(published: dict[str, Steps], db: duckdb.DuckDBPyConnection) -> None:
    keep(db, "weeks", windows(db, "week", "count(units)"))
    rows = db.execute("""select finish, value < a and a < b and b < c from (select *,
            lag(value) over w as a, lag(value, 2) over w as b, lag(value, 3) over w as c
            from weeks window w as (order by finish))
        where c is not null order by finish""").fetchall()
    same(published, "declining", life([(t, w, not w) for t, w in rows]))


def test_trend(published: dict[str, Steps], db: duckdb.DuckDBPyConnection) -> None:
    weeks = windows(db, "week", "count(units)")

    def when(i: int) -> bool | None:
        known = within(weeks, i, 8 * WEEK)
        if len(known) < 5:
            return None
        steep, _, middle = line(known)
        return steep / middle > 0.02 / 7

    same(published, "trend", evaluated(weeks, when))


def test_breach(published: dict[str, Steps], db: duckdb.DuckDBPyConnection) -> None:
    weeks = windows(db, "week", "count(units)")

    def when(i: int) -> bool | None:
        if (weeks[i].value or 0) < 240:
            return True
        known = within(weeks, i, 16 * WEEK)
        if known[-1].end - known[0].end < 7 * WEEK - DAY // 24:  # half of the history, less one
            return None
        steep, height, _ = line(known)
        return min(height, height + steep * 28) < 240

    same(published, "breach", evaluated(weeks, when))


def test_anomaly(published: dict[str, Steps], db: duckdb.DuckDBPyConnection) -> None:
    days = windows(db, "day", "count(units)")
    steps: Steps = []
    incidents: set[int] = set()

    def usable(after: int, upto: int) -> list[tuple[int, float]]:
        rows = [(i, d.value or 0.0) for i, d in enumerate(days) if after < d.end <= upto]
        undisturbed = [row for row in rows if row[0] not in incidents]
        return undisturbed if 2 * len(undisturbed) >= len(rows) else rows

    def spread(values: list[float]) -> float:
        mad = float(stats.median_abs_deviation(values, scale="normal"))
        middle = np.median(values)
        return mad or float(np.mean(np.abs(np.array(values) - middle))) * float(np.sqrt(np.pi / 2))

    firing = False
    for i, day in enumerate(days):
        mine = [v for j, v in usable(day.end - 35 * DAY, day.end - 1) if (i - j) % 7 == 0]
        if len(mine) >= 3:
            week: dict[int, list[float]] = {}
            for j, v in usable(day.start - 35 * DAY, day.start):
                week.setdefault(j % 7, []).append(v)
            usual = float(np.median([spread(vs) for vs in week.values() if len(vs) >= 3] or [0.0]))
            centre = float(np.median(mine))
            apart = abs((day.value or 0.0) - centre)
            wide = max(spread(mine), usual, 1e-9 * centre)
            odd = apart > 0 and (wide == 0 or apart / wide > 4)
            if odd != firing:
                firing = odd
                steps.append(((), day.end, "firing" if odd else "resolved"))
        if firing:
            incidents.add(i)
    same(published, "anomaly", steps)


def test_burn_rate(published: dict[str, Steps], db: duckdb.DuckDBPyConnection) -> None:
    days = windows(db, "day", "count_if(type <> 'invoice.placed')", "events")

    def rate(i: int, span: int) -> float | None:
        known = within(days, i, span)
        events = sum(d.events for d in known)
        return sum(d.value or 0 for d in known) / events / 0.15 if events else None

    def when(i: int) -> bool | None:
        rates = (rate(i, 7 * DAY), rate(i, DAY))
        if any(r is not None and r <= 1.2 for r in rates):
            return False
        return None if None in rates else True

    same(published, "burn", evaluated(days, when))


def months(db: duckdb.DuckDBPyConnection) -> list[tuple[int, int]]:
    return db.execute("""select epoch_ms(timezone('Europe/London', t)),
        epoch_ms(timezone('Europe/London', t + interval 1 month)) from (select unnest(
        generate_series(timestamp '2010-12-01', timestamp '2011-12-01', interval 1 month)) as t)
        order by t""").fetchall()


def total(days: Sequence[Day], after: int, upto: int) -> float:
    return sum(d.value or 0.0 for d in days if after < d.end <= upto)


def test_pace_by_line(published: dict[str, Steps], db: duckdb.DuckDBPyConnection) -> None:
    days = windows(db, "day", "count(units)")
    calendar = months(db)

    def when(i: int) -> bool | None:
        end = days[i].end
        a, z = next(m for m in calendar if m[0] < end <= m[1])
        gone = (end - a) / (z - a)
        return total(days, a, end) / gone < 1500 if gone >= 0.05 else None

    same(published, "pace_by_line", evaluated(days, when))


LONDON = ZoneInfo("Europe/London")


def calendar_days(start: int, end: int) -> int:
    """How many days lie between two midnights of London."""
    first, last = (datetime.fromtimestamp(at / 1000, LONDON).date() for at in (start, end))
    return (last - first).days


def after(start: int, days: int) -> int:
    """The midnight so many days later."""
    day = datetime.fromtimestamp(start / 1000, LONDON).date() + timedelta(days=days)
    return round(datetime.combine(day, time(), LONDON).timestamp() * 1000)


def test_pace_by_the_shape_of_three_months(
    published: dict[str, Steps], db: duckdb.DuckDBPyConnection
) -> None:
    days = windows(db, "day", "sum(units)")
    calendar = months(db)

    def when(i: int) -> bool | None:
        end = days[i].end
        at = next(k for k, m in enumerate(calendar) if m[0] < end <= m[1])
        a, z = calendar[at]
        if at < 3:
            return None
        gone = calendar_days(a, end) / calendar_days(a, z)
        due = np.mean(
            [
                total(days, p, after(p, math.floor(gone * calendar_days(p, q) + 1e-9)))
                / total(days, p, q)
                for p, q in calendar[at - 3 : at]
            ]
        )
        return bool(total(days, a, end) / due < 400_000) if due >= 0.05 else None

    same(published, "pace_by_shape", evaluated(days, when))


def test_a_series_apart_from_its_group(
    published: dict[str, Steps], db: duckdb.DuckDBPyConnection
) -> None:
    settled = windows(db, "week", "0")[-1].end
    rows = db.execute(f"""
        with baskets as (
            select country, epoch_ms(timezone('Europe/London', week + interval 1 week)) as finish,
                   avg(units) as value
            from (select *, date_trunc('week', occurred_at) as week from placed)
            group by country, week),
        groups as (
            select finish, median(value) as middle, mad(value) as wide, count(*) as members
            from baskets group by finish)
        select country, finish, abs(value - middle) / (wide / 0.6744897501960817) > 8
        from baskets join groups using (finish)
        where members >= 4 and finish <= {settled} order by country, finish""").fetchall()
    expected: Steps = []
    for country in sorted({row[0] for row in rows}):
        mine = [(t, w, not w) for c, t, w in rows if c == country]
        expected += life(mine, (country,))
    same(published, "apart", expected)


def test_a_threshold_with_all_that_goes_with_it(
    published: dict[str, Steps], db: duckdb.DuckDBPyConnection
) -> None:
    days = windows(db, "day", "count_if(type = 'invoice.cancelled') / count(units)", "events")
    known = [(d.end, d.value) for d in days if d.events >= 30 and d.value is not None]
    rows = [(end, value > 0.2, value < 0.18) for end, value in known]
    same(published, "threshold", life(rows, hold=DAY, keep_firing=2 * DAY))


def test_absence(published: dict[str, Steps], db: duckdb.DuckDBPyConnection) -> None:
    # Events are known to their slice of five minutes.
    rows = db.execute(f"""
        with seen as (select distinct country, at_ms // 300000 * 300000 as slice_ms from placed),
        settled as (select max(at_ms) - 3600000 as now_ms from placed)
        select country, slice_ms + 300000 + {60 * DAY}, next_ms from (
            select *, lead(slice_ms) over (partition by country order by slice_ms) as next_ms
            from seen), settled
        where coalesce(next_ms, now_ms) > slice_ms + 300000 + {60 * DAY}""").fetchall()
    expected: Steps = []
    for country, fires, ends in rows:
        expected.append(((country,), fires, "firing"))
        if ends is not None:
            expected.append(((country,), ends, "resolved"))
    same(published, "absence", expected)


def test_a_composite(published: dict[str, Steps], db: duckdb.DuckDBPyConnection) -> None:
    # Its inputs have been computed again above; here is when one fires while the other does not.
    rows = [
        (rule, at, 1 if state == "firing" else -1)
        for rule in ("change_in_a_week", "threshold")
        for _, at, state in published[rule]
    ]
    db.execute(
        """create or replace table steps as select unnest(?::varchar[]) as rule,
            unnest(?::bigint[]) as at_ms, unnest(?::integer[]) as step""",
        list(map(list, zip(*rows, strict=True))),
    )
    episodes = db.execute(f"""
        with at_once as (
            select at_ms, coalesce(sum(step) filter (where rule = 'change_in_a_week'), 0) as change,
                       coalesce(sum(step) filter (where rule = 'threshold'), 0) as other
            from steps group by at_ms),
        standing as (
            select at_ms, sum(change) over past > 0 and sum(other) over past = 0 as holds
            from at_once window past as (order by at_ms)),
        turns as (
            select *, lead(at_ms) over (order by at_ms) as ends from (
                select *, lag(holds, 1, false) over (order by at_ms) as before from standing)
            where holds <> before)
        select at_ms + {DAY // 4}, ends from turns
        where holds and (ends is null or ends > at_ms + {DAY // 4})""").fetchall()
    expected: Steps = []
    for fires, ends in episodes:
        expected += [((), fires, "firing"), ((), ends, "resolved")]
    same(published, "together", expected)


def states(emitted: Emitted, kpi: str) -> list[tuple[str | None, int, str]]:
    """Series, end and state of each window of a KPI that has events."""
    return sorted(
        (str(t.window.dimensions[0]) if t.window.dimensions else None, t.window.end_ms, t.state)
        for t in emitted.targets
        if t.window.kpi == kpi and t.window.events
    )


def test_a_target_that_is_the_median_of_all(
    emitted: Emitted, db: duckdb.DuckDBPyConnection
) -> None:
    settled = windows(db, "week", "0")[-1].end
    expected = db.execute(f"""
        with baskets as (
            select country, epoch_ms(timezone('Europe/London', week + interval 1 week)) as finish,
                   avg(units) as value
            from (select *, date_trunc('week', occurred_at) as week from placed)
            group by country, week)
        select country, finish, case when value >= median(value) over (partition by finish)
                                then 'met' else 'missed' end
        from baskets where finish <= {settled} order by country, finish""").fetchall()
    assert states(emitted, "basket_held") == expected


def test_a_target_by_calendar(emitted: Emitted, db: duckdb.DuckDBPyConnection) -> None:
    settled = windows(db, "week", "0")[-1].end
    expected = db.execute(f"""
        with weeks as (
            select date_trunc('week', occurred_at) as week, count(*) as n from placed group by week)
        select null, epoch_ms(timezone('Europe/London', week + interval 1 week)) as finish,
            case when week >= date '2011-09-05'
                 then case when n not between 400 and 700 then 'missed'
                           when n not between 450 and 600 then 'at_risk' else 'met' end
                 when week >= date '2011-04-01'
                 then case when n > 350 then 'missed' else 'met' end
                 else case when n < 280 then 'missed' when n < 320 then 'at_risk' else 'met' end
            end
        from weeks where finish <= {settled} order by finish""").fetchall()
    actual = states(emitted, "orders_planned")
    assert actual == expected
    assert {state for _, _, state in actual} == {"met", "at_risk", "missed"}


def test_how_far_a_target_is_attained(emitted: Emitted, db: duckdb.DuckDBPyConnection) -> None:
    rows = db.execute("""
        with weeks as (
            select date_trunc('week', occurred_at) as week, count(*) as n from placed group by week)
        select epoch_ms(timezone('Europe/London', week + interval 1 week)),
            case when week >= date '2011-09-05'
                 then case when n < 400 then n / 400 when n > 700 then 700 / n else 1 end
                 when week >= date '2011-04-01' then 350 / n else n / 280 end
        from weeks""").fetchall()
    expected = dict(rows)
    published = [t for t in emitted.targets if t.window.kpi == "orders_planned" and t.window.events]
    assert len(published) > 50
    for t in published:
        assert t.attainment == pytest.approx(expected[t.window.end_ms], rel=1e-12)
