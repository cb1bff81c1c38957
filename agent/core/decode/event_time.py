"""Event times: ISO 8601 text and epoch numbers to integer milliseconds since the epoch (UTC).

What is read, the same from `parse_time` (one value) and `parse_times` (a column):

- `2024-05-01`, `2024-05-01T10:20`, `2024-05-01 10:20:30.123456+01:00`: date alone, to the minute,
  the second or any fraction of it; `T` or a space; no offset, `Z`, `+01:00`, `+0100` or `+01`.
  Further shapes of ISO 8601 (`20240501T102030Z`, `2024-W18-3`) as `datetime.fromisoformat` does.
- Without an offset the contract's zone counts. A local time that happens twice is read as the first
  of the two (`repeated_hour` finds these); one that a clock change skips is read with the offset
  before the change (PEP 495, fold=0).
- Epoch numbers, also as text of digits: below 1e11 seconds, below 1e14 milliseconds, below 1e17
  microseconds, else nanoseconds. 1e11 s is the year 5138, 1e11 ms is 1973: they don't meet in
  practice.
- Eight digits are a date, `20240501`. Other numbers below 1e8 (a year, a count of days, a date of
  two-digit years) would be epoch seconds before March 1973, which nobody means: they are no time.
  0 is the epoch itself.
- Finer than a millisecond is cut off, never rounded up into the next window.

Before 1970 or after 9999 is no readable event time. Neither are leap seconds (`:60`) nor `24:00`.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

Millis = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_Bytes = npt.NDArray[np.uint8]

SECONDS_BELOW = 10**11
MILLISECONDS_BELOW = 10**14
MICROSECONDS_BELOW = 10**17
LEAST_SECONDS = 10**8
"""March 1973: a smaller number, other than 0, is no epoch time."""
END_MS = 253_402_300_800_000
"""10000-01-01T00:00:00Z: the first instant that is too late."""

_EPOCH = datetime(1970, 1, 1)
_NUMBER = re.compile(r"(-?[0-9]+)(?:\.([0-9]+))?")
_COMPACT_DATE = re.compile(r"[0-9]{8}")
_INTEGER = r"^-?[0-9]+$"
_DECIMAL = r"^-?[0-9]+\.[0-9]+$"
_ISO = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<zone_hour>[0-9]{2}):?(?P<zone_minute>[0-9]{2})?)?)?"
)
# The basic format and week dates. fromisoformat also takes much that is not ISO 8601.
_FURTHER_ISO = re.compile(
    r"[0-9]{4}(?:[0-9]{4}|-?W[0-9]{2}(?:-?[0-9])?)"
    r"(?:T[0-9:]+(?:[.,][0-9]+)?(?:Z|[+-][0-9:]+)?)?"
)
# A batch of one producer has one or two shapes; what has more is read value by value.
_MAX_SHAPES = 16
_MAX_LENGTH = 40
_DATE_LENGTH = 8
_BUCKET_SECONDS = 900


def parse_time(text: str, timezone: str) -> int | None:
    """One event time in ms since the epoch, or None if it can't be read. `timezone`: IANA name."""
    number = _NUMBER.fullmatch(text)
    if number and not _COMPACT_DATE.fullmatch(text):
        return _in_range(_epoch_ms(number[1], number[2] or ""))
    found = _ISO.fullmatch(text)
    try:
        if found is None:
            return _in_range(_other_iso_ms(text, timezone))
        local_ms = _local_ms(found)
    except (ValueError, OverflowError):
        return None
    if found["zone"] is None:
        return _in_range(local_ms - _offset_seconds(timezone, local_ms // 1000) * 1000)
    offset = int(found["zone_hour"] or 0) * 3600 + int(found["zone_minute"] or 0) * 60
    if offset >= 86_400 or int(found["zone_minute"] or 0) > 59:
        return None
    return _in_range(local_ms - (-offset if found["sign"] == "-" else offset) * 1000)


def parse_times(times: pl.Series, timezone: str) -> tuple[Millis, Flags]:
    """Event times of a column (String, Int64 or Float64; other types are never times).

    Returns ms since the epoch (int64, 0 where not readable) and whether each was readable; null is
    not readable.
    """
    ms = np.zeros(len(times), dtype=np.int64)
    readable = np.zeros(len(times), dtype=np.bool_)
    if times.dtype == pl.Int64:
        _fill_integers(times, timezone, slice(None), ms, readable)
    elif times.dtype == pl.Float64:
        _fill_floats(times, ms, readable)
    elif times.dtype == pl.String:
        _fill_text(times, timezone, ms, readable)
    if not readable.all() or (ms.size and (ms.min() < 0 or ms.max() >= END_MS)):
        readable &= (ms >= 0) & (ms < END_MS)
        ms[~readable] = 0
    return ms, readable


def _in_range(ms: int) -> int | None:
    return ms if 0 <= ms < END_MS else None


def _epoch_ms(whole: str, decimals: str) -> int:
    """The time of an epoch number; -1 where it is none."""
    number = int(whole) if len(whole) < 20 else -1
    if number < LEAST_SECONDS:
        is_zero = number == 0 and not decimals.strip("0")
        return 0 if is_zero else -1
    if number < SECONDS_BELOW:
        return number * 1000 + int(decimals[:3].ljust(3, "0"))
    if number < MILLISECONDS_BELOW:
        return number
    return number // 1000 if number < MICROSECONDS_BELOW else number // 1_000_000


def _other_iso_ms(text: str, timezone: str) -> int:
    if "T24" in text or not _FURTHER_ISO.fullmatch(text):  # 24:00 is read by some Pythons only
        raise ValueError(text)
    read = datetime.fromisoformat(text)
    offset = read.utcoffset()
    local_ms = (read.replace(tzinfo=None) - _EPOCH) // timedelta(milliseconds=1)
    if offset is None:
        return local_ms - _offset_seconds(timezone, local_ms // 1000) * 1000
    return local_ms - offset // timedelta(milliseconds=1)


def _local_ms(found: re.Match[str]) -> int:
    year, month, day = int(found["year"]), int(found["month"]), int(found["day"])
    hour, minute = int(found["hour"] or 0), int(found["minute"] or 0)
    at = datetime(year, month, day, hour, minute, int(found["second"] or 0))
    whole = (at - _EPOCH) // timedelta(milliseconds=1)
    return whole + int((found["fraction"] or "0")[:3].ljust(3, "0"))


@lru_cache(maxsize=65_536)
def _offset_seconds(timezone: str, local_seconds: int) -> int:
    """The zone's offset from UTC at a local time (seconds since 1970-01-01 on the local clock)."""
    if timezone == "UTC":
        return 0
    at = (_EPOCH + timedelta(seconds=local_seconds)).replace(tzinfo=ZoneInfo(timezone), fold=0)
    offset = at.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _fill_integers(
    times: pl.Series, timezone: str, where: Any, ms: Millis, readable: Flags
) -> None:
    values = times.fill_null(-1).to_numpy()
    if values.size and values.min() >= SECONDS_BELOW and values.max() < MILLISECONDS_BELOW:
        ms[where], readable[where] = values, True  # what most producers write
        return
    scaled = np.where(values < SECONDS_BELOW, values * 1000, values)
    finer = np.where(values < MICROSECONDS_BELOW, values // 1000, values // 1_000_000)
    found = np.where(values < MILLISECONDS_BELOW, scaled, finer)
    good = (values >= LEAST_SECONDS) | (values == 0)
    for row in np.flatnonzero((values >= LEAST_SECONDS // 10) & (values < LEAST_SECONDS)).tolist():
        date_ms = parse_time(str(values[row]), timezone)
        if date_ms is not None:
            found[row], good[row] = date_ms, True
    ms[where], readable[where] = found, good


def _fill_floats(times: pl.Series, ms: Millis, readable: Flags) -> None:
    """Cut to the millisecond of the shortest decimals that stand for the number."""
    values = times.fill_null(-1.0).to_numpy()
    good = ((values >= LEAST_SECONDS) & (values < 1e20)) | (values == 0)
    values = np.where(good, values, 0.0)
    seconds = np.where(values < SECONDS_BELOW, values, 0.0)
    # 1700000000.123 * 1000 alone may come out a hair too small.
    nearest = np.rint(seconds * 1000)
    as_seconds = np.where(nearest / 1000 == seconds, nearest, np.floor(seconds * 1000))
    finer = np.where(values < MICROSECONDS_BELOW, values / 1000, values / 1_000_000)
    rest = np.floor(np.where(values < MILLISECONDS_BELOW, values, finer))
    ms[:] = np.where(values < SECONDS_BELOW, as_seconds, rest).astype(np.int64)
    readable[:] = good


def _fill_decimals(values: pl.Series, where: Any, ms: Millis, readable: Flags) -> None:
    parts = values.str.split_exact(".", 1).struct.unnest()
    whole = parts["field_0"].cast(pl.Int64).to_numpy()
    decimals = parts["field_1"]
    first_three = decimals.str.slice(0, 3).str.pad_end(3, "0").cast(pl.Int64).to_numpy()
    finer = np.where(whole < MICROSECONDS_BELOW, whole // 1000, whole // 1_000_000)
    scaled = np.where(whole < MILLISECONDS_BELOW, whole, finer)
    ms[where] = np.where(whole < SECONDS_BELOW, whole * 1000 + first_three, scaled)
    is_zero = (whole == 0) & (decimals.str.strip_chars("0") == "").to_numpy()
    ms[where] *= whole != 0
    readable[where] = (whole >= LEAST_SECONDS) | is_zero


def _fill_text(times: pl.Series, timezone: str, ms: Millis, readable: Flags) -> None:
    """Values of one length and one shape are read together, what fits no shape one by one."""
    lengths = times.str.len_bytes().fill_null(0).to_numpy()
    present = np.unique(lengths) if lengths.size and lengths.min() != lengths.max() else lengths[:1]
    left: list[npt.NDArray[np.intp]] = []
    for length in present.tolist():
        if length == 0:
            continue  # null or "": not readable
        rows = np.flatnonzero(lengths == length)
        values = times if rows.size == lengths.size else times.gather(rows)
        if length > _MAX_LENGTH:
            left.append(rows)
        elif not _fill_numbers(values, rows, timezone, ms, readable):
            left.append(_fill_shapes(values, rows, timezone, ms, readable))
    known: dict[str, int | None] = {}  # dates come many times over
    for rows in left:
        for row, text in zip(rows.tolist(), times.gather(rows).to_list(), strict=True):
            if text not in known:
                known[text] = parse_time(text, timezone)
            found = known[text]
            if found is not None:
                ms[row], readable[row] = found, True


def _fill_numbers(values: pl.Series, rows: Any, timezone: str, ms: Millis, readable: Flags) -> bool:
    """Whether all values were epoch numbers; then they are read."""
    first = values[0]
    if not _NUMBER.fullmatch(first) or len(first) > 19 or len(first) == _DATE_LENGTH:
        return False
    if first.isdigit() and first[0] != "0":
        numbers = values.cast(pl.Int64, strict=False)
        # With a sign or a leading zero, as many characters would give a smaller number.
        if not numbers.null_count() and int(numbers.min()) >= 10 ** (len(first) - 1):  # type: ignore[arg-type]
            _fill_integers(numbers, timezone, rows, ms, readable)
            return True
    if len(first) > 18:
        return False  # it may not fit 64 bits
    if values.str.contains(_INTEGER).all():
        _fill_integers(values.cast(pl.Int64), timezone, rows, ms, readable)
        return True
    if values.str.contains(_DECIMAL).all():
        _fill_decimals(values, rows, ms, readable)
        return True
    return False


def _fill_shapes(
    values: pl.Series, rows: npt.NDArray[np.intp], timezone: str, ms: Millis, readable: Flags
) -> npt.NDArray[np.intp]:
    """Reads the values (of one length) shape by shape; returns the rows that fit none."""
    width = values.str.len_bytes()[0]
    text = np.frombuffer(values.str.join("").item().encode(), dtype=np.uint8)
    columns = np.ascontiguousarray(text.reshape(len(values), width).T)
    left = [rows[:0]]
    for _ in range(_MAX_SHAPES):
        shape = columns[:, 0]
        fits = _fits(columns, shape)
        everything = bool(fits.all())
        target = rows if everything else rows[fits]
        found = _ISO.fullmatch(shape.tobytes().decode("latin-1"))
        if found is None:
            left.append(target)
        else:
            chosen = columns if everything else columns[:, fits]
            ms[target], readable[target] = _read_shape(chosen, found, timezone)
        if everything:
            return np.concatenate(left)
        rows, columns = rows[~fits], columns[:, ~fits]
    return np.concatenate([*left, rows])


def _read_shape(columns: _Bytes, found: re.Match[str], timezone: str) -> tuple[Millis, Flags]:
    local_seconds, fraction_ms, valid = _clock(columns, found)
    if found["zone"] is None:
        offset = _local_offsets(timezone, local_seconds)
    else:
        offset = _zone_offset(columns, found, valid)
    return (local_seconds - offset) * 1000 + fraction_ms, valid


def _fits(columns: _Bytes, shape: _Bytes) -> Flags:
    """Which values have digits where the shape has digits, and its very signs elsewhere."""
    digits = (shape - np.uint8(48)) < 10
    same_digits = ((columns[digits] - np.uint8(48)) < 10).all(axis=0)
    same_signs = (columns[~digits] == shape[~digits, None]).all(axis=0)
    fits: Flags = same_digits & same_signs
    return fits


def _pair(columns: _Bytes, span: tuple[int, int]) -> _Bytes:
    """The two digits of the columns `[span)` as a number; 0 for an absent part."""
    if span[0] < 0:
        return np.zeros(columns.shape[1], dtype=np.uint8)
    # At most 99: all of it fits a byte, and bytes are what numpy is fastest with.
    number: _Bytes = (columns[span[0]] - np.uint8(48)) * np.uint8(10)
    number += columns[span[0] + 1] - np.uint8(48)
    return number


def _clock(columns: _Bytes, found: re.Match[str]) -> tuple[Millis, Millis, Flags]:
    """Seconds since 1970-01-01 on the value's own clock, its milliseconds, whether it is one."""
    begin = found.start("year")
    year = _pair(columns, (begin, begin + 2)).astype(np.int32) * 100
    year += _pair(columns, (begin + 2, begin + 4))
    month, day, hour, minute, second = (
        _pair(columns, found.span(part)) for part in ("month", "day", "hour", "minute", "second")
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
    return seconds, _milliseconds(columns, found.span("fraction")), valid


def _milliseconds(columns: _Bytes, span: tuple[int, int]) -> Millis:
    """The first three digits of a fraction of a second, as milliseconds."""
    total = np.zeros(columns.shape[1], dtype=np.int64)
    if span[0] >= 0:
        for column, weight in zip(columns[span[0] : span[1]], (100, 10, 1), strict=False):
            total += (column - np.uint8(48)).astype(np.int64) * weight
    return total


def _zone_offset(columns: _Bytes, found: re.Match[str], valid: Flags) -> Millis | int:
    """Seconds ahead of UTC as written; clears `valid` of impossible ones."""
    if found["sign"] is None:
        return 0
    hours = _pair(columns, found.span("zone_hour"))
    minutes = _pair(columns, found.span("zone_minute"))
    valid &= (hours < 24) & (minutes < 60)
    offset = hours.astype(np.int64) * 3600 + minutes.astype(np.int64) * 60
    return -offset if found["sign"] == "-" else offset


def _local_offsets(timezone: str, local_seconds: Millis) -> Millis | int:
    """The zone's offsets at local times; looked up once for each quarter of an hour that occurs."""
    if timezone == "UTC":
        return 0
    # Far outside the readable range the zone's own arithmetic would overflow.
    seconds = np.clip(local_seconds, -2 * 86_400, END_MS // 1000 - 1)
    buckets, inverse = np.unique(seconds // _BUCKET_SECONDS, return_inverse=True)
    begins = [_offset_seconds(timezone, b * _BUCKET_SECONDS) for b in buckets.tolist()]
    ends = [_offset_seconds(timezone, (b + 1) * _BUCKET_SECONDS - 1) for b in buckets.tolist()]
    offsets = np.array(begins, dtype=np.int64)[inverse]
    changing = np.flatnonzero(np.array(begins) != np.array(ends))
    for row in np.flatnonzero(np.isin(inverse, changing)).tolist():
        offsets[row] = _offset_seconds(timezone, int(seconds[row]))
    return offsets
