"""Numbers of times whose unit is in the schema, not in their magnitude.

Avro has logical types for them; Kafka Connect and Debezium have names of their own, in the schema
beside a record's payload (`connect`) and in Avro schemas (`connect.name`). A number that
`event_time` would read as another time (a day, a time before 1973 or after 5138) becomes ISO 8601
where a time is read. It stays a number for all else.

https://debezium.io/documentation/reference/stable/connectors/mysql.html, Temporal types;
org.apache.kafka.connect.data in Kafka's source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from agent.core.decode.format import Flags
from agent.core.decode.time_text import (
    COMPACT_FIRST,
    MICROSECONDS_BELOW,
    MILLISECONDS_BELOW,
    SECONDS_BELOW,
)

DAYS: Final = 0
"""Stands for "units per second" of days since the epoch."""
OF_DAY: Final = -1
"""The same of times of day, which are no times of an event."""
UNITS: Mapping[str, int] = {
    "io.debezium.time.Date": DAYS,
    "org.apache.kafka.connect.data.Date": DAYS,
    "io.debezium.time.Timestamp": 1_000,
    "org.apache.kafka.connect.data.Timestamp": 1_000,
    "io.debezium.time.MicroTimestamp": 1_000_000,
    "io.debezium.time.NanoTimestamp": 1_000_000_000,
    "io.debezium.time.Time": OF_DAY,
    "org.apache.kafka.connect.data.Time": OF_DAY,
    "io.debezium.time.MicroTime": OF_DAY,
    "io.debezium.time.NanoTime": OF_DAY,
    "io.debezium.time.Year": OF_DAY,
    "io.debezium.time.MicroDuration": OF_DAY,
    "io.debezium.time.NanoDuration": OF_DAY,
}
"""Units per second of the numbers that names of schemas mean."""
PLAIN_RANGES = {
    1_000: (SECONDS_BELOW, COMPACT_FIRST),
    1_000_000: (MILLISECONDS_BELOW, MICROSECONDS_BELOW),
    1_000_000_000: (MICROSECONDS_BELOW, (1 << 63) - 1),
}
"""By units per second: the range `[first, second)` of timestamps whose bare number is read as the
same time. 0 is, too."""

_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = date(1970, 1, 1)
_FIRST_SECOND = -62_135_596_800  # of year 1
_END_SECOND = 253_402_300_800  # of year 9999
_NAMES = re.compile(
    b"|".join(re.escape(name.encode()) for name in UNITS) + rb"|\\u00"  # letters may be escaped
)
_INTEGER = r"^(-?[0-9]{1,19})$"
_SCHEMA, _PAYLOAD = b'{"schema"', b'"payload":'
"""How Kafka Connect writes records: the schema, which is mostly the same, comes first."""


class SchemaTime(int):
    """A number whose schema has one of the names in UNITS."""

    name: str

    @classmethod
    def of(cls, number: int, name: str) -> SchemaTime:
        """The number of a value with a schema of a name."""
        time = cls(number)
        time.name = name
        return time

    @property
    def as_time(self) -> int | str:
        """The time: a number that is read as this time, else ISO 8601; a text that is none if it
        is not a point in time."""
        units = UNITS[self.name]
        if units == OF_DAY:
            return f"{int(self)} ({self.name.rpartition('.')[2]})"
        return day(self) if units == DAYS else timestamp(self, units, is_local=False)


def timestamp(count: int, units_per_second: int, *, is_local: bool) -> int | str:
    """A timestamp as JSON. `count`: units since 1970-01-01."""
    first, end = PLAIN_RANGES[units_per_second]
    if not is_local and (count == 0 or first <= count < end):
        return int(count)
    seconds, rest = divmod(int(count), units_per_second)
    if not _FIRST_SECOND <= seconds < _END_SECOND:
        return f"{count}/{units_per_second} s"  # is not readable as a time
    text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    digits = len(str(units_per_second)) - 1
    return f"{text}.{rest:0{digits}}{'' if is_local else 'Z'}"


def day(days: int) -> str:
    """A date, from days since 1970-01-01."""
    try:
        return (_EPOCH_DAY + timedelta(days=days)).isoformat()
    except OverflowError:
        return f"day {days}"


def misread(values: pl.Series, records: Iterable[bytes]) -> Flags:
    """Which numbers in a String column of times may have another unit than their magnitude says, by
    the schemas in their records (in the order of the column)."""
    numbers = values.str.extract(_INTEGER).cast(pl.Int64, strict=False).to_list()
    known: dict[bytes, list[tuple[int, int]]] = {}
    out = np.zeros(len(values), np.bool_)
    for index, (number, record) in enumerate(zip(numbers, records, strict=True)):
        if not number:
            continue
        schema = record[: record.find(_PAYLOAD)] if record.startswith(_SCHEMA) else record
        if (ranges := known.get(schema)) is None:
            known[schema] = ranges = _ranges(schema)
        out[index] = any(not first <= number < end for first, end in ranges)
    return out


def _ranges(schema: bytes) -> list[tuple[int, int]]:
    """The ranges of plain numbers of each kind of time in a schema."""
    names = {name.decode() for name in _NAMES.findall(schema)}
    return [PLAIN_RANGES.get(UNITS.get(name, DAYS), (0, 0)) for name in names]
