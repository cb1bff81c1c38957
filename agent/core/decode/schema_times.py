"""Numbers of times whose unit is in the schema, not in their magnitude.

Avro has logical types for them; Kafka Connect and Debezium have names of their own, in the schema
beside a record's payload (`connect`) and in Avro schemas (`connect.name`). A number that
`event_time` would read as another time (a day, a time before 1973 or after 5138) becomes ISO 8601
where a time is read. It stays a number for all else.

https://debezium.io/documentation/reference/stable/connectors/mysql.html, Temporal types;
org.apache.kafka.connect.data in Kafka's source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from agent.core.decode.format import UnreadableError, WrongPlaceError
from agent.core.decode.single_record import tree_of
from agent.core.decode.time_text import (
    COMPACT_FIRST,
    MICROSECONDS_BELOW,
    MILLISECONDS_BELOW,
    SECONDS_BELOW,
)
from agent.core.decode.tree import value_at
from agent.core.model.paths import Path

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


def fields_of(schema: Any) -> Mapping[str, Any]:
    """The schemas of the fields of one of Connect's structs, by name; empty for another schema."""
    fields = schema.get("fields") if isinstance(schema, dict) else None
    named = [f for f in fields if isinstance(f, dict)] if isinstance(fields, list) else []
    return {f["field"]: f for f in named if isinstance(f.get("field"), str)}


def with_units(values: pl.Series, records: Sequence[bytes], path: Path) -> pl.Series:
    """A String column of times, in which the numbers that the schemas in their records give another
    unit than their magnitude does are ISO 8601. `path`: of the values in the payload; `records`:
    that of each value."""
    numbers = values.str.extract(_INTEGER).cast(pl.Int64, strict=False).to_list()
    before, name = b"", None
    changed: dict[int, str] = {}
    for index, (number, record) in enumerate(zip(numbers, records, strict=True)):
        if number is None:
            continue
        if not before or not record.startswith(before):  # the schema is mostly the same
            before = _schema_before(record)
            name = _name_at(record, path)
        if name is None:
            continue
        time = SchemaTime.of(number, name).as_time
        if isinstance(time, str) and _is_integer(number, record, path):
            changed[index] = time
    if not changed:
        return values
    return values.scatter(list(changed), list(changed.values()))


def _schema_before(record: bytes) -> bytes:
    """The begin of a record with its whole schema; empty if it does not begin with that."""
    before = record[: record.find(_PAYLOAD)]
    if not record.startswith(_SCHEMA):
        return b""
    try:
        tree_of(before.rstrip().removesuffix(b",") + b"}", None)
    except UnreadableError:  # the schema has a member `payload`
        return b""
    return before


def _name_at(record: bytes, path: Path) -> str | None:
    """The name of the schema at a path of the payload, if it is one of UNITS."""
    try:
        at = tree_of(record, None).get("schema")
    except UnreadableError:
        return None
    for step in path:
        at = _below(at, step)
    name = at.get("name") if isinstance(at, dict) else None
    return name if isinstance(name, str) and name in UNITS else None


def _below(schema: Any, step: object) -> Any:
    """The schema of a member or of the elements of an array. Both images of a changed row have one
    schema, of which records may have only that of the other."""
    if not isinstance(schema, dict):
        return None
    if not isinstance(step, str):
        return schema.get("items")
    members = fields_of(schema)
    other = {"before": "after", "after": "before"}.get(step, step)
    return members.get(step, members.get(other))


def _is_integer(number: int, record: bytes, path: Path) -> bool:
    """Whether an integer of a column is one in its record, not a text or a fraction."""
    digits = b"%d" % number
    if digits not in record or b'"%s"' % digits not in record:
        return digits in record
    try:
        return isinstance(value_at(tree_of(record, None)["payload"], path), int)
    except (UnreadableError, WrongPlaceError):
        return False
