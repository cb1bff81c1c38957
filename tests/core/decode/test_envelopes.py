"""Each envelope opens the records of its public shapes, and says what is wrong with others."""

import base64
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from agent.core.decode.batch import Decoded
from agent.core.decode.decoder import Decoder
from agent.core.model.events import Contract, Envelope, Field, TimeSource
from agent.core.model.field_types import TimeFormat
from agent.core.model.paths import Elements, Root, Selector
from tests.core.decode.samples import AT, batch, contract

AROUND = Root("envelope")


def of(envelope: Envelope, *fields: Field, **changes: Any) -> Contract:
    settings: dict[str, Any] = {"type_path": None, "ids": (), "envelope": envelope}
    return contract("order", *fields, **(settings | changes))


def decoded(contract: Contract, *records: Any, **parts: Any) -> Decoded:
    values = [r if isinstance(r, bytes | None) else json.dumps(r).encode() for r in records]
    return Decoder([contract]).decode(replace(batch(values), **parts))


def columns(result: Decoded, *names: str) -> list[tuple[Any, ...]]:
    return result.tables["order"].select(names).rows()


CLOUD = of(
    Envelope("cloudevents"),
    Field("total", ("total",), "float"),
    Field("tenant", (AROUND, "tenant"), "string"),
    type_path=(AROUND, "type"),
    times=(TimeSource((AROUND, "time")), TimeSource((Root("timestamp"),))),
    ids=((AROUND, "source"), (AROUND, "id")),
)


def cloud_event(id_: str = "1", **members: Any) -> dict[str, Any]:
    common = {"specversion": "1.0", "type": "order", "source": "/shop", "id": id_, "time": AT}
    return {**common, "tenant": "t", "data": {"total": 5}, **members}


def test_cloudevents_are_read_in_each_of_their_modes() -> None:
    structured = cloud_event()
    text = base64.b64encode(b'{"total": 6}').decode()
    in_base64 = cloud_event("2", data=None, data_base64=text)
    batched = [cloud_event("3", data={"total": 7}), cloud_event("4", type="other")]
    headers = [("ce_" + k, v.encode()) for k, v in cloud_event("5").items() if isinstance(v, str)]
    result = decoded(CLOUD, structured, in_base64, batched, {"total": 8}, headers={3: headers})
    assert columns(result, "_row", "total", "tenant") == [
        (0, 5.0, "t"), (1, 6.0, "t"), (2, 7.0, "t"), (3, 8.0, "t")
    ]  # fmt: skip
    assert len(set(columns(result, "_id"))) == 4


def test_one_bad_event_of_a_batch_leaves_its_neighbours() -> None:
    bad = cloud_event("2", time="soon")
    result = decoded(CLOUD, [cloud_event("1"), bad, 7, cloud_event("3")], {"total": 1})
    assert columns(result, "_row", "_id") == [(0, "/shop\x1f 1"), (0, "/shop\x1f 3")]
    assert [(row, r.reason) for row, r in result.rejects] == [
        (0, "not_an_object"), (1, "missing_field")
    ]  # fmt: skip


def test_an_event_without_data_has_only_attributes() -> None:
    event = cloud_event()
    del event["data"], event["time"]
    assert columns(decoded(CLOUD, event), "total", "tenant") == [(None, "t")]


CHANGES = of(
    Envelope("debezium"),
    Field("status", ("status",), "string"),
    Field("op", (AROUND, "op"), "string"),
    Field("before", (AROUND, "before", "status"), "string"),
    times=(TimeSource((AROUND, "source", "ts_ms")),),
)


def change(op: str, before: Any, after: Any) -> dict[str, Any]:
    return {"before": before, "after": after, "op": op, "source": {"ts_ms": 1_714_557_600_000}}


def test_a_change_is_of_the_row_after_it_and_a_delete_of_the_row_before() -> None:
    result = decoded(
        CHANGES,
        change("c", None, {"status": "new"}),
        change("u", {"status": "new"}, {"status": "paid"}),
        change("d", {"status": "paid"}, None),
        None,
    )
    assert columns(result, "op", "status", "before") == [
        ("c", "new", None), ("u", "paid", "new"), ("d", "paid", "paid")
    ]  # fmt: skip
    assert result.empty.tolist() == [3]


def test_snapshots_count_only_when_asked_for() -> None:
    read = change("r", None, {"status": "new"})
    truncated = {**change("t", None, None)}
    left_out = decoded(CHANGES, read, truncated)
    assert left_out.ignored.tolist() == [0, 1]
    asked = replace(CHANGES, envelope=Envelope("debezium", ops=("c", "r")))
    result = decoded(asked, read, change("u", None, {"status": "x"}))
    assert columns(result, "op") == [("r",)]


MESSAGES_WITHOUT_ROW: dict[str, dict[str, Any]] = {
    "truncation": {"op": "t", "source": {"ts_ms": 1}, "ts_ms": 1},
    "logical message": {
        "op": "m", "ts_ms": 1, "source": {"ts_ms": 1},
        "message": {"transactional": True, "prefix": "foo", "content": "Ymfy"},
    },
    "schema change": {
        "source": {"ts_ms": 1, "table": "orders"}, "ts_ms": 1, "databaseName": "inventory",
        "schemaName": None, "ddl": "ALTER TABLE orders ADD note TEXT", "tableChanges": [],
    },
    "begin": {
        "status": "BEGIN", "id": "571:53195829", "ts_ms": 1,
        "event_count": None, "data_collections": None,
    },
    "end": {
        "status": "END", "id": "571:53195832", "ts_ms": 1, "event_count": 2,
        "data_collections": [{"data_collection": "s1.a", "event_count": 2}],
    },
    "heartbeat": {"ts_ms": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES_WITHOUT_ROW)
def test_a_message_without_a_row_is_ignored(name: str) -> None:
    message = MESSAGES_WITHOUT_ROW[name]
    result = decoded(CHANGES, message, {"schema": {"type": "struct"}, "payload": message})
    assert result.ignored.tolist() == [0, 1]


def test_a_flattened_row_may_have_columns_named_as_in_messages() -> None:
    at = {"__source_ts_ms": 1_714_557_600_000}
    result = decoded(
        CHANGES,
        {"status": "BEGIN", "id": "1", **at},
        {"ddl": "x", "databaseName": "y", "source": "shop", "status": "new", **at},
        {"op": "m", "source": "shop", "status": "paid", **at},
        {"ts_ms": 5, **at},
    )
    assert columns(result, "status") == [("BEGIN",), ("new",), ("paid",), (None,)]


def test_a_change_with_its_schema_has_decimals_as_numbers() -> None:
    decimal = "org.apache.kafka.connect.data.Decimal"
    price = {"type": "bytes", "name": decimal, "parameters": {"scale": "2"}, "field": "price"}
    row = {"type": "struct", "fields": [price], "field": "after"}
    schema = {"type": "struct", "fields": [row]}
    unscaled = base64.b64encode((-12_345).to_bytes(2, "big", signed=True)).decode()
    payload = change("c", None, {"price": unscaled})
    priced = replace(CHANGES, fields=(Field("price", ("price",), "float"),))
    result = decoded(priced, {"schema": schema, "payload": payload})
    assert columns(result, "price") == [(-123.45,)]
    assert decoded(priced, {"schema": None, "payload": None}).ignored.tolist() == [0]
    exact = replace(CHANGES, fields=(Field("price", ("price",), "decimal", scale=2),))
    large = base64.b64encode((2**53 + 1).to_bytes(8, "big")).decode()
    result = decoded(exact, {"schema": schema, "payload": change("c", None, {"price": large})})
    assert columns(result, "price") == [(2**53 + 1,)]


def test_documents_of_mongodb_are_strings_of_json() -> None:
    document = json.dumps({"_id": {"$oid": "5f"}, "total": {"$numberDecimal": "12.50"}})
    totals = replace(CHANGES, fields=(Field("total", ("total", "$numberDecimal"), "string"),))
    assert columns(decoded(totals, change("c", None, document)), "total") == [("12.50",)]


def test_a_flattened_row_is_read_with_what_was_added_to_it() -> None:
    row = {"status": "paid", "__op": "u", "__source_ts_ms": 1_714_557_600_000}
    deleted = {**row, "__deleted": "true"}
    assert columns(decoded(CHANGES, row, deleted), "op", "status") == [("u", "paid"), ("d", "paid")]
    no_deletes = replace(CHANGES, envelope=Envelope("debezium", ops=("c", "u")))
    assert decoded(no_deletes, deleted).ignored.tolist() == [0]


def test_a_payload_is_taken_out_of_what_connect_writes() -> None:
    connect = of(Envelope("connect"), Field("total", ("total",), "float"))
    payload = {"total": 2, "at": AT}
    result = decoded(connect, {"schema": {}, "payload": payload}, payload)
    assert columns(result, "total") == [(2.0,)]
    ((row, reject),) = result.rejects
    assert (row, reject.detail) == (1, "payload: required by the envelope connect, but absent")


@pytest.mark.parametrize("path", [(), ("data", "events")])
def test_each_event_of_a_list_has_its_own_verdict(path: tuple[str, ...]) -> None:
    listed = of(
        Envelope("list", path=path),
        Field("total", ("total",), "float", required=True),
        Field("sender", (AROUND, "sender") if path else ("sender",), "string"),
    )
    events: Any = [{"total": 1, "at": AT}, {"total": "x", "at": AT}, {"total": 3, "at": AT}]
    record = {"sender": "s", "data": {"events": events}} if path else events
    result = decoded(listed, record, [] if not path else {"data": {"events": []}})
    assert columns(result, "_row", "total", "sender") == [
        (0, 1.0, "s" if path else None), (0, 3.0, "s" if path else None)
    ]  # fmt: skip
    assert [(row, r.reason) for row, r in result.rejects] == [(0, "wrong_type")]
    assert result.empty.tolist() == [] and result.ignored.tolist() == [1]


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
    reads = of(
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
    reads = of(Envelope("connect"), times=(TimeSource(("at",)),))
    assert columns(decoded(reads, record), "_time") == [(19_844 * 86_400_000,)]


EACH = Elements()


def test_a_bad_event_of_nested_lists_leaves_its_neighbours() -> None:
    of_groups = of(
        Envelope("list", path=("groups", EACH, "records")),
        Field("n", ("n",), "integer", required=True),
        Field("group", (AROUND, "groups", EACH, "name"), "string"),
        Field("sent", (AROUND, "sent"), "string"),
    )
    first = {"name": "a", "records": [{"at": AT, "n": 1}, {"at": AT}, {"at": AT, "n": 3}]}
    record = {"sent": "s", "groups": [first, {"name": "b", "records": {"at": AT, "n": 4}}, {}]}
    bad = {"groups": [{"records": 5}, {"name": "c", "records": [{"at": AT, "n": 6}]}]}
    for count in (1, 300):
        result = decoded(of_groups, *[record] * count, bad)
        assert columns(result, "n", "group", "sent") == [
            *[(1, "a", "s"), (3, "a", "s"), (4, "b", "s")] * count,
            (6, "c", None),
        ]
        assert [reject.detail for _, reject in result.rejects] == [
            *["n: required, but absent or null"] * count,
            "records: expected an array of events, found the number 5",
        ]


def test_what_is_around_an_event_is_reached_through_any_path() -> None:
    name = Selector("kind", "sales")
    reads = of(
        Envelope("list", path=("parts", name, "days", 1, "shops", EACH, "orders")),
        Field("n", ("n",), "integer"),
        Field("shop", (AROUND, "parts", name, "days", 1, "shops", EACH, "name"), "string"),
    )
    shops = [{"name": n, "orders": [{"at": AT, "n": i}]} for i, n in enumerate("ab")]
    record = {"parts": [{"kind": "other"}, {"kind": "sales", "days": [{}, {"shops": shops}]}]}
    for count in (1, 300):
        result = decoded(reads, *[record] * count)
        assert columns(result, "n", "shop") == [(0, "a"), (1, "b")] * count


def test_a_record_may_be_an_array_of_arrays_of_events() -> None:
    reads = of(
        Envelope("list", path=(EACH, "orders")),
        Field("n", ("n",), "integer"),
        Field("shop", (AROUND, EACH, "name"), "string"),
    )
    record = [{"name": "a", "orders": [{"at": AT, "n": 1}]}, {"name": "b", "orders": []}]
    assert columns(decoded(reads, record), "n", "shop") == [(1, "a")]
