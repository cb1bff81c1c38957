"""Where a schema does not fit a contract, the same for Avro, Protobuf and JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.core.decode.schema_fit import misfits
from agent.core.decode.schema_shape import record_name, shape_of
from agent.core.model.events import Schema
from agent.language.load import load
from tests.core.decode.protobuf_samples import compiled

FIELDS = """
    amount: float
    count: {type: integer, required: true}
    city: {path: address.city, type: string}
    state: {type: string, enum: [paid, sent]}
    tags: [string]
    sent: timestamp
    price: decimal
    first: {path: "lines[0].sku", type: string}
"""


def avro(*fields: tuple[str, Any], name: str = "Order") -> dict[str, Any]:
    made = [{"name": name, "type": type} for name, type in fields]
    return {"type": "record", "name": name, "fields": made}


def json_schema(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
STATE = {"type": "enum", "name": "State", "symbols": ["paid", "sent"]}
LINE = {"type": "array", "items": avro(("sku", "string"), name="Line")}
GOOD = (
    ("at", MILLIS),
    ("amount", ["null", "double"]),
    ("count", "int"),
    ("address", avro(("city", "string"), name="Address")),
    ("state", STATE),
    ("tags", {"type": "array", "items": "string"}),
    ("sent", MILLIS),
    ("price", DECIMAL),
    ("lines", LINE),
)


def with_field(name: str, type: Any) -> Schema:
    """The schema that fits, with another field in the place of one; None: without it."""
    fields = [(other, t if other != name else type) for other, t in GOOD]
    return Schema("AVRO", json.dumps(avro(*(f for f in fields if f[1] is not None))))


def problems_with(
    folder: Path, schema: Schema, more: str = "", fields: str = FIELDS, *, is_key: bool = False
) -> list[tuple[str, str]]:
    rules = folder / "rules.yaml"
    event = f"topic: shop\n  type_field: none\n  {more or 'time: at'}\n  fields:{fields}"
    rules.write_text(
        f"version: 1\nevents:\n order:\n  {event}\n"
        "kpis:\n n: {from: order, value: count(*), window: 1h}\n"
    )
    contract = load(rules).contracts["order"]
    return [
        (".".join(misfit.part), misfit.message)
        for misfit in misfits(contract, shape_of(schema), is_key=is_key)
    ]


def test_a_schema_that_has_all_that_is_read_fits(tmp_path: Path) -> None:
    assert problems_with(tmp_path, with_field("", None)) == []
    proto = """
        syntax = "proto3";
        import "google/protobuf/timestamp.proto";
        enum State { paid = 0; sent = 1; }
        message Address { string city = 1; }
        message Line { string sku = 1; }
        message Order {
          google.protobuf.Timestamp at = 1; float amount = 2; int64 count = 3; Address address = 4;
          State state = 5; repeated string tags = 6; google.protobuf.Timestamp sent = 7;
          string price = 8; repeated Line lines = 9;
        }
        """
    assert problems_with(tmp_path, compiled({"order.proto": proto}, "Order")) == []
    text = {"type": "string"}
    order = json_schema(
        ["at", "count"],
        at={"type": "string", "format": "date-time"},
        amount={"type": ["number", "null"]},
        count={"allOf": [{"type": "number"}, {"type": "integer"}]},
        address={"$ref": "#/definitions/address"},
        state={"enum": ["paid", "sent"]},
        tags={"type": "array", "items": text},
        sent={"oneOf": [{"type": "null"}, {"type": "integer"}]},
        price={},
        lines={"type": "array", "items": {"$ref": "line.json"}},
    )
    order["definitions"] = {"address": json_schema([], city=text)}
    line = json.dumps(json_schema([], sku=text))
    assert problems_with(tmp_path, Schema("JSON", json.dumps(order), (("line.json", line),))) == []


@pytest.mark.parametrize(
    ("name", "type", "message"),
    [
        ("at", None, "time: the schema has no at; it has amount, count, address"),
        ("amount", None, "amount: the schema has no amount; it has at, count"),
        ("amount", "string", "amount: amount is a string in the schema: expected an integer or"),
        ("amount", ["double", "string"], "amount: amount is a number or a string in the schema"),
        ("count", ["null", "int"], "count: count may be null or absent in the schema, and it is"),
        ("count", "double", "count: count is a number in the schema: expected an integer"),
        ("address", "string", "city: address is a string in the schema: expected an object"),
        ("address", avro(("town", "string"), name="A"), "city: the schema has no address.city"),
        ("state", STATE | {"symbols": ["paid", "gone"]}, "state: state may be gone in the schema"),
        ("tags", {"type": "array", "items": "int"}, "tags: tags holds an integer in the schema"),
        ("sent", "boolean", "sent: sent is a boolean in the schema: expected an integer or a num"),
        ("lines", avro(("sku", "string"), name="L"), "first: lines is an object in the schema"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, name: str, type: Any, message: str) -> None:
    [(part, said)] = problems_with(tmp_path, with_field(name, type))
    assert f"{part.removeprefix('fields.')}: {said}".startswith(message)


@pytest.mark.parametrize("type", [{"type": "map", "values": "double"}, ["null", "double"]])
def test_what_a_map_or_an_alias_reaches_is_there(tmp_path: Path, type: Any) -> None:
    inner = avro(("old", "double"))
    inner["fields"][0] |= {"name": "new", "aliases": ["old"], "type": type}
    schema = Schema("AVRO", json.dumps(inner))
    path = "new.x" if "type" in type else "old"
    fields = f" {{v: {{path: {path}, type: float}}}}"
    assert problems_with(tmp_path, schema, "time: record", fields) == []


def test_of_several_times_one_is_enough(tmp_path: Path) -> None:
    schema = Schema("AVRO", json.dumps(avro(("sent", "long"), ("at", "boolean"))))
    fields = " {}"
    assert problems_with(tmp_path, schema, "time: [gone, sent]", fields) == []
    assert problems_with(tmp_path, schema, "time: [gone, record]", fields) == []
    assert problems_with(tmp_path, schema, "time: [gone, lost]", fields) == [
        ("time", "the schema has no gone; it has sent, at")
    ]
    [(part, _)] = problems_with(tmp_path, schema, "time: [at, sent]", fields)
    assert part == "time"


def test_a_time_in_two_fields_needs_both(tmp_path: Path) -> None:
    schema = Schema("AVRO", json.dumps(avro(("day", "string"), ("clock", "string"), ("n", "int"))))
    fields = " {}"
    for time, wrong in (
        ("{path: day, time_of_day: clock}", []),
        ("{path: day, time_of_day: n}", ["n is an integer in the schema: expected a string"]),
        ("{path: day, time_of_day: gone}", ["the schema has no gone; it has day, clock, n"]),
        ("[{path: day, time_of_day: gone}, record]", []),
        ("[{path: gone, time_of_day: lost}, {path: day, time_of_day: clock}]", []),
        ("[{path: gone, time_of_day: lost}, lost]", ["the schema has no gone; it has day, clock"]),
    ):
        messages = [said for _, said in problems_with(tmp_path, schema, f"time: {time}", fields)]
        assert len(messages) == len(wrong) and all(map(str.startswith, messages, wrong)), time


def test_an_envelope_is_where_its_events_are(tmp_path: Path) -> None:
    row = avro(("id", "long"), ("status", "string"), name="Row")
    change = avro(("op", "string"), ("before", ["null", row]), ("after", ["null", "Row"]))
    schema = Schema("AVRO", json.dumps(change))
    fields = " {status: string, op: {path: {envelope: op}, type: string}}"
    more = "envelope: debezium\n  time: record"
    assert problems_with(tmp_path, schema, more, fields) == []
    assert problems_with(tmp_path, schema, more, " {gone: string}") == [
        ("fields.gone", "the schema has no after.gone; it has id, status")
    ]


def test_keys_and_values_have_schemas_of_their_own(tmp_path: Path) -> None:
    schema = Schema("AVRO", json.dumps(avro(("id", "string"))))
    fields = " {id: {path: {key: id}, type: integer}, amount: float}"
    wrong_key = ("fields.id", "id is a string in the schema: expected an integer")
    assert problems_with(tmp_path, schema, "time: record", fields, is_key=True) == [wrong_key]
    assert [part for part, _ in problems_with(tmp_path, schema, "time: record", fields)] == [
        "fields.amount"
    ]


def test_what_a_schema_says_nothing_of_is_not_in_doubt(tmp_path: Path) -> None:
    assert problems_with(tmp_path, Schema("JSON", "{}"), fields=" {amount: float}") == []
    open_schema = json.dumps({"type": "object", "additionalProperties": {"type": "string"}})
    assert (
        problems_with(tmp_path, Schema("JSON", open_schema), "time: record", " {name: string}")
        == []
    )


def test_the_message_of_records_is_the_one_that_no_other_holds(tmp_path: Path) -> None:
    text = """syntax = "proto3";
        package shop;
        message Place { string city = 1; }
        message Order { int64 at = 1; Place place = 2; repeated Order parts = 3; }
    """
    schema = compiled({"shop.proto": text})
    fields = " {city: {path: place.city, type: string}}"
    assert problems_with(tmp_path, schema, fields=fields) == []
    assert record_name(schema) == "shop.Order"
    several = compiled({"shop.proto": text + "message Refund { int64 at = 1; }"})
    assert record_name(several) == "shop.Place"
