"""Dates as they are written, and the targets that begin on them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from agent.core.evaluate.targets import target_of
from agent.core.model.kpis import Target, TargetOverride
from agent.language.load import load
from agent.language.models import dates

DAYS = st.dates(date(1900, 1, 1), date(2200, 12, 31))


@given(DAYS)
def test_each_way_of_writing_a_date_names_its_first_day(day: date) -> None:
    # strftime and timedelta are the reference: only they say what a week or a quarter is.
    quarter = (day.month - 1) // 3 + 1
    monday = day - timedelta(days=day.weekday())
    assert dates.first_day(day.isoformat()) == day
    assert dates.first_day(day.strftime("%Y")) == day.replace(month=1, day=1)
    assert dates.first_day(day.strftime("%Y-%m")) == day.replace(day=1)
    first_of_quarter = day.replace(month=3 * quarter - 2, day=1)
    assert dates.first_day(f"{day.year}-Q{quarter}") == first_of_quarter
    if 1900 <= int(day.strftime("%G")) <= 2200:
        assert dates.first_day(day.strftime("%G-W%V")) == monday


@given(st.text(alphabet="0123456789-QWqw/. ", max_size=12))
def test_what_is_no_date_is_refused_with_a_way_out(text: str) -> None:
    try:
        day = dates.first_day(text)
    except PydanticCustomError as error:
        assert text in error.message() and error.context and error.context["hint"]
    else:
        assert dates.first_day(day.isoformat()) == day


@pytest.mark.parametrize(("text", "minutes"), [("00:00", 0), ("02:30", 150), ("23:59", 1439)])
def test_times_of_the_day(text: str, minutes: int) -> None:
    assert dates.clock(text) == minutes


@pytest.mark.parametrize("text", ["24:00", "2:00", "02:60", "02.00", "02:00:00", ""])
def test_what_is_no_time_of_the_day_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        dates.clock(text)


def test_targets_begin_at_midnight_of_the_kpis_zone(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        """
        defaults: {timezone: America/New_York}
        events: {paid: {topic: shop, time: at, fields: {amount: float, city: string}}}
        kpis:
          takings:
            from: paid
            value: sum(amount)
            by: [city]
            window: 1h
            target: [{at_least: 1}, {from: 2027-Q1, at_least: 2}, {from: 2027-W14, at_least: 3}]
            overrides: [{match: {city: Oslo}, target: [{from: 2027-02, at_least: 4}]}]
          daily: {from: paid, value: count(*), window: day, timezone: Europe/Oslo,
                  target: [{from: 2027, at_least: 5}]}
          share: {from: [takings], value: takings / 2, target: [{from: 2027, at_least: 6}]}
        """
    )
    plan = load(tmp_path)

    def ms(zone: str, text: str) -> int:
        at = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
        return int(at.astimezone(UTC).timestamp() * 1000)

    york = "America/New_York"
    assert plan.kpis["takings"].target == Target(at_least=1)
    assert plan.kpis["takings"].overrides == (
        TargetOverride({}, Target(at_least=2), ms(york, "2027-01-01"), "2027-Q1"),
        TargetOverride({}, Target(at_least=3), ms(york, "2027-04-05"), "2027-W14"),
        TargetOverride({"city": "Oslo"}, Target(at_least=4), ms(york, "2027-02-01"), "2027-02"),
    )
    daily = plan.kpis["daily"]
    begins = ms("Europe/Oslo", "2027-01-01")
    assert [target_of(daily, (), at) for at in (begins - 1, begins)] == [None, Target(at_least=5)]
    assert plan.kpis["share"].overrides[0].from_ms == ms(york, "2027-01-01")
