"""The event's time from a date and a time of day in two fields, by every way of reading."""

import json
from datetime import datetime
from typing import Any

import pytest

from agent.core.decode.batch import Decoded
from agent.core.model.events import Contract, Envelope, Field, TimeSource
from agent.core.model.field_types import TimeFormat
from agent.core.model.paths import Root
from agent.core.model.results import Reject
from tests.core.decode import shape_fuzz
from tests.core.decode.protobuf_samples import classes, compiled
from tests.core.decode.samples import AT, AT_MS, contract
from tests.core.decode.test_extraction import decoded
from tests.core.decode.test_schema_format import avro, decode, written

TWO = TimeSource(("date",), time_of_day=("time",))
FAR = 10**13
"""No time of these tests is in the future."""


def event(date: Any, time: Any, **members: Any) -> dict[str, Any]:
    return {"type": "order", "id": "o1", "date": date, "time": time, **members}


def reading(way: str, of: Contract, *events: dict[str, Any]) -> Decoded:
    """The events read as columns of keys; in an envelope, as columns or one by one."""
    if way == "keys":
        return decoded(of, *events)
    name, wrap = ("connect", _payload) if way == "connect" else ("list", _list)
    records = [(json.dumps(wrap(e)).encode(), None, []) for e in events]
    read = shape_fuzz.one_by_one if way == "one by one" else shape_fuzz.by_columns
    enveloped = contract(
        "order",
        *of.fields,
        envelope=Envelope(name),
        times=of.times,
        timezone=of.timezone,
        max_future_ms=FAR,
    )
    return read([enveloped]).decode(shape_fuzz.batch_of(records))


def _list(record: Any) -> Any:
    return [record]


def _payload(record: Any) -> Any:
    return {"schema": None, "payload": record}


def detail_of(reject: Reject) -> str:
    """The detail without what a member is read as."""
    return reject.detail.replace(" as a time", "")


WAYS = pytest.mark.parametrize("way", ["keys", "list", "connect", "one by one"])


@WAYS
@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("2025-03-03", "06:00:01", "2025-03-03T06:00:01+01:00"),
        ("20250303", "060001.250", "2025-03-03T06:00:01.250+01:00"),
        (20250303, "060001", "2025-03-03T06:00:01+01:00"),
        ("2025-03-03", "0600", "2025-03-03T06:00:00+01:00"),
        ("2025-07-03", "06:00", "2025-07-03T06:00:00+02:00"),
        ("2025-03-03", "06:00:01-05:00", "2025-03-03T06:00:01-05:00"),
        ("2025-03-03", "06:00:01Z", "2025-03-03T06:00:01+00:00"),
        ("2025-03-03", "24:00", "2025-03-04T00:00:00+01:00"),
    ],
)
def test_a_date_and_a_time_of_day_are_one_time(
    way: str, date: Any, time: str, expected: str
) -> None:
    of = contract("order", times=(TWO,), timezone="Europe/Oslo", max_future_ms=FAR)
    (ms,) = reading(way, of, event(date, time)).tables["order"]["_time"].to_list()
    assert ms == datetime.fromisoformat(expected).timestamp() * 1000


@WAYS
@pytest.mark.parametrize(
    ("date", "time", "detail"),
    [
        (None, "06:00", "date and time: the event time is absent"),
        ("2025-03-03", None, "date and time: the event time is absent"),
        ("2025-03-03", 60001, "time: expected a string, found the number 60001"),
        ("2025-03-03", "25:00", 'ISO 8601, found "2025-03-03 25:00"'),
        ("2025-03-03", "", 'ISO 8601, found "2025-03-03 "'),
        ("", "06:00", 'ISO 8601, found " 06:00"'),
        ("2025-03-03T00:00:00", "06:00", 'ISO 8601, found "2025-03-03T00:00:00 06:00"'),
        (1740990000, "06:00", 'ISO 8601, found "1740990000 06:00"'),
    ],
)
def test_a_time_is_never_made_of_one_of_the_two(
    way: str, date: Any, time: Any, detail: str
) -> None:
    for fields in ((), (Field("clock", ("time",), "string"),), (Field("day", ("date",), "date"),)):
        of = contract("order", *fields, times=(TWO,), max_future_ms=FAR)
        good = event("2025-03-03", "060001")
        ((row, reject),) = reading(way, of, good, event(date, time), good).rejects
        assert row == 1 and detail_of(reject).endswith(detail)


@WAYS
def test_the_next_time_counts_where_one_of_the_two_is_lacking(way: str) -> None:
    of = contract("order", times=(TWO, TimeSource(("at",))), max_future_ms=FAR)
    read = reading(way, of, event("2025-03-03", None, at=AT))
    assert read.tables["order"]["_time"].to_list() == [AT_MS]


@WAYS
def test_a_format_is_that_of_both_with_a_space_between(way: str) -> None:
    form = TimeFormat("%d.%m.%Y %H:%M")
    two = TimeSource(("date",), form, ("time",))
    of = contract("order", times=(two,), timezone="Europe/London", max_future_ms=FAR)
    read = reading(way, of, event("27.10.2024", "01:30"), event("2024-10-27", "01:30"))
    assert read.tables["order"]["_time"].to_list() == [1_729_989_000_000]
    assert list(read.repeated_ms["order"].values()) == [3_600_000]  # the clocks go back
    ((_, reject),) = read.rejects
    assert detail_of(reject) == (
        'date and time: expected a time written as %d.%m.%Y %H:%M, found "2024-10-27 01:30"'
    )


def test_a_part_may_be_in_a_header() -> None:
    two = TimeSource((Root("header", "day"),), time_of_day=("time",))
    of = contract("order", times=(two,))
    read = decoded(of, event(None, "10:00"), headers={0: [("day", b"2024-05-01")]})
    assert read.tables["order"]["_time"].to_list() == [AT_MS]


def test_avro_and_protobuf_have_them_too() -> None:
    day = {"type": "int", "logicalType": "date"}
    schema = avro([("type", "string"), ("id", "string"), ("date", day), ("time", "string")])
    record = event(19_844, "10:00:00")
    read = decode([written(schema, record)], {7: schema}, times=(TWO,))
    assert read.tables["order"]["_time"].to_list() == [AT_MS]
    proto = compiled({
        "order.proto": 'syntax = "proto3"; message Order { string type = 1; string id = 2; '
        "string date = 3; string time = 4; }"
    })  # fmt: skip
    order = classes(proto)["Order"](**event("20240501", "100000"))
    framed = b"\0\0\0\0\7\0" + order.SerializeToString()
    read = decode([framed], {7: proto}, times=(TWO,), format="protobuf")
    assert read.tables["order"]["_time"].to_list() == [AT_MS]
