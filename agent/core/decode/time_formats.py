"""Parses and writes times in a format that a contract declares: strftime directives, or numbers of
a unit."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import polars as pl

from agent.core.decode.event_time import Flags, Instants, local_offsets, parse_times
from agent.core.decode.time_text import END_MS
from agent.core.model.field_types import EpochUnit, TimeFormat

MICROS_PER_SECOND = 1_000_000
_NANO_DIGITS = 9
_UNITS: dict[EpochUnit, tuple[int, int]] = {
    "s": (1, 1_000),
    "ms": (1, 1_000_000),
    "us": (1, 1_000_000_000),
    "ns": (1, 1_000_000_000_000),
    "day": (86_400, 1_000),
}
"""The factor and the divisor from a number of the unit times 10^9 to microseconds."""
_NUMBER = r"^[+-]?[0-9]{1,20}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?$"
_FIRST_US, _END_US = -62_135_596_800_000_000, 253_402_300_800_000_000
"""The years 1 to 9999."""
_HAS_ZONE = re.compile(r"%(?:z|:z|#z|\+)")
_HAS_CLOCK = re.compile(r"%[-_0]?[HIklTRXrc+]")
_SAMPLE = datetime(2024, 5, 17, 22, 41, 53, tzinfo=UTC)


def parse_event_times(
    times: pl.Series, form: TimeFormat | None, timezone: str
) -> tuple[Instants, Flags]:
    """The event times of a column, in a format or, without one, recognised by
    `event_time.parse_times`."""
    if form is None:
        return parse_times(times, timezone)
    us, readable = parse_formatted(times, form, timezone)
    ms = us // 1000
    readable &= (ms >= 0) & (ms < END_MS)
    ms[~readable] = 0
    return ms, readable


def is_local(form: TimeFormat) -> bool:
    """Whether times in a format have no offset, and are in the contract's zone."""
    return form.unit == "day" or bool(form.format and not _HAS_ZONE.search(form.format))


def parse_formatted(times: pl.Series, form: TimeFormat, timezone: str) -> tuple[Instants, Flags]:
    """The times of a column (String, Int64 or Float64): µs since the epoch, and which are readable.

    Times without an offset, and days (which start at midnight), are in `timezone`. Null is not
    readable, nor are times outside the years 1 to 9999.
    """
    texts = _numbered(times.cast(pl.String)) if form.unit == "day" else times.cast(pl.String)
    at = _of_unit(texts, form.unit) if form.unit else _of_format(texts, form.format or "")
    in_range = at.is_between(_FIRST_US, _END_US, closed="left").fill_null(False)
    us = at.fill_null(0).to_numpy().copy()
    readable = in_range.to_numpy().copy()
    if is_local(form):
        us -= local_offsets(timezone, us // MICROS_PER_SECOND) * MICROS_PER_SECOND
    us[~readable] = 0
    return us, readable


def write_time(at_ms: int, form: TimeFormat, timezone: str) -> int | float | str:
    """A time as `parse_formatted` reads it; what the format leaves out is lost."""
    if form.unit is not None and form.unit != "day":
        times, divided = _UNITS[form.unit]
        number, rest = divmod(at_ms * divided, times * 1_000_000)
        return number if not rest else at_ms / 1000  # seconds have a fraction
    at = pl.Series([at_ms]).cast(pl.Datetime("ms", "UTC")).dt.convert_time_zone(timezone)
    if form.format:
        return str(at.dt.strftime(form.format).item())
    return int(at.dt.date().cast(pl.Int32).item())


def split_format(format: str) -> tuple[str, str]:
    """The formats of the date and of the time of day, which a space separates."""
    clock = _HAS_CLOCK.search(format)
    space = format.rfind(" ", 0, clock.start()) if clock else -1
    return (format, "") if space < 0 else (format[:space], format[space + 1 :])


def format_problem(format: str) -> str | None:
    """What is wrong with a format; None: it can be parsed."""
    if re.search("%f", format):
        return "`%f` is read as nanoseconds: write `%.f` for a fraction and its point, `%3f` alone"
    if re.search("%Z", format):
        return "names of zones can't be read: `%z` is an offset, `timezone` one zone for all"
    if not re.search("%[-_0]?[djFDxcve+]", format):
        return "it has no day"
    try:
        written = pl.Series([_SAMPLE]).dt.strftime(format)
        (read,) = _of_format(written, format).to_list()
    except Exception as cause:
        return str(cause).splitlines()[0]
    return None if read is not None else "times written so can't be read again"


def _numbered(texts: pl.Series) -> pl.Series:
    """Days as numbers. Where the schema says that a number is a day, its text is a date."""
    if not texts.str.contains("-", literal=True).any():
        return texts
    days = texts.str.strptime(pl.Date, "%Y-%m-%d", strict=False).cast(pl.Int32).cast(pl.String)
    return pl.select(pl.coalesce(days, texts)).to_series()


def _of_unit(texts: pl.Series, unit: EpochUnit) -> pl.Series:
    text = pl.when(texts.str.contains(_NUMBER)).then(texts)
    number = text.cast(pl.Decimal(38, _NANO_DIGITS), strict=False).to_physical()
    times, divided = _UNITS[unit]
    return pl.select((number * times // divided).cast(pl.Int64, strict=False)).to_series()


def _of_format(texts: pl.Series, format: str) -> pl.Series:
    dtype = pl.Datetime("us") if _HAS_CLOCK.search(format) else pl.Date
    read = texts.str.strptime(dtype, format, strict=False)
    return read.cast(pl.Datetime("us")).dt.replace_time_zone(None).cast(pl.Int64)
