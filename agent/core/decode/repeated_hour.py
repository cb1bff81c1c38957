"""Finds local times without an offset that occur twice, because clocks go back over them.

`parse_event_times` reads such a time as the first of the two; the record alone does not say which
is meant. This module finds these records, and how much later the second time is;
`agent.core.fold.repeated_hour` decides.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.decode.time_formats import is_local
from agent.core.decode.time_text import parse_time
from agent.core.model.field_types import TimeFormat

Span = tuple[int, int, int]
"""The first of two hours with the same local times: start and end (ms), and how much later the
second one is (ms)."""

_DAY_SECONDS = 86_400
_LAST_YEAR = 9998
_ELSEWHERE = ("UTC", "Asia/Tokyo")
"""Two zones that never have the same time: only times without an offset differ between them."""


def repeated_hours(
    times: pl.Series,
    form: TimeFormat | None,
    ms: npt.NDArray[np.int64],
    readable: npt.NDArray[np.bool_],
    timezone: str,
) -> dict[int, int]:
    """The indices of the times that occur twice, with how much later (ms) the second time is.

    `ms` is the result of `parse_event_times` for `times`: the first of the two.
    """
    if timezone == "UTC" or times.dtype != pl.String or not readable.any():
        return {}
    if form is not None and not is_local(form):
        return {}
    known = ms[readable]
    later: dict[int, int] = {}
    for start, end, later_ms in _spans(timezone, int(known.min()), int(known.max())):
        for index in np.flatnonzero(readable & (ms >= start) & (ms < end)).tolist():
            text = str(times[index])
            if form is not None or len({parse_time(text, zone) for zone in _ELSEWHERE}) > 1:
                later[index] = later_ms
    return later


def _spans(timezone: str, first_ms: int, last_ms: int) -> Sequence[Span]:
    """The spans that overlap a period."""
    first, last = (datetime.fromtimestamp(at / 1000, UTC).year for at in (first_ms, last_ms))
    years = range(first, min(last, _LAST_YEAR) + 1)
    spans = (span for year in years for span in _of_year(timezone, year))
    return [span for span in spans if first_ms < span[1] and span[0] <= last_ms]


@lru_cache(maxsize=4096)
def _of_year(timezone: str, year: int) -> tuple[Span, ...]:
    """The spans of a year, each before an instant at which the zone's clocks go back."""
    zone = ZoneInfo(timezone)
    begin = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp())

    def offset(at: int) -> int:
        moved = datetime.fromtimestamp(at, zone).utcoffset()
        return 0 if moved is None else int(moved.total_seconds())

    hours = []
    for day in range(begin, end, _DAY_SECONDS):
        before, after = offset(day), offset(day + _DAY_SECONDS)
        if after < before:
            seconds = range(day, day + _DAY_SECONDS + 1)
            change = seconds[bisect_left(seconds, True, key=lambda at: offset(at) < before)]
            back = before - after
            hours.append(((change - back) * 1000, change * 1000, back * 1000))
    return tuple(hours)
