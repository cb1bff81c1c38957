"""Payloads of Kafka Connect, and the types that a schema gives times."""

from datetime import datetime
from typing import Any

import pytest

from agent.core.model.events import Envelope, Field, TimeSource
from agent.core.model.field_types import TimeFormat
from agent.core.model.paths import Root
from tests.core.decode.enveloped import change, columns, decoded, enveloped
from tests.core.decode.samples import AT


def test_a_payload_is_taken_out_of_what_connect_writes() -> None:
    connect = enveloped(Envelope("connect"), Field("total", ("total",), "float"))
    payload = {"total": 2, "at": AT}
    result = decoded(connect, {"schema": {}, "payload": payload}, payload)
    assert columns(result, "total") == [(2.0,)]
    ((row, reject),) = result.rejects
    assert (row, reject.detail) == (1, "payload: required by the envelope connect, but absent")


SCHEMA_TIMES: dict[str, tuple[str, int, str | None]] = {
    "a day": ("io.debezium.time.Date", 20_150, "2025-03-03T00:00:00Z"),
    "a day before 1970": ("org.apache.kafka.connect.data.Date", -1, "1969-12-31T00:00:00Z"),
    "milliseconds": ("io.debezium.time.Timestamp", 1_740_990_000_000, "2025-03-03T08:20:00Z"),
    "milliseconds of 1971": (
        "org.apache.kafka.connect.data.Timestamp", 31_536_000_000, "1971-01-01T00:00:00Z",
    ),
    "the end of time in ms": (
        "io.debezium.time.Timestamp", 253_402_214_400_000, "9999-12-31T00:00:00Z",
    ),
    "microseconds": (
        "io.debezium.time.MicroTimestamp", 1_740_990_000_000_001, "2025-03-03T08:20:00.000001Z",
    ),
    "microseconds of 1971": (
        "io.debezium.time.MicroTimestamp", 31_536_000_000_000, "1971-01-01T00:00:00Z",
    ),
    "nanoseconds of 1971": (
        "io.debezium.time.NanoTimestamp", 31_536_000_000_000_000, "1971-01-01T00:00:00Z",
    ),
    "milliseconds of a day": ("io.debezium.time.Time", 43_200_000, None),
    "microseconds of a day": ("io.debezium.time.MicroTime", 43_200_000_000, None),
    "nanoseconds of a day": ("io.debezium.time.NanoTime", 43_200_000_000_000, None),
    "a year": ("io.debezium.time.Year", 2025, None),
}  # fmt: skip


OF_SCHEMA = (
    Field("at", ("at",), "timestamp"),
    Field("day", ("at",), "date"),
    Field("number", ("at",), "integer"),
    Field("counted", ("at",), "date", format=TimeFormat(unit="day")),
)


@pytest.mark.parametrize("envelope", ["connect", "debezium"])
@pytest.mark.parametrize("case", SCHEMA_TIMES)
def test_the_schema_says_the_unit_of_a_time_and_a_number_stays_one(
    case: str, envelope: str
) -> None:
    name, number, expected = SCHEMA_TIMES[case]
    of_row: dict[str, Any] = {"type": "struct", "fields": [{"field": "at", "name": name}]}
    record: dict[str, Any] = {"schema": of_row, "payload": {"at": number}}
    if envelope == "debezium":
        fields = [{"field": "after", **of_row}]
        record = {"schema": {"fields": fields}, "payload": change("c", None, {"at": number})}
    reads = enveloped(
        Envelope(envelope),  # type: ignore[arg-type]
        *OF_SCHEMA,
        times=(TimeSource((Root("timestamp"),)),),
    )
    few, many = decoded(reads, record), decoded(reads, *[record] * 300)  # one by one, by columns
    at = None if expected is None else datetime.fromisoformat(expected)
    day = None if at is None else at.date()
    for result, count in ((few, 1), (many, 300)):
        assert columns(result, "at", "day", "number") == [(at, day, number)] * count
    if "Date" in name:
        assert columns(few, "counted") == [(day,)]


def test_the_time_of_an_event_may_be_a_day_of_the_schema() -> None:
    field = {"field": "at", "name": "io.debezium.time.Date"}
    record = {"schema": {"fields": [field]}, "payload": {"at": 19_844}}
    reads = enveloped(Envelope("connect"), times=(TimeSource(("at",)),))
    assert columns(decoded(reads, record), "_time") == [(19_844 * 86_400_000,)]
