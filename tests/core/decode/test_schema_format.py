"""Records with schemas, as their producers write them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import pytest

from agent.core.decode.batch import Decoded
from agent.core.decode.decoder import Decoder
from agent.core.decode.schemas import KEY_HEADER, VALUE_HEADER, SchemaId
from agent.core.model.events import REGISTRY, Contract, Field, Schema
from agent.core.model.field_types import TimeFormat
from agent.core.model.paths import Root, Selector
from tests.core.decode.protobuf_samples import classes, compiled
from tests.core.decode.samples import AT_MS, batch, contract

GUID = "89791762-2336-4186-9674-299b90a802e2"
TIME = {"type": "long", "logicalType": "timestamp-millis"}
V1 = [("type", "string"), ("id", "string"), ("at", TIME), ("price", "double")]
V2 = [
    ("at", TIME),
    ("amount", "double"),
    ("type", "string"),
    ("id", "string"),
    ("region", ["null", "string"]),
]


def avro(fields: list[tuple[str, Any]], aliases: Mapping[str, list[str]] | None = None) -> Schema:
    named = [
        {"name": name, "type": type, "aliases": (aliases or {}).get(name, [])}
        for name, type in fields
    ]
    return Schema("AVRO", json.dumps({"type": "record", "name": "Order", "fields": named}))


def written(schema: Schema, record: Any, id: int | None = 7) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(schema.text)), record)
    return (b"" if id is None else b"\0" + id.to_bytes(4, "big")) + out.getvalue()


def order(**changes: Any) -> dict[str, Any]:
    return {"type": "order", "id": "o1", "at": AT_MS, "price": 12.5, "amount": 12.5} | changes


def decode(
    values: list[bytes | None],
    schemas: Mapping[SchemaId, Schema | None],
    *fields: Field,
    format: str = "avro",
    schema: Any = REGISTRY,
    **changes: Any,
) -> Decoded:
    own: Contract = contract("order", *fields, format=format, schema=schema, **changes)
    return Decoder([own]).decode(replace(batch(values), schemas=schemas))


def verdicts(decoded: Decoded) -> list[tuple[int, str, str]]:
    return [(row, str(reject.reason), reject.detail) for row, reject in decoded.rejects]


def test_versions_of_a_schema_are_read_in_one_batch() -> None:
    old, new = avro(V1), avro(V2, {"amount": ["price"]})
    values = [
        written(old, order(price=1.0), 7),
        written(new, order(amount=2.0, region="emea"), 9),
        written(old, order(price=3.0), 7),
    ]
    decoded = decode(
        values, {7: old, 9: new}, Field("price", ("price",), "float"),
        Field("region", ("region",), "string"),
    )  # fmt: skip
    table = decoded.tables["order"]
    assert table["_row"].to_list() == [0, 1, 2]
    assert table["price"].to_list() == [1.0, 2.0, 3.0]  # by the alias, in the new one
    assert table["region"].to_list() == [None, "emea", None]
    assert table["_time"].to_list() == [AT_MS] * 3


def test_a_record_names_its_schema_in_a_header() -> None:
    schema = avro(V1)
    own = contract("order", Field("price", ("price",), "float"), format="avro", schema=REGISTRY)
    bare = written(schema, order(), None)
    headers = {
        0: [(VALUE_HEADER, b"\1" + bytes.fromhex(GUID.replace("-", "")))],
        1: [(VALUE_HEADER, b"\0\0\0\0\7")],
        2: [(VALUE_HEADER, b"\2")],
    }
    records = replace(batch([bare] * 3), headers=headers, schemas={GUID: schema, 7: schema})
    decoded = Decoder([own]).decode(records)
    assert decoded.tables["order"]["_row"].to_list() == [0, 1]
    assert [(row, str(reject.reason)) for row, reject in decoded.rejects] == [(2, "not_avro")]


def test_what_can_not_be_read_is_rejected_with_its_schema() -> None:
    schema = avro(V1)
    good = written(schema, order())
    values = [good, b'{"type": "order"}', good[:-3], good + b"x", b"\0\0\0\0\x08abc", None, good]
    decoded = decode(values, {7: schema, 8: None}, Field("price", ("price",), "float"))
    assert decoded.tables["order"]["_row"].to_list() == [0, 6]
    assert decoded.empty.tolist() == [5]
    assert verdicts(decoded) == [
        (1, "not_avro", "names no schema: expected a zero byte and the four bytes of a schema's id "
         "before the record, or the header __value_schema_id"),
        (2, "not_avro", "the record ends before its schema does (schema 7)"),
        (3, "not_avro", "1 bytes are left where the schema ends (schema 7)"),
        (4, "unknown_schema", "schema 8: the registry has none of this id"),
    ]  # fmt: skip


def test_of_many_records_only_those_are_rejected_that_can_not_be_read() -> None:
    schema = avro(V1)
    values: list[bytes | None] = [written(schema, order(id=f"o{row}")) for row in range(700)]
    broken = (3, 150, 151, 699)
    for row in broken:
        values[row] = (values[row] or b"")[:-3]
    decoded = decode(values, {7: schema}, Field("price", ("price",), "float"))
    assert [row for row, _ in decoded.rejects] == list(broken)
    assert decoded.tables["order"]["_row"].to_list() == sorted({*range(700)} - {*broken})


def test_a_verdict_names_the_field_and_the_schema() -> None:
    schema = avro([*V1[:3], ("price", "string"), ("items", ["null", "long"])])
    decoded = decode(
        [written(schema, order(price="much", items=None))],
        {7: schema},
        Field("price", ("price",), "float", required=True),
    )
    assert verdicts(decoded) == [
        (0, "wrong_type", 'price: expected a number, found the string "much" (schema 7)')
    ]


def test_a_schema_that_is_none_rejects_its_records_only() -> None:
    schema, value = avro(V1), written(avro(V1), order())
    broken = {8: Schema("AVRO", "{"), 9: Schema("JSON", "{}")}
    values = [value, b"\0\0\0\0\x08x", b"\0\0\0\0\x09x"]
    decoded = decode(values, {7: schema} | broken)
    assert decoded.tables["order"]["_row"].to_list() == [0]
    assert [(row, reason) for row, reason, _ in verdicts(decoded)] == [
        (1, "unknown_schema"), (2, "unknown_schema"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("type", "written_as", "field", "expected"),
    [
        (["null", "double"], 1.5, "float", 1.5),
        (["double", "null"], None, "float", None),
        ("float", 0.5, "float", 0.5),
        ("int", -3, "integer", -3),
        ("boolean", True, "boolean", True),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "string", "B"),
        (["null", "long", "string"], "x", "string", "x"),
        (["null", "long", "string"], 5, "integer", 5),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
         Decimal("-12.34"), "float", -12.34),
        ({"type": "fixed", "name": "D", "size": 8, "logicalType": "decimal", "precision": 9},
         Decimal(7), "integer", 7),
        ({"type": "int", "logicalType": "date"}, 19_844, "string", "2024-05-01"),
        ({"type": "string", "logicalType": "uuid"}, GUID, "string", GUID),
        ("bytes", b"\0\xff", "string", "AP8="),
        ("double", float("nan"), "float", None),
    ],
)  # fmt: skip
def test_each_type_is_what_json_would_have(
    type: Any, written_as: Any, field: Any, expected: Any
) -> None:
    schema = avro([*V1, ("x", type)])
    decoded = decode([written(schema, order(x=written_as))], {7: schema}, Field("x", ("x",), field))
    assert decoded.tables["order"]["x"].to_list() == [expected]
    assert not decoded.wrong_types


@pytest.mark.parametrize(
    ("unit", "per_second"), [("millis", 1000), ("micros", 10**6), ("nanos", 10**9)]
)
@pytest.mark.parametrize("seconds", [0, 86_400, 1_714_557_600, 7_258_118_400])
def test_a_timestamp_is_its_time_in_any_unit_and_century(
    unit: str, per_second: int, seconds: int
) -> None:
    schema = avro([V1[0], V1[1], ("at", {"type": "long", "logicalType": f"timestamp-{unit}"})])
    record = {"type": "order", "id": "o1", "at": seconds * per_second}
    plain = avro([V1[0], V1[1], ("at", "long")])
    decoded = decode([written(plain, record)], {7: schema}, max_future_ms=1 << 62)
    assert decoded.tables["order"]["_time"].to_list() == [seconds * 1000]


@pytest.mark.parametrize(
    ("type", "name", "number", "expected"),
    [
        ("int", "io.debezium.time.Date", 19_844, "2024-05-01T00:00:00Z"),
        ("long", "io.debezium.time.Timestamp", 31_536_000_000, "1971-01-01T00:00:00Z"),
        ("long", "io.debezium.time.MicroTimestamp", 31_536_000_000_000, "1971-01-01T00:00:00Z"),
        ("long", "io.debezium.time.NanoTimestamp", 31_536_000 * 10**9, "1971-01-01T00:00:00Z"),
        ("int", "io.debezium.time.Time", 43_200_000, None),
    ],
)
def test_a_name_of_debezium_says_the_unit_of_a_time(
    type: str, name: str, number: int, expected: str | None
) -> None:
    schema = avro([*V1, ("x", ["null", {"type": type, "connect.name": name}])])
    value = written(avro([*V1, ("x", ["null", type])]), order(x=number))
    at = None if expected is None else datetime.fromisoformat(expected)
    for count in (1, 300):
        table = decode(
            [value] * count,
            {7: schema},
            Field("x", ("x",), "timestamp"),
            Field("day", ("x",), "date"),
            Field("counted", ("x",), "date", format=TimeFormat(unit="day")),
        ).tables["order"]
        assert table["x"].to_list() == [at] * count
        assert table["day"].to_list() == [at and at.date()] * count
        if type == "int" and at is not None:
            assert table["counted"].to_list() == [at.date()] * count


def test_maps_arrays_and_keys_are_reached_by_paths() -> None:
    line = {"type": "record", "name": "Line", "fields": [
        {"name": "sku", "type": "string"}, {"name": "price", "type": "double"}]}  # fmt: skip
    value = avro([*V1, ("tags", {"type": "map", "values": "string"}),
                  ("lines", {"type": "array", "items": line})])  # fmt: skip
    key = avro([("shop", "string")])
    record = order(
        tags={"a": "x"}, lines=[{"sku": "s1", "price": 3.0}, {"sku": "s2", "price": 4.0}]
    )
    fields = (
        Field("tag", ("tags", "a"), "string"),
        Field("second", ("lines", Selector("sku", "s2"), "price"), "float"),
        Field("first", ("lines", 0, "price"), "float"),
        Field("shop", (Root("key"), "shop"), "string"),
    )
    own = contract("order", *fields, format="avro", schema=REGISTRY)
    records = replace(
        batch([written(value, record)]),
        keys=[written(key, {"shop": "eu"}, 8)],
        schemas={7: value, 8: key},
    )
    row = Decoder([own]).decode(records).tables["order"].to_dicts()[0]
    assert [row[name] for name in ("tag", "second", "first", "shop")] == ["x", 4.0, 3.0, "eu"]


@pytest.mark.parametrize("path", [("price",), ("lines", 0, "price"), ("prices", "a")])
@pytest.mark.parametrize("others", [["null", "string"], ["null", "string", "double"]])
def test_a_decimal_has_all_its_digits_in_columns_and_in_single_records(
    path: Any, others: list[str]
) -> None:
    price = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}
    line = {"type": "record", "name": "Line", "fields": [{"name": "price", "type": price}]}
    lists = [
        ("lines", {"type": "array", "items": line}),
        ("prices", {"type": "map", "values": price}),
    ]
    schema = avro([*V1[:3], ("price", price), *lists, ("note", others)])
    amounts = [Decimal("99999999999999.9999"), Decimal("-900719925474.0993"), Decimal("0.0001")]
    values: list[bytes | None] = [
        written(schema, order(price=n, lines=[{"price": n}], prices={"a": n}, note="x"))
        for n in amounts
    ]
    decoded = decode(values, {7: schema}, Field("n", path, "decimal", scale=4))
    assert decoded.tables["order"]["n"].to_list() == [int(n.scaleb(4)) for n in amounts]


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize(
    ("type", "key", "text"),
    [
        ("string", "o1", "o1"),
        ({"type": "string", "avro.java.string": "String"}, "æ", "æ"),
        ("long", 2**53 + 1, "9007199254740993"),
        (["null", "int"], 7, "7"),
        (
            {"type": "record", "name": "K", "fields": [{"name": "n", "type": "int"}]},
            {"n": 7},
            '{"n":7}',
        ),
    ],
)
def test_a_key_as_text_is_the_value_that_its_schema_encodes(
    type: Any, key: Any, text: str, count: int
) -> None:
    schema, of_keys = avro(V1), Schema("AVRO", json.dumps(type))
    own = contract(
        "order", Field("k", (Root("key_text"),), "string"), format="avro", schema=REGISTRY
    )
    encoded = written(of_keys, key, 8)
    records = batch([written(schema, order(id=f"o{n}")) for n in range(count)])
    plain = replace(records, keys=[b"plain"] * count, schemas={7: schema})
    assert Decoder([own]).decode(plain).tables["order"]["k"].unique().to_list() == ["plain"]
    by_id = replace(records, keys=[encoded] * count, schemas={7: schema, 8: of_keys})
    assert Decoder([own]).decode(by_id).tables["order"]["k"].to_list() == [text] * count
    named = {n: [(KEY_HEADER, encoded[:5])] for n in range(count)}
    by_header = replace(by_id, keys=[encoded[5:]] * count, headers=named)
    assert Decoder([own]).decode(by_header).tables["order"]["k"].to_list() == [text] * count


def key_texts(of_keys: Schema, *keys: bytes, **parts: Any) -> list[str]:
    """The keys as text of Avro records whose keys have a schema of any kind, with the id 8."""
    schema, key = avro(V1), Field("k", (Root("key_text"),), "string")
    own = contract("order", key, format="avro", schema=REGISTRY)
    records = batch([written(schema, order(id=f"o{n}")) for n in range(len(keys))])
    records = replace(records, keys=keys, schemas={7: schema, 8: of_keys}, **parts)
    return list(Decoder([own]).decode(records).tables["order"]["k"])


@pytest.mark.parametrize("count", [1, 100])
def test_a_key_with_a_json_schema_is_the_value_after_the_id(count: int) -> None:
    bodies = [b'"o1"', b"9007199254740993", b'{"n": 7}']
    texts = ["o1", "9007199254740993", '{"n":7}']
    of_keys = Schema("JSON", "{}")
    assert key_texts(of_keys, *[b"\0\0\0\0\x08" + b for b in bodies] * count) == texts * count
    headers = {n: [(KEY_HEADER, b"\0\0\0\0\x08")] for n in range(len(bodies))}
    assert key_texts(of_keys, *bodies, headers=headers) == texts
    assert key_texts(of_keys, b"\0\0\0\0\x08{") == ["\0\0\0\0\x08{"]


@pytest.mark.parametrize("count", [1, 100])
def test_a_key_with_a_protobuf_schema_is_its_message_as_json(count: int) -> None:
    of_keys = compiled({"key.proto": 'syntax = "proto3"; message Key { string id = 1; }'})
    body = classes(of_keys)["Key"](id="o1").SerializeToString()
    texts = ['{"id":"o1"}'] * count
    assert key_texts(of_keys, *[b"\0\0\0\0\x08\0" + body] * count) == texts
    headers = {n: [(KEY_HEADER, b"\0\0\0\0\x08\0")] for n in range(count)}
    assert key_texts(of_keys, *[body] * count, headers=headers) == texts


@pytest.mark.parametrize("count", [1, 100])
def test_a_key_of_json_records_with_schemas_is_the_value_after_the_id(count: int) -> None:
    bodies = [b'"o1"', b"9007199254740993", b'{"n": 7}']
    texts = ["o1", "9007199254740993", '{"n":7}']
    record, key = json.dumps(order()).encode(), Field("k", (Root("key_text"),), "string")
    own = contract("order", key, format="json", schema=REGISTRY, ids=((Root("offset"),),))

    def read(*keys: bytes, **parts: Any) -> list[str]:
        records = replace(batch([b"\0\0\0\0\7" + record] * len(keys)), keys=keys, **parts)
        return list(Decoder([own]).decode(records).tables["order"]["k"])

    assert read(*[b"\0\0\0\0\x08" + body for body in bodies] * count) == texts * count
    headers = {n: [(KEY_HEADER, b"\0\0\0\0\x08")] for n in range(len(bodies))}
    assert read(*bodies, headers=headers) == texts
    assert read(b"o1", b'"o1"', b"\0\0\0\0\x08{") == ["o1", '"o1"', "\0\0\0\0\x08{"]


def test_records_without_ids_are_read_with_the_file() -> None:
    schema = avro(V1)
    decoded = decode(
        [written(schema, order(), None)], {}, Field("price", ("price",), "float"), schema=schema
    )
    assert decoded.tables["order"]["price"].to_list() == [12.5]


PROTO = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Order {
  string type = 1; string id = 2; google.protobuf.Timestamp at = 3;
  double price = 4; optional int64 items = 5; Address to = 6;
}
message Address { string region = 1; }
"""


def test_protobuf_records_name_the_message_that_they_are() -> None:
    schema = compiled({"order.proto": PROTO})
    messages = classes(schema)
    at = {"seconds": AT_MS // 1000}
    value = messages["Order"](type="order", id="o1", at=at, price=2.5, to={"region": "emea"})
    body = value.SerializeToString()
    values = [
        b"\0\0\0\0\7\0" + body,
        b"\0\0\0\0\7\2\0" + body,
        b"\0\0\0\0\7\2\2" + messages["Address"](region="emea").SerializeToString(),
        b"\0\0\0\0\7\2\x12" + body,
        b"\0\0\0\0\7\0" + body[:-2],
    ]
    fields = (
        Field("price", ("price",), "float"),
        Field("items", ("items",), "integer"),
        Field("region", ("to", "region"), "string"),
    )
    decoded = decode(values, {7: schema}, *fields, format="protobuf")
    rows = decoded.tables["order"].to_dicts()
    assert [(r["_row"], r["price"], r["items"], r["region"]) for r in rows] == [
        (0, 2.5, None, "emea"), (1, 2.5, None, "emea"),
    ]  # fmt: skip
    assert decoded.ignored.tolist() == [2]
    assert [(row, reason) for row, reason, _ in verdicts(decoded)] == [
        (3, "not_protobuf"), (4, "not_protobuf"),
    ]  # fmt: skip


def test_a_protobuf_message_of_a_file_stands_bare() -> None:
    schema = compiled({"order.proto": PROTO}, message="Order")
    at = {"seconds": AT_MS // 1000, "nanos": 5_000_000}
    body = classes(schema)["Order"](type="order", at=at, items=0).SerializeToString()
    decoded = decode(
        [body], {}, Field("items", ("items",), "integer"), format="protobuf", schema=schema
    )
    assert decoded.tables["order"].to_dicts()[0]["items"] == 0
    assert decoded.tables["order"]["_time"].to_list() == [AT_MS + 5]


def test_json_behind_a_schema_id_is_read_as_json() -> None:
    record = json.dumps(order()).encode()
    values = [b"\0\0\0\0\7" + record, record, b"\0\0\0\0\7", b"\0\0\0\0\7" + record[:-1]]
    decoded = decode(values, {}, Field("price", ("price",), "float"), format="json")
    assert decoded.tables["order"]["price"].to_list() == [12.5, 12.5]
    assert [(row, reason) for row, reason, _ in verdicts(decoded)] == [
        (2, "not_json"), (3, "not_json"),
    ]  # fmt: skip
    assert "schema 7" in decoded.rejects[1][1].detail
