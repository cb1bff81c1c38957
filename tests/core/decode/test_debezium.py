"""Messages of Debezium: changes, snapshots, flattened rows, and messages without a row."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from agent.core.model.events import Envelope, Field
from tests.core.decode.enveloped import CHANGES, change, columns, decoded


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
