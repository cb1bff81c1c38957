"""Contracts that read more than keys of an object: other roots, arrays, lines, strings of JSON."""

import base64
import gzip
import json
from dataclasses import replace
from typing import Any

import numpy as np

from agent.core.decode.batch import Batch, Decoded
from agent.core.decode.decoder import Decoder
from agent.core.model.events import Contract, Field, InnerText, TimeSource
from agent.core.model.paths import Elements, Root, Selector
from tests.core.decode.samples import AT, AT_MS, VISIT, batch, contract

EACH = Elements()
LINES = contract(
    "order",
    Field("price", ("lines", EACH, "price"), "float", required=True),
    Field("sku", ("lines", EACH, "sku"), "string"),
    Field("customer", ("customer",), "string"),
    each=("lines",),
)


def decoded(of: Contract, *records: Any, **parts: Any) -> Decoded:
    values = [r if isinstance(r, bytes | None) else json.dumps(r).encode() for r in records]
    return Decoder([of]).decode(replace(batch(values), **parts))


def order(**members: Any) -> dict[str, Any]:
    return {"type": "order", "id": "o1", "at": AT, **members}


def columns(result: Decoded, *names: str) -> list[tuple[Any, ...]]:
    (table,) = result.tables.values()
    return table.select(names).rows()


def test_paths_reach_elements_of_arrays_and_keys_with_dots() -> None:
    of = contract(
        "order",
        Field("second", ("prices", 1), "float"),
        Field("who", ("params", Selector("key", "who"), "value"), "string"),
        Field("code", ("attributes", "http.status"), "integer"),
    )
    record = order(
        prices=[1, 2.5],
        params=[{"key": "x", "value": "no"}, 3, {"key": "who", "value": "me"}],
        attributes={"http.status": 200},
    )
    result = decoded(of, record, order(prices=[1], params=[]))
    assert columns(result, "second", "who", "code") == [(2.5, "me", 200), (None, None, None)]


def test_something_else_in_the_place_of_an_array_is_a_wrong_type() -> None:
    optional = contract("order", Field("second", ("prices", 1), "float"))
    result = decoded(optional, order(prices=7))
    assert columns(result, "second") == [(None,)]
    assert result.wrong_types["order", "second"].tolist() == [0]
    required = contract("order", Field("second", ("prices", 1), "float", required=True))
    ((_, reject),) = decoded(required, order(prices=7)).rejects
    assert reject.detail == "prices: expected an array, found the number 7"


def test_key_headers_and_the_record_itself_are_read() -> None:
    of = contract(
        "order",
        Field("region", (Root("header", "region"),), "string"),
        Field("tries", (Root("header", "tries"),), "integer"),
        Field("user", (Root("key"), "user", "id"), "string"),
        Field("partition", (Root("partition"),), "integer"),
        Field("topic", (Root("topic"),), "string"),
        type_path=(Root("header", "type"),),
        times=(TimeSource(("missing",)), TimeSource((Root("timestamp"),))),
        ids=((Root("key_text"),),),
    )
    headers = [("region", b"no"), ("type", b"order"), ("region", b"emea"), ("tries", b"3")]
    key = b'{"user":{"id":"u1"}}'
    result = decoded(of, {}, {}, keys=[key, None], headers={0: headers})
    assert columns(result, "region", "tries", "user", "partition", "topic", "_time", "_id") == [
        ("emea", 3, "u1", 3, "events", AT_MS, key.decode())
    ]
    assert result.ignored.tolist() == [1]


def test_a_key_or_header_that_can_not_be_read_rejects_its_record() -> None:
    of = contract("order", Field("user", (Root("key"), "id"), "string"))
    named = contract("order", Field("name", (Root("header", "name"),), "string"))
    ((_, key),) = decoded(of, order(), keys=[b"{"]).rejects
    ((_, header),) = decoded(named, order(), headers={0: [("name", b"\xff")]}).rejects
    assert (key.reason, header.reason) == ("not_json", "not_utf8")
    assert header.detail == "header name: byte 0 is not UTF-8"


def test_the_lines_of_a_file_have_no_timestamp() -> None:
    of = contract("order", times=(TimeSource((Root("timestamp"),)),))
    ((_, reject),) = decoded(of, order(), timestamped=False).rejects
    assert (reject.reason, reject.detail) == (
        "no_time", "{record: timestamp}: the event time is absent"
    )  # fmt: skip


def test_of_several_times_the_first_that_is_there_counts() -> None:
    of = contract("order", times=(TimeSource(("paid",)), TimeSource(("at",))))
    paid = "2024-05-01T09:00:00Z"
    result = decoded(of, order(paid=paid), order(paid=None), order(paid="soon"))
    assert columns(result, "_time") == [(AT_MS - 3_600_000,), (AT_MS,)]
    ((row, reject),) = result.rejects
    assert (row, reject.reason) == (2, "bad_time")


def test_an_identity_of_several_parts_is_lacking_where_one_is() -> None:
    of = contract("order", ids=(("id",), ("line",)))
    result = decoded(of, order(line=1), order(line=2), order(), order(line="1"), order(id="o1\x1f"))
    ids = [id_ for (id_,) in columns(result, "_id")]
    assert ids[0] == ids[3] != ids[1]
    assert (ids[2], ids[4]) == (None, None)


def test_parts_of_identities_do_not_run_into_each_other() -> None:
    of = contract("order", ids=(("id",), ("line",)))
    pairs = [("a\x1f", "b"), ("a", "\x1fb"), ("a\x1f \x1f", "b"), ("a", "\x1f \x1fb"), ("a ", "b")]
    result = decoded(of, *(order(id=id_, line=line) for id_, line in pairs))
    assert len({id_ for (id_,) in columns(result, "_id")}) == len(pairs)


def test_a_line_is_a_row_with_its_events_own_fields() -> None:
    record = order(customer="c", lines=[{"price": 1, "sku": "x"}, {"price": 2.5}])
    result = decoded(LINES, record)
    assert columns(result, "_row", "price", "sku", "customer") == [
        (0, 1.0, "x", "c"), (0, 2.5, None, "c")
    ]  # fmt: skip
    (first, second) = (id_ for (id_,) in columns(result, "_id"))
    assert first != second


def test_one_bad_line_is_a_bad_event() -> None:
    good, bad = order(lines=[{"price": 1}]), order(lines=[{"price": 1}, {"price": "x"}])
    result = decoded(LINES, bad, good, order(lines=[{"price": 1}, 3]))
    assert columns(result, "_row") == [(1,)]
    assert [(row, r.reason, r.detail) for row, r in result.rejects] == [
        (0, "wrong_type", 'lines[].price: expected a number, found the string "x"'),
        (2, "wrong_type", "lines[]: expected an object, found the number 3"),
    ]


def test_an_event_without_lines_is_empty() -> None:
    result = decoded(LINES, order(lines=[]), order(), order(lines=[{"price": 1}]), None)
    assert result.empty.tolist() == [0, 1, 3]
    assert columns(result, "_row") == [(2,)]


def test_lines_of_lines_and_their_position() -> None:
    of = contract(
        "order",
        Field("sku", ("parcels", EACH, "items", EACH, "sku"), "string"),
        Field("parcel", ("parcels", EACH, "number"), "integer"),
        Field("position", (Root("index"),), "integer"),
        each=("parcels", EACH, "items"),
    )
    parcels = [{"number": 7, "items": [{"sku": "a"}, {"sku": "b"}]}, {"number": 8}]
    result = decoded(of, order(parcels=[*parcels, {"number": 9, "items": [{"sku": "c"}]}]))
    assert columns(result, "sku", "parcel", "position") == [("a", 7, 0), ("b", 7, 1), ("c", 9, 2)]


def test_the_record_itself_may_be_the_array() -> None:
    of = contract(
        "order",
        Field("price", (EACH, "price"), "float"),
        each=(),
        type_path=None,
        times=(TimeSource((EACH, "at")),),
        ids=(),
    )
    result = decoded(of, [{"price": 1, "at": AT}, {"price": 2, "at": AT}], {"price": 3})
    assert columns(result, "_row", "price") == [(0, 1.0), (0, 2.0)]
    assert [row for row, _ in result.rejects] == [1]


def test_strings_that_hold_json_are_read() -> None:
    inner = json.dumps({"amount": 5, "at": AT}).encode()
    packed = base64.b64encode(gzip.compress(inner)).decode()
    of = contract(
        "order",
        Field("amount", ("data", "amount"), "integer"),
        times=(TimeSource(("data", "at")),),
        decode=(InnerText(("data",), ("base64", "gzip", "json")),),
    )
    result = decoded(of, order(data=packed), order(data=json.loads(inner)), order(data="%"))
    assert columns(result, "_row", "amount") == [(0, 5), (1, 5)]
    ((row, reject),) = result.rejects
    assert (row, reject.detail) == (2, 'data: expected base64, found the string "%"')


def test_a_string_that_unpacks_to_gigabytes_is_refused() -> None:
    bomb = base64.b64encode(gzip.compress(b" " * 20_000_000)).decode()
    of = contract("order", decode=(InnerText(("data",), ("base64", "gzip", "json")),))
    ((_, reject),) = decoded(of, order(data=bomb)).rejects
    assert reject.reason == "wrong_type"


def test_a_type_inside_a_string_is_found_and_other_types_are_left_alone() -> None:
    inside = contract(
        "order",
        type_path=("data", "type"),
        decode=(InnerText(("data",), ("json",)),),
    )
    record = {"id": 1, "at": AT, "data": '{"type":"order"}'}
    assert columns(decoded(inside, record), "_row") == [(0,)]
    beside = contract("order", decode=(InnerText(("data",), ("json",)),))
    result = decoded(beside, {"type": "visit", "data": "no JSON"})
    assert (result.ignored.tolist(), result.rejects) == ([0], ())


def test_contracts_that_need_extraction_and_those_that_do_not_share_a_topic() -> None:
    values = [json.dumps(order(lines=[{"price": 1}, {"price": 2}])).encode(), b"{", b"[]", b""]
    values.append(json.dumps({"type": "visit", "id": "v", "at": AT}).encode())
    result = Decoder([VISIT, LINES]).decode(batch(values))
    assert result.tables["order"]["_row"].to_list() == [0, 0]
    assert result.tables["visit"]["_row"].to_list() == [4]
    assert [(row, r.contract, r.reason) for row, r in result.rejects] == [
        (1, None, "not_json"), (2, None, "not_an_object")
    ]  # fmt: skip
    assert result.empty.tolist() == [3]


def test_of_duplicate_keys_the_first_counts_here_too() -> None:
    of = contract("order", Field("first", ("prices", 0), "float"))
    record = b'{"type":"order","id":"o","at":"%s","prices":[1],"prices":[2]}' % AT.encode()
    assert columns(decoded(of, record), "first") == [(1.0,)]


def test_too_large_records_are_told_by_the_record_not_its_document() -> None:
    of = replace(LINES, max_bytes=100)
    ((_, reject),) = decoded(of, order(lines=[{"price": 1}] * 20)).rejects
    assert (reject.reason, reject.contract) == ("too_large", "order")


def test_whole_numbers_beyond_64_bits_and_decimals_keep_their_digits() -> None:
    of = contract("order", Field("big", ("x", 0), "integer"), Field("text", ("x", 1), "string"))
    result = decoded(of, order(x=[2**63, "a"]), order(x=[2**63 - 1, "b"]))
    assert columns(result, "big", "text") == [(None, "a"), (2**63 - 1, "b")]


def test_a_batch_without_records_of_interest_gives_an_empty_table() -> None:
    result = Decoder([LINES]).decode(batch([]))
    assert result.tables["order"].height == 0
    empty = Batch("events", [], np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert Decoder([LINES, VISIT]).decode(empty).tables["visit"].height == 0
