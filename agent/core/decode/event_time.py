"""Parses columns of times: text and numbers to integer ms or µs since the epoch (UTC).

`agent.core.decode.time_text` defines the accepted forms and parses one value. Columns have the same
results; values of a common shape are parsed together.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.decode.time_text import (
    COMPACT_END,
    COMPACT_FIRST,
    END_MS,
    ISO,
    LEAST_SECONDS,
    MAX_LENGTH,
    MICROSECONDS_BELOW,
    MILLISECONDS_BELOW,
    NUMBER,
    PER_SECOND,
    SECONDS_BELOW,
    Digits,
    instant_of,
    offset_seconds,
)

Instants = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_Bytes = npt.NDArray[np.uint8]

_INTEGER = r"^-?[0-9]+$"
_DECIMAL = r"^-?[0-9]+\.[0-9]+$"
# A batch of one producer has one or two shapes; beyond this many, values are parsed one by one.
_MAX_SHAPES = 16
_DATE_LENGTH, _TIME_LENGTH = 8, 14
_COMPACT_TIME = "^(?:19|20)[0-9]{12}$"
_BUCKET_SECONDS = 900
_YEAR_1 = -62_135_596_800


def parse_times(times: pl.Series, timezone: str) -> tuple[Instants, Flags]:
    """Event times of a column (String, Int64 or Float64; other types are never times).

    Returns ms since the epoch (int64, 0 if not readable) and whether each was readable. Null is not
    readable, nor are times before 1970 or after 9999.
    """
    reading = _Reading(len(times), timezone, 3)
    if times.dtype == pl.Int64:
        reading.fill_integers(times)
    elif times.dtype == pl.Float64:
        reading.fill_floats(times)
    elif times.dtype == pl.String:
        reading.fill_text(times)
    ms, readable = reading.at, reading.readable
    if not readable.all() or (ms.size and (ms.min() < 0 or ms.max() >= END_MS)):
        readable &= (ms >= 0) & (ms < END_MS)
        ms[~readable] = 0
    return ms, readable


def parse_instants(texts: pl.Series, timezone: str) -> tuple[Instants, Flags]:
    """Times of a String column, from the year 1 to 9999.

    Returns µs since the epoch (int64) and whether each was readable; null is not readable.
    """
    reading = _Reading(len(texts), timezone, 6)
    reading.fill_text(texts)
    return reading.at, reading.readable


class _Reading:
    """A column of times while it is parsed, into `at` (ms or µs) and `readable`."""

    __slots__ = ("_per_second", "_timezone", "at", "digits", "readable")

    def __init__(self, size: int, timezone: str, digits: Digits) -> None:
        self._timezone = timezone
        self.digits: Digits = digits
        self._per_second = PER_SECOND[digits]
        self.at: Instants = np.zeros(size, dtype=np.int64)
        self.readable: Flags = np.zeros(size, dtype=np.bool_)

    def fill_integers(self, times: pl.Series) -> None:
        """Parse a column of integers: epoch numbers, and dates of eight digits."""
        self._fill_epochs(times, slice(None))
        if self.readable.all():
            return
        values = times.fill_null(-1).to_numpy()
        may_be_dates = (values >= LEAST_SECONDS // 10) & (values < LEAST_SECONDS)
        may_be_dates |= _are_compact(values)
        for row in np.flatnonzero(may_be_dates).tolist():
            date = instant_of(str(values[row]), self._timezone, self.digits)
            if date is not None:
                self.at[row], self.readable[row] = date, True

    def _fill_epochs(self, times: pl.Series, where: Any) -> None:
        """Parse epoch numbers. A text with leading zeros is one, and never a date."""
        values = _filled(times, -1)
        finer = self._per_second // 1000
        if values.size and values.min() >= SECONDS_BELOW and values.max() < COMPACT_FIRST:
            self.at[where], self.readable[where] = values * finer, True  # what most producers write
            return
        at = self._scaled(values, 0, 0)
        good = ((values >= LEAST_SECONDS) & ~_are_compact(values)) | (values == 0)
        self.at[where], self.readable[where] = at, good

    def _scaled(self, values: Any, of_second: Any, of_millisecond: Any) -> Instants:
        """Whole epoch numbers, whose unit follows from their magnitude, in the requested unit, plus
        the fraction of a second or of a millisecond."""
        finer = self._per_second // 1000
        seconds = np.where(values < SECONDS_BELOW, values, 0) * self._per_second + of_second
        milliseconds = np.where(values < MILLISECONDS_BELOW, values, 0) * finer + of_millisecond
        per_unit = np.where(values < MICROSECONDS_BELOW, 1000 // finer, 1_000_000 // finer)
        rest = np.where(values < MILLISECONDS_BELOW, milliseconds, values // per_unit)
        scaled: Instants = np.where(values < SECONDS_BELOW, seconds, rest)
        return scaled

    def fill_floats(self, times: pl.Series) -> None:
        """Parse epoch numbers, truncated to the millisecond of their shortest decimal form."""
        values = times.fill_null(-1.0).to_numpy()
        good = ((values >= LEAST_SECONDS) & (values < 1e20)) | (values == 0)
        good &= ~_are_compact(values)
        values = np.where(good, values, 0.0)
        seconds = np.where(values < SECONDS_BELOW, values, 0.0)
        # 1700000000.123 * 1000 may be slightly too small.
        nearest = np.rint(seconds * 1000)
        as_seconds = np.where(nearest / 1000 == seconds, nearest, np.floor(seconds * 1000))
        finer = np.where(values < MICROSECONDS_BELOW, values / 1000, values / 1_000_000)
        rest = np.floor(np.where(values < MILLISECONDS_BELOW, values, finer))
        self.at[:] = np.where(values < SECONDS_BELOW, as_seconds, rest).astype(np.int64)
        self.readable[:] = good

    def _fill_decimals(self, values: pl.Series, where: Any) -> None:
        parts = values.str.split_exact(".", 1).struct.unnest()
        whole = parts["field_0"].cast(pl.Int64).to_numpy()
        decimals = parts["field_1"]
        of_second, of_millisecond = (
            decimals.str.slice(0, digits).str.pad_end(digits, "0").cast(pl.Int64).to_numpy()
            for digits in (self.digits, 3)
        )
        of_millisecond = of_millisecond * (self.digits == 6)
        is_zero = (whole == 0) & (decimals.str.strip_chars("0") == "").to_numpy()
        self.at[where] = self._scaled(whole, of_second, of_millisecond) * (whole != 0)
        self.readable[where] = (whole >= LEAST_SECONDS) | is_zero

    def fill_text(self, times: pl.Series) -> None:
        """Parse texts: values of one length and shape together, all others one by one."""
        lengths = _filled(times.str.len_bytes(), 0)
        mixed = lengths.size and lengths.min() != lengths.max()
        left: list[npt.NDArray[np.intp]] = []
        for length in (np.unique(lengths) if mixed else lengths[:1]).tolist():
            if length == 0:
                continue  # null or "": not readable
            rows = np.flatnonzero(lengths == length)
            values = times if rows.size == lengths.size else times.gather(rows)
            if length > MAX_LENGTH:
                left.append(rows)
            elif not self._fill_numbers(values, rows):
                left.append(self._fill_shapes(values, rows))
        known: dict[str, int | None] = {}  # dates are often repeated
        for rows in left:
            for row, text in zip(rows.tolist(), times.gather(rows).to_list(), strict=True):
                if text not in known:
                    known[text] = instant_of(text, self._timezone, self.digits)
                if (at := known[text]) is not None:
                    self.at[row], self.readable[row] = at, True

    def _fill_numbers(self, values: pl.Series, rows: Any) -> bool:
        """Parse the values if all of them are epoch numbers; returns whether they are."""
        first = values[0]
        is_date = len(first) == _DATE_LENGTH or (
            len(first) == _TIME_LENGTH and values.str.contains(_COMPACT_TIME).any()
        )
        if not NUMBER.fullmatch(first) or len(first) > 19 or is_date:
            return False
        if first.isdigit() and first[0] != "0":
            numbers = values.cast(pl.Int64, strict=False)
            # A smaller number of the same length has a sign or a leading zero.
            if not numbers.null_count() and int(numbers.min()) >= 10 ** (len(first) - 1):  # type: ignore[arg-type]
                self._fill_epochs(numbers, rows)
                return True
        if len(first) > 18:
            return False  # it may not fit 64 bits
        if values.str.contains(_INTEGER).all():
            self._fill_epochs(values.cast(pl.Int64), rows)
            return True
        if values.str.contains(_DECIMAL).all():
            self._fill_decimals(values, rows)
            return True
        return False

    def _fill_shapes(self, values: pl.Series, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Parse values of one length shape by shape; returns the rows without a known shape, and
        those that are not a regular time of their shape."""
        width = values.str.len_bytes()[0]
        text = np.frombuffer(values.str.join("").item().encode(), dtype=np.uint8)
        columns = np.ascontiguousarray(text.reshape(len(values), width).T)
        left = [rows[:0]]
        for _ in range(_MAX_SHAPES):
            shape = columns[:, 0]
            fits = _fits(columns, shape)
            everything = bool(fits.all())
            target = rows if everything else rows[fits]
            match = ISO.fullmatch(shape.tobytes().decode("latin-1"))
            if match is None:
                left.append(target)
            else:
                chosen = columns if everything else columns[:, fits]
                self.at[target], valid = self._read_shape(chosen, match)
                self.readable[target] = valid
                if not valid.all():
                    left.append(target[~valid])
            if everything:
                return np.concatenate(left)
            rows, columns = rows[~fits], columns[:, ~fits]
        return np.concatenate([*left, rows])

    def _read_shape(self, columns: _Bytes, match: re.Match[str]) -> tuple[Instants, Flags]:
        local_seconds, fraction, valid = _clock(columns, match, self.digits)
        if match["zone"] is None:
            offset = local_offsets(self._timezone, local_seconds)
        else:
            offset = _zone_offset(columns, match, valid)
        return (local_seconds - offset) * self._per_second + fraction, valid


def _fits(columns: _Bytes, shape: _Bytes) -> Flags:
    """Which values have digits where the shape has digits, and the same characters elsewhere."""
    digits = (shape - np.uint8(48)) < 10
    same_digits = ((columns[digits] - np.uint8(48)) < 10).all(axis=0)
    same_signs = (columns[~digits] == shape[~digits, None]).all(axis=0)
    fits: Flags = same_digits & same_signs
    return fits


def _pair(columns: _Bytes, span: tuple[int, int]) -> _Bytes:
    """The two digits in the columns `[span)` as a number; 0 for an absent part."""
    if span[0] < 0:
        return np.zeros(columns.shape[1], dtype=np.uint8)
    # At most 99, which fits a byte; numpy is fastest with bytes.
    number: _Bytes = (columns[span[0]] - np.uint8(48)) * np.uint8(10)
    number += columns[span[0] + 1] - np.uint8(48)
    return number


def _clock(
    columns: _Bytes, match: re.Match[str], digits: Digits
) -> tuple[Instants, Instants, Flags]:
    """Seconds since 1970-01-01 by the value's own clock, the fraction of a second in the requested
    unit, and whether the value is a valid time."""
    begin = match.start("year")
    year = _pair(columns, (begin, begin + 2)).astype(np.int32) * 100
    year += _pair(columns, (begin + 2, begin + 4))
    month, day, hour, minute, second = (
        _pair(columns, match.span(part)) for part in ("month", "day", "hour", "minute", "second")
    )
    valid = (month - np.uint8(1) < 12) & (year >= 1)
    valid &= (hour < 24) & (minute < 60) & (second < 60)
    index = (year - 1970) * 12 + month - 1
    index[~valid] = 0
    first, last = int(index.min()), int(index.max())
    # Starts of the months that occur, as days since the epoch: numpy knows the calendar.
    starts = np.arange(first, last + 2).astype("M8[M]").astype("M8[D]").astype(np.int64)
    index -= first
    valid &= day - np.uint8(1) < np.diff(starts).astype(np.uint8)[index]
    of_day = (hour.astype(np.int32) * 60 + minute) * 60 + second
    seconds = (starts[index] + day - 1) * 86_400 + of_day
    return seconds, _fraction(columns, match.span("fraction"), digits), valid


def _fraction(columns: _Bytes, span: tuple[int, int], digits: Digits) -> Instants:
    """The first digits of a fraction of a second, as a whole number."""
    total = np.zeros(columns.shape[1], dtype=np.int64)
    if span[0] >= 0:
        for number, column in enumerate(columns[span[0] : min(span[1], span[0] + digits)], 1):
            total += (column - np.uint8(48)).astype(np.int64) * 10 ** (digits - number)
    return total


def _zone_offset(columns: _Bytes, match: re.Match[str], valid: Flags) -> Instants | int:
    """Seconds ahead of UTC as written; clears `valid` for impossible offsets."""
    if match["sign"] is None:
        return 0
    hours = _pair(columns, match.span("zone_hour"))
    minutes = _pair(columns, match.span("zone_minute"))
    valid &= (hours < 24) & (minutes < 60)
    offset = hours.astype(np.int64) * 3600 + minutes.astype(np.int64) * 60
    return -offset if match["sign"] == "-" else offset


def local_offsets(timezone: str, local_seconds: Instants) -> Instants | int:
    """The zone's offsets at local times; looked up once per quarter of an hour."""
    if timezone == "UTC":
        return 0
    # Outside the years 1 to 9999 the zone's own arithmetic would overflow.
    seconds = np.clip(local_seconds, _YEAR_1, END_MS // 1000 - 1)
    buckets, inverse = np.unique(seconds // _BUCKET_SECONDS, return_inverse=True)
    begins = [offset_seconds(timezone, b * _BUCKET_SECONDS) for b in buckets.tolist()]
    ends = [offset_seconds(timezone, (b + 1) * _BUCKET_SECONDS - 1) for b in buckets.tolist()]
    offsets = np.array(begins, dtype=np.int64)[inverse]
    changing = np.flatnonzero(np.array(begins) != np.array(ends))
    for row in np.flatnonzero(np.isin(inverse, changing)).tolist():
        offsets[row] = offset_seconds(timezone, int(seconds[row]))
    return offsets


def _are_compact(values: Any) -> Any:
    """Which numbers are a date and a time of day in digits."""
    return (values >= COMPACT_FIRST) & (values < COMPACT_END)


def _filled(values: pl.Series, null: int) -> npt.NDArray[Any]:
    """A column with a number instead of null. A call of polars without need would cost 0.1 ms."""
    return (values.fill_null(null) if values.null_count() else values).to_numpy()
