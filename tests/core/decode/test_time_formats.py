"""Times are written as they are read."""

from __future__ import annotations

import polars as pl
import pytest

from agent.core.decode.time_formats import parse_formatted, split_format, write_time
from agent.core.model.field_types import TimeFormat

MS = [0, 951_827_696_789, 1_740_990_600_000, 1_761_438_600_500]  # the last: a repeated hour in Oslo
ZONES = ["UTC", "Europe/Oslo", "Asia/Kathmandu"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "form",
    [
        *(TimeFormat(unit=unit) for unit in ("s", "ms", "us", "ns")),
        TimeFormat(format="%Y/%m/%d %H:%M:%S%.3f %z"),
        TimeFormat(format="%d.%m.%Y %I:%M:%S %p %3f %:z"),
    ],
)
def test_a_written_time_is_read_as_the_same(form: TimeFormat, zone: str) -> None:
    written = [write_time(ms, form, zone) for ms in MS]
    us, readable = parse_formatted(pl.Series(written, strict=False), form, zone)
    assert readable.all()
    assert (us // 1000).tolist() == MS


@pytest.mark.parametrize(("zone", "day"), [("UTC", 20_150), ("Asia/Kathmandu", 20_151)])
def test_a_day_is_that_of_the_zone(zone: str, day: int) -> None:
    at_ms = 1_741_028_400_000  # 2025-03-03T19:00Z
    assert write_time(at_ms, TimeFormat(unit="day"), zone) == day


@pytest.mark.parametrize(
    ("format", "parts"),
    [
        ("%Y%m%d %H%M%S", ("%Y%m%d", "%H%M%S")),
        ("%d %b %Y %I:%M %p", ("%d %b %Y", "%I:%M %p")),
        ("%Y-%m-%d", ("%Y-%m-%d", "")),
    ],
)
def test_the_format_of_two_fields_is_split_at_the_time_of_day(
    format: str, parts: tuple[str, str]
) -> None:
    assert split_format(format) == parts
