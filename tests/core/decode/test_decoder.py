"""Decoding: what becomes of each record, whatever stands beside it in the batch."""

import gzip
import json
import resource
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cramjam
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.decode.batch import Batch, Decoded
from agent.core.decode.decoder import Decoder
from agent.core.decode.single_record import is_too_deep
from agent.core.decode.time_text import END_MS
from agent.core.model.events import Contract, Field
from agent.core.model.results import Reason
from tests.core.decode.samples import ANY, AT, AT_MS, HOUR_MS, ORDER, VISIT, batch, contract, order


def decode(contracts: Sequence[Contract], *values: bytes | None) -> Decoded:
    return Decoder(contracts).decode(batch(values))


def verdict(contracts: Sequence[Contract], value: bytes) -> tuple[str, str | None] | str:
    """'table', 'empty', 'ignored' or (reason, contract) of one record for one contract."""
    got = decode(contracts, value)
    if got.rejects:
        ((_, reject),) = got.rejects
        return str(reject.reason), reject.contract
    if got.empty.size:
        return "empty"
    return "ignored" if got.ignored.size else "table"


def test_a_record_becomes_a_row_with_its_place_time_id_and_fields() -> None:
    got = decode(
        [ORDER, VISIT],
        order(items=2, region="emea", gift=True, user={"id": "u1"}),
        json.dumps({"type": "visit", "id": 7, "at": AT_MS, "page": "/"}).encode(),
        order(id=None, amount=3),
    )
    assert got.tables["order"].to_dicts() == [
        {"_row": 0, "_partition": 3, "_offset": 100, "_time": AT_MS, "_id": "o1"}
        | {"amount": 12.5, "items": 2, "region": "emea", "gift": True, "user_id": "u1"},
        {"_row": 2, "_partition": 3, "_offset": 102, "_time": AT_MS, "_id": None}
        | {"amount": 3.0, "items": None, "region": None, "gift": None, "user_id": None},
    ]
    assert got.tables["visit"].to_dicts() == [
        {"_row": 1, "_partition": 3, "_offset": 101, "_time": AT_MS, "_id": "7"}
        | {"page": "/", "region": None}
    ]
    assert (got.rejects, got.empty.tolist(), got.ignored.tolist()) == ((), [], [])


def test_the_columns_have_the_declared_types_also_in_an_empty_table() -> None:
    expected = {
        "_row": pl.UInt32,
        "_partition": pl.Int32,
        "_offset": pl.Int64,
        "_time": pl.Int64,
        "_id": pl.String,
        "amount": pl.Float64,
        "items": pl.Int64,
        "region": pl.String,
        "gift": pl.Boolean,
        "user_id": pl.String,
    }
    assert dict(decode([ORDER], order()).tables["order"].schema) == expected
    assert dict(decode([ORDER]).tables["order"].schema) == expected
    assert dict(decode([ORDER], b"nonsense").tables["order"].schema) == expected


REJECTED = [
    (b"{", "not_json"),
    (b"nonsense", "not_json"),
    (order() + b"x", "not_json"),
    (order() + order(), "not_json"),
    (order() + b"\n" + order(), "not_json"),
    (b"\xef\xbb\xbf" + order(), "not_json"),
    (order().replace(b"12.5", b"NaN"), "not_json"),
    (order().replace(b"12.5", b"Infinity"), "not_json"),
    (order().replace(b"12.5", b"1e999"), "not_json"),
    (order(other=1).replace(b": 1}", b": 1e999}"), "not_json"),
    (order(other=10**50), "not_json"),
    (order(other="a\nb").replace(b"\\n", b"\n"), "not_json"),
    (order(other="a\tb").replace(b"\\t", b"\t"), "not_json"),
    (order().replace(b'"o1"', b'"' + b"1" * 5 + b"\x00"), "not_json"),
    (order(other=[[]]).replace(b"[[]]", b"[" * 300 + b"]" * 300), "not_json"),
    (order(other=[[]]).replace(b"[[]]", b"[" * 9000 + b"]" * 9000), "not_json"),
    (b"[" * 100_000, "not_json"),
    (order(region="\xff").replace(b"\\u00ff", b"\xff"), "not_utf8"),
    (order(other="\xff").replace(b"\\u00ff", b"\xff"), "not_utf8"),
    (order(region="\ud800"), "not_utf8"),
    (order(other="\ud800"), "not_utf8"),
    (order(other="\ude00\ud83d"), "not_utf8"),
    (order(other="\\\ud800"), "not_utf8"),
    (b"[]", "not_an_object"),
    (b"5", "not_an_object"),
    (b"null", "not_an_object"),
    (b'"text"', "not_an_object"),
    (order(amount="12.5"), "wrong_type"),
    (order(amount=True), "wrong_type"),
    (order(amount=[1]), "wrong_type"),
    (order(id=1.5), "wrong_type"),
    (order(id=True), "wrong_type"),
    (order(id={}), "wrong_type"),
    (order(amount="x", at="y"), "wrong_type"),
    (b'{"type":"order","at":0,"amount":"x","amount":1}', "wrong_type"),
    (order(amount=None), "missing_field"),
    (json.dumps({"type": "order", "at": "x"}).encode(), "missing_field"),
    (order(at=None), "no_time"),
    (json.dumps({"type": "order", "amount": 1}).encode(), "no_time"),
    (order(at="yesterday"), "bad_time"),
    (order(at=""), "bad_time"),
    (order(at=True), "bad_time"),
    (order(at={}), "bad_time"),
    (order(at=-5), "bad_time"),
    (order(at="yesterday", amount=-1), "bad_time"),
    (order(at="2024-05-01T11:00:00.001Z"), "future_time"),
    (order(at="2024-05-01T11:00:00.001Z", amount=-1), "future_time"),
    (order(amount=-0.01), "out_of_bounds"),
    (order(amount=1000.5), "out_of_bounds"),
]


@pytest.mark.parametrize(("value", "reason"), REJECTED)
def test_a_bad_record_is_rejected_alone_with_its_reason(value: bytes, reason: str) -> None:
    assert verdict([ORDER], value) == (reason, "order")


NULLED = [
    (order(items=1.0), "items"),
    (order(items=1.5), "items"),
    (order(items="1"), "items"),
    (order(items=True), "items"),
    (order(items=2**63), "items"),
    (order(gift=1), "gift"),
    (order(gift="true"), "gift"),
    (order(region=5), "region"),
    (order(region=-1.5), "region"),
    (order(region=True), "region"),
    (order(region={"a": 1}), "region"),
    (order(region=["a"]), "region"),
    (order(user={"id": 5}), "user_id"),
    (order(user={"id": False}), "user_id"),
    (order(user=5), "user_id"),
    (order(user="u1"), "user_id"),
    (order(user=["u1"]), "user_id"),
    (b'{"type":"order","at":0,"amount":1,"region":5,"region":"5"}', "region"),
    (b'{"type":"order","at":0,"amount":1,"it\\u0065ms":"5"}', "items"),
    (b'{"type":"order","at":0,"amount":1,"items":"5","items":5}', "items"),
]


@pytest.mark.parametrize(("value", "field"), NULLED)
def test_an_optional_field_of_another_type_is_null_and_noted(value: bytes, field: str) -> None:
    got = decode([ORDER], order(), value)
    assert got.rejects == ()
    assert got.tables["order"][field].to_list()[1] is None
    assert {key: rows.tolist() for key, rows in got.wrong_types.items()} == {("order", field): [1]}


def test_what_is_required_or_says_when_and_which_still_rejects() -> None:
    got = decode(
        [ORDER],
        order(amount="x", items="x"),
        order(id=1.5, items="x"),
        order(items="x", at="yesterday"),
    )
    assert [r.reason.value for _, r in got.rejects] == ["wrong_type", "wrong_type", "bad_time"]
    assert got.wrong_types == {}


HEADS = {
    "gzip": b"\x1f\x8b\x08",
    "zlib, fast": b"\x78\x01",
    "zlib": b"\x78\x9c",
    "zlib, best": b"\x78\xda",
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": b"\x04\x22\x4d\x18",
    "bzip2": b"BZh9",
    "xz": b"\xfd7zXZ\x00",
    "snappy": b"\xff\x06\x00\x00sNaPpY",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_bytes_that_begin_as_a_compressed_file_are_a_bad_record_and_no_longer(
    head: bytes, first: bool
) -> None:
    junk = head + b"junk"
    got = decode([ORDER], *([junk, order()] if first else [order(), junk]))
    assert got.tables["order"].height == 1
    assert [(row, r.reason.value) for row, r in got.rejects] in (
        [(0 if first else 1, "not_json")],
        [(0 if first else 1, "not_utf8")],
    )


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, cramjam.zstd.compress])
def test_compressed_events_are_never_unpacked(compress: Callable[[bytes], bytes]) -> None:
    made_up = b"\n".join(order(id=f"made-up-{n}") for n in range(3))
    packed = [bytes(compress(made_up)), bytes(compress(order(id="c")))]
    values = [packed[0], order(id="a"), order(id="b"), packed[1]]
    got = decode([ORDER], *values)
    assert got.tables["order"].select("_row", "_id").rows() == [(1, "a"), (2, "b")]
    assert [row for row, _ in got.rejects] == [0, 3]


def test_a_record_that_would_unpack_to_gigabytes_takes_no_memory() -> None:
    packer = zlib.compressobj()
    bomb = b"".join(packer.compress(b"\n" * (1 << 20)) for _ in range(256)) + packer.flush()
    assert len(bomb) < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    got = decode([ORDER], bomb, order())
    assert got.tables["order"].height == 1
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown_bytes < 64 << 20


def test_what_a_library_raises_costs_only_the_records_that_it_raises_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_ndjson = pl.read_ndjson

    def failing(source: bytes, **arguments: Any) -> pl.DataFrame:
        if b"poison" in source:
            raise OSError("a library's own error")
        return read_ndjson(source, **arguments)

    monkeypatch.setattr(pl, "read_ndjson", failing)
    got = decode([ORDER], order(id="a"), order(id="poison"), order(id="b"))
    assert got.tables["order"]["_id"].to_list() == ["a", "b"]
    assert [(row, r.reason.value) for row, r in got.rejects] == [(1, "not_json")]


def nested(depth: int, width: int) -> bytes:
    """A record with `width` values, each of them `depth` levels deep."""
    value = b"[" * depth + b'"]"' + b"]" * depth
    return order(other=0).replace(b'"other": 0', b'"other": [' + b",".join([value] * width) + b"]")


DEEP = [
    (nested(254, 1), False),
    (nested(255, 1), True),
    (nested(254, 300), False),
    (nested(2, 5000), False),
    (nested(2, 5000).replace(b'"]"', b'"\\\\\\"]]]]"'), False),
    (nested(254, 3).replace(b'"]"', b'"[[[[\\""'), False),
    (b"[" * 300 + b'\\"' * 400_000, True),
    (b'{"a":' * 300 + b'"' * 999, True),
]


@pytest.mark.parametrize(("value", "deep"), DEEP)
def test_depth_is_counted_outside_strings(value: bytes, deep: bool) -> None:
    assert is_too_deep(value) is deep


TAKEN = [
    order(),
    order(amount=0),
    order(amount=1000),
    order(amount=10**2, items=-(2**63)),
    order(items=2**63 - 1),
    order(items=None, region=None, user=None, gift=None),
    order(user={}),
    order(region="5"),
    order(region="true"),
    order(region="{"),
    order(region="[1]"),
    order(region=""),
    order(region="\U0001f600"),
    order(region="\\ud800"),
    order(region="a\nb\u2028\x00"),
    order(id=5),
    order(id="1.5"),
    order(at=AT_MS),
    order(at=AT_MS / 1000),
    order(at=str(AT_MS)),
    order(at="2024-05-01T11:00:00Z"),
    order(other=10**30),
    order(other={"deep": [[[{"amount": "x"}]]]}),
    json.dumps(json.loads(order(region="5")), indent=2).encode(),
    b"\n\t " + order() + b" \r\n",
    b'{"type":"order","at":0,"amount":1,"amount":"x"}',
    b'{"type":"order","at":0,"am\\u006funt":1}',
    b'{"type":"order","at":0,"amount":1,"region":"5","region":5}',
]


@pytest.mark.parametrize("value", TAKEN)
def test_a_good_record_is_taken(value: bytes) -> None:
    assert verdict([ORDER], value) == "table"


def rows_of(got: Decoded, row: int) -> dict[str, Any]:
    """All that a batch says of one record, without its place."""
    return {
        "tables": {
            name: table.filter(pl.col("_row") == row).drop("_row", "_offset").to_dicts()
            for name, table in got.tables.items()
        },
        "rejects": [(r.contract, r.reason, r.detail) for at, r in got.rejects if at == row],
        "wrong types": [key for key, rows in got.wrong_types.items() if row in rows],
        "empty": row in got.empty,
        "ignored": row in got.ignored,
    }


def assert_each_as_alone(contracts: Sequence[Contract], values: Sequence[bytes | None]) -> None:
    together = Decoder(contracts).decode(batch(values))
    for row, value in enumerate(values):
        alone = rows_of(Decoder(contracts).decode(batch([value])), 0)
        assert rows_of(together, row) == alone, value


def test_a_batch_of_all_sorts_gives_each_record_what_it_gets_alone() -> None:
    values: list[bytes | None] = [value for value, _ in [*REJECTED, *NULLED]]
    values += [*TAKEN, None, b"", b" \n", b"\x0b", b'{"type":"visit","at":0,"page":5}', b"{}"]
    assert_each_as_alone([ORDER], values)
    assert_each_as_alone([ORDER, VISIT, ANY], values)


def test_details_say_what_was_found_and_what_would_be_right() -> None:
    got = decode(
        [ORDER],
        order(amount="abc"),
        order(amount=None),
        order(amount=-3),
        order(at="yesterday"),
        order(at=True),
        order(at="2024-05-01T13:00:00.750Z"),
        b"\xef\xbb\xbf" + order(),
    )
    assert [reject.detail for _, reject in got.rejects] == [
        'amount: expected a number, found the string "abc"',
        "amount: required, but absent or null",
        "amount: -3.0 is below the minimum 0",
        "at: expected ISO 8601, RFC 2822 or epoch seconds, milliseconds, microseconds or "
        "nanoseconds, no "
        'number below 100000000 (March 1973), found "yesterday"',
        "at: expected ISO 8601, RFC 2822 or epoch seconds, milliseconds, microseconds or "
        "nanoseconds, no "
        'number below 100000000 (March 1973), found "true"',
        "at: 2024-05-01T13:00:00.750+00:00 is 3:00:00 after the record's timestamp; "
        "at most 1:00:00 (max_future)",
        "a byte order mark before the JSON: write UTF-8 without one",
    ]


def test_tombstones_and_blank_values_are_empty() -> None:
    got = decode([ORDER], None, order(), b"", b" \t\r\n", order())
    assert got.empty.tolist() == [0, 2, 3]
    assert got.tables["order"]["_row"].to_list() == [1, 4]


def test_a_type_that_no_contract_has_is_ignored() -> None:
    values = [b'{"type":"x"}', b"{}", b'{"type":5}', b'{"type":null}', b'{"type":["order"]}']
    assert decode([ORDER, VISIT], *values).ignored.tolist() == [0, 1, 2, 3, 4]


def test_numbers_and_booleans_are_types_as_text() -> None:
    kinds = ["3", 3, 3.0, 30, "three", True, "true", False, 1.5, "1.5", [3], None]
    values = [json.dumps({"type": kind, "at": AT}).encode() for kind in kinds]
    contracts = [contract(name) for name in ("3", "true", "1.5")]
    got = decode(contracts, *values)
    assert got.tables["3"]["_row"].to_list() == [0, 1, 2]
    assert got.tables["true"]["_row"].to_list() == [5, 6]
    assert got.tables["1.5"]["_row"].to_list() == [8, 9]
    assert got.ignored.tolist() == [3, 4, 7, 10, 11]


def test_a_type_path_that_leads_nowhere_is_of_no_interest() -> None:
    nested = contract("order", type_path=("meta", "type"))
    values = [
        b'{"meta":5,"at":0}',
        b'{"meta":{"type":"order"},"at":0}',
        b'{"meta":null}',
        b'{"meta":[]}',
    ]
    got = decode([nested], *values)
    assert got.tables["order"]["_row"].to_list() == [1]
    assert got.ignored.tolist() == [0, 2, 3]


def test_one_contract_may_take_what_another_rejects() -> None:
    got = decode([ANY, ORDER], order(amount="x", region="emea"), b"{", order())
    assert got.tables["any"]["_row"].to_list() == [0, 2]
    assert got.tables["order"]["_row"].to_list() == [2]
    assert [(row, r.contract, r.reason) for row, r in got.rejects] == [
        (0, "order", Reason.WRONG_TYPE),
        (1, None, Reason.NOT_JSON),
    ]
    assert got.ignored.size == 0


def test_a_field_of_one_type_does_not_bind_the_records_of_another() -> None:
    text = b'{"type":"visit","at":0,"page":"/","amount":"free"}'
    got = decode([ORDER, VISIT], text, order())
    assert got.rejects == ()
    assert got.tables["visit"].height == got.tables["order"].height == 1


def test_contracts_that_contradict_each_other_read_their_own_records() -> None:
    number = contract("number", Field("x", ("x",), "float", required=True))
    text = contract("text", Field("x", ("x",), "string", required=True))
    tree = contract("tree", Field("y", ("x", "y"), "integer", required=True))
    values = [
        b'{"type":"number","at":0,"x":1}',
        b'{"type":"text","at":0,"x":"1"}',
        b'{"type":"tree","at":0,"x":{"y":1}}',
        b'{"type":"text","at":0,"x":1}',
        b'{"type":"number","at":0,"x":"1"}',
        b'{"type":"tree","at":0,"x":1}',
        b'{"type":"other","x":[]}',
    ]
    got = decode([number, text, tree], *values)
    assert got.tables["number"]["x"].to_list() == [1.0]
    assert got.tables["text"]["x"].to_list() == ["1"]
    assert got.tables["tree"]["y"].to_list() == [1]
    assert [(row, r.contract) for row, r in got.rejects] == [
        (3, "text"),
        (4, "number"),
        (5, "tree"),
    ]
    assert got.ignored.tolist() == [6]
    assert_each_as_alone([number, text, tree], values)


def test_a_line_that_is_no_json_is_rejected_once_also_where_contracts_are_read_apart() -> None:
    contradicting = contract("visit", Field("amount", ("amount",), "string"))
    got = decode([ORDER, contradicting, ANY], b"{", order(other=10**50), order(amount="x"))
    assert [(row, r.contract, r.reason) for row, r in got.rejects] == [
        (0, None, Reason.NOT_JSON),
        (1, None, Reason.NOT_JSON),
        (2, "order", Reason.WRONG_TYPE),
    ]


def test_time_and_id_may_be_declared_fields_too() -> None:
    same = contract(
        "same",
        Field("when", ("at",), "integer"),
        Field("number", ("id",), "integer"),
        Field("kind", ("type",), "string"),
    )
    got = decode([same], b'{"type":"same","at":1714557600,"id":5}', b'{"type":"same","at":"x"}')
    assert got.tables["same"].drop("_row", "_partition", "_offset").to_dicts() == [
        {"_time": AT_MS, "_id": "5", "when": 1714557600, "number": 5, "kind": "same"}
    ]
    assert [r.reason for _, r in got.rejects] == [Reason.WRONG_TYPE]
    floats = contract("floats", Field("x", ("id",), "float"), Field("b", ("at",), "boolean"))
    got = decode([floats], b'{"type":"floats","id":5,"at":true}', b'{"type":"floats","id":5}')
    assert [r.reason for _, r in got.rejects] == [Reason.BAD_TIME, Reason.NO_TIME]


def test_a_string_id_and_an_integer_id_may_be_one_id() -> None:
    got = decode([ORDER], order(id=5), order(id="5"), order(id=""))
    assert got.tables["order"]["_id"].to_list() == ["5", "5", None]


def test_a_record_over_the_limit_is_too_large_for_the_contracts_that_say_so() -> None:
    small = contract("small", type_path=None, ids=(), max_bytes=100)
    large = contract("large", type_path=None, ids=(), max_bytes=200)
    records = [
        json.dumps({"at": 0, "pad": "x" * pad}).encode().ljust(size)
        for pad, size in ((1, 100), (1, 101), (1, 200), (1, 201))
    ]
    got = decode([small, large], *records)
    assert got.tables["small"]["_row"].to_list() == [0]
    assert got.tables["large"]["_row"].to_list() == [0, 1, 2]
    assert [(row, r.contract, r.reason) for row, r in got.rejects] == [
        (1, "small", Reason.TOO_LARGE),
        (2, "small", Reason.TOO_LARGE),
        (3, None, Reason.TOO_LARGE),
    ]


def test_each_record_of_the_future_is_evaluated_by_its_own_timestamp() -> None:
    values = [order(), order()]
    given_batch = batch(values)
    timestamps = np.array([AT_MS - HOUR_MS, AT_MS - HOUR_MS - 1], dtype=np.int64)
    changed = Batch("events", values, given_batch.partitions, given_batch.offsets, timestamps)
    got = Decoder([ORDER]).decode(changed)
    assert [(row, r.reason) for row, r in got.rejects] == [(1, Reason.FUTURE_TIME)]


def test_an_event_further_back_than_max_past_is_rejected_where_the_record_says_when_it_came() -> (
    None
):
    bounded = contract("order", max_past_ms=24 * HOUR_MS)
    old = [b'{"type":"order","at":"2024-04-30T10:00:00Z"}', b'{"type":"order","at":0}']
    given_batch = batch([*old, b'{"type":"order","at":"2024-04-30T09:59:59.999Z"}'])
    got = Decoder([bounded]).decode(given_batch)
    assert got.tables["order"]["_row"].to_list() == [0]
    assert [(row, r.reason) for row, r in got.rejects] == [
        (1, Reason.PAST_TIME),
        (2, Reason.PAST_TIME),
    ]
    assert got.rejects[0][1].detail == (
        "at: 1970-01-01T00:00:00.000+00:00 is 19844 days, 10:00:00 before the record's timestamp; "
        "at most 1 day, 0:00:00 (max_past)"
    )
    of_a_file = replace(given_batch, timestamped=False)
    assert Decoder([bounded]).decode(of_a_file).rejects == ()
    assert Decoder([contract("order")]).decode(given_batch).rejects == ()


WILD_MS = [-(2**63), -(10**15), -1, 0, AT_MS, END_MS - 1, END_MS, 2**62, 2**63 - 1]


@pytest.mark.parametrize("timestamp", WILD_MS)
def test_no_timestamp_and_no_time_is_too_wild_to_be_evaluated(timestamp: int) -> None:
    bounded = contract("order", max_past_ms=24 * HOUR_MS)
    times = ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59", 0, "1970-01-01"]
    values = [json.dumps({"type": "order", "at": at}).encode() for at in times]
    wild = replace(batch(values), timestamps=np.full(len(values), timestamp, np.int64))
    got = Decoder([bounded]).decode(wild)
    last, first = {0, 1}, {2, 3}
    # None, or -1, is no timestamp: the agent's clock evaluates such a record.
    none = timestamp <= 0
    rejected = set() if none else first if timestamp >= END_MS - 1 else last | first
    assert {row for row, _ in got.rejects} == rejected
    assert all(r.reason in (Reason.FUTURE_TIME, Reason.PAST_TIME) for _, r in got.rejects)


def test_a_naive_time_is_of_the_contracts_zone() -> None:
    summer = contract("summer", type_path=None, timezone="Europe/London")
    got = decode([summer], b'{"at":"2024-05-01T11:00:00"}')
    assert got.tables["summer"]["_time"].to_list() == [AT_MS]


def test_a_decoder_is_for_one_format() -> None:
    with pytest.raises(ValueError, match="one format"):
        Decoder([])
    with pytest.raises(ValueError, match="one format"):
        Decoder([ORDER, contract("elsewhere", format="avro", schema="registry")])


GOOD = st.sampled_from([value for value in TAKEN if len(value) < 1000])
NULLS = st.sampled_from([value for value, _ in NULLED])
BAD = st.sampled_from([value for value, _ in REJECTED if len(value) < 1000])
SPLICES = [
    b"\n", b"\r", b"\\", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\\ud800",
    b"\\udc00", b"\\u0061", b"\\\\", b"1e999", b"-0", b"5", b"5.0", b"true", b"null", b'"5"', b" ",
    b'"amount":1,', b'"region":5,', b'"region":"5",', b'"at":0,', b'"type":"visit",', b'"user":{},',
    b'"id":1.0,', b"9" * 20, b"9" * 45, "é".encode(), b"\xed\xa0\x80", b"/*x*/", b"0",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    value = draw(GOOD | NULLS | BAD)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(value)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 5]))
        value = value[:at] + draw(st.sampled_from(SPLICES)) + value[at + cut :]
    return value


@given(st.lists(mutated() | st.none(), min_size=2, max_size=8), st.integers(0, 2))
@example([b'{"type":"order","at":0,"amount":1}\n{}', b"\n"], 0)
@example([b'{"type":"order","at":0,"am', b'ount":1}'], 0)
def test_a_record_gets_the_same_whatever_stands_beside_it(
    values: list[bytes | None], which: int
) -> None:
    contradicting = contract("visit", Field("amount", ("amount",), "string"))
    contracts = [[ORDER], [ORDER, VISIT, ANY], [ORDER, contradicting, ANY]][which]
    assert_each_as_alone(contracts, values)


@given(st.lists(mutated() | st.none(), max_size=8))
def test_every_record_is_in_a_table_or_rejected_or_empty_or_ignored(
    values: list[bytes | None],
) -> None:
    got = Decoder([ORDER, VISIT]).decode(batch(values))
    assert len({(row, r.contract) for row, r in got.rejects}) == len(got.rejects)
    published = [row for table in got.tables.values() for row in table["_row"].to_list()]
    published += {row for row, _ in got.rejects}
    published += [*got.empty.tolist(), *got.ignored.tolist()]
    assert sorted(published) == list(range(len(values)))


@given(mutated())
def test_what_is_taken_is_what_a_plain_reading_of_the_json_says(value: bytes) -> None:
    table = Decoder([ORDER]).decode(batch([value])).tables["order"]
    if table.height:
        record = json.loads(value, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
        user = record.get("user")
        user_id = user.get("id") if isinstance(user, dict) else None
        items, gift = record.get("items"), record.get("gift")
        assert table.select("amount", "items", "region", "gift", "user_id").row(0) == (
            record["amount"],
            items if type(items) is int and -(2**63) <= items < 2**63 else None,
            record["region"] if isinstance(record.get("region"), str) else None,
            gift if isinstance(gift, bool) else None,
            user_id if isinstance(user_id, str) else None,
        )
