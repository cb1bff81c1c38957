"""JSON records as columns: what a bad record costs the records beside it."""

import json
import random
from collections.abc import Callable

import polars as pl
import pytest

from agent.core.decode.decoder import Decoder
from agent.core.model.events import Field
from tests.core.decode.samples import AT, ORDER, VISIT, batch, contract, order

COUNT = 20_000


class Reads:
    """How many bytes polars was given to read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total = 0
        read_ndjson = pl.read_ndjson

        def counted(source: bytes, **arguments: object) -> pl.DataFrame:
            self.total += len(source)
            return read_ndjson(source, **arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(pl, "read_ndjson", counted)


def cut(record: bytes) -> bytes:
    return record[: len(record) // 2]


def wrong(record: bytes) -> bytes:
    return record.replace(b"12.5", b'"12.5"')


def not_a_number(record: bytes) -> bytes:
    return record.replace(b"12.5", b"NaN")


def half_a_pair(record: bytes) -> bytes:
    return record.replace(b'"id": "', b'"id": "\\ud800')


def too_large_a_number(record: bytes) -> bytes:
    return record.replace(b"12.5", b"1e999")


def too_many_digits(record: bytes) -> bytes:
    return record.replace(b"12.5", b"9" * 40)


SPOILS = [cut, wrong, not_a_number, half_a_pair, too_large_a_number, too_many_digits]


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize(
    ("bad", "most"), [(1, 1.25), (COUNT * 3 // 100, 1.06)], ids=["one in 20,000", "3 %"]
)
def test_what_is_bad_makes_few_other_records_be_read_again(
    spoil: Callable[[bytes], bytes], bad: int, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [order(id=f"o{n}") for n in range(COUNT)]
    for n in random.Random(4).sample(range(COUNT), bad):
        values[n] = spoil(values[n])
    decoder = Decoder([ORDER, VISIT])
    for _ in range(3):  # how often it happens is learnt
        assert len(decoder.decode(batch(values)).rejects) == bad
    reads = Reads(monkeypatch)
    decoded = decoder.decode(batch(values))
    assert len(decoded.rejects) == bad
    assert decoded.tables["order"].height == COUNT - bad
    assert reads.total < most * sum(map(len, values))


KEYS = [
    'a"b', "a\\b", "*", "^a.*$", "^.$", "a b", "é", "$id", "a-b", "", "a\n", "{}", "a.b", "[0]",
    "\x00", "😀", "'", "k0", "c0", "_row", "#text", "@id",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_any_key_can_be_a_step_of_a_path(key: str) -> None:
    for path in ((key,), ("n", key), (key, "n"), (key, key)):
        keyed = contract(
            "e",
            Field("x", path, "integer"),
            Field("other", ("other",), "string"),
            type_path=None,
            ids=(),
        )
        inner: dict[str, object] = {path[1]: 5} if len(path) > 1 else {}
        record = {"at": AT, "other": "o", path[0]: inner or 5}
        spellings = [json.dumps(record, ensure_ascii=ascii_).encode() for ascii_ in (True, False)]
        wrong = json.dumps({"at": AT, path[0]: {path[1]: "5"} if inner else "5"}).encode()
        decoded = Decoder([keyed]).decode(batch([*spellings, wrong]))
        assert decoded.tables["e"]["x"].to_list() == [5, 5, None]
        assert decoded.wrong_types["e", "x"].tolist() == [2]


def test_nan_in_a_record_costs_that_record_alone() -> None:
    values = [
        b'{"type": "order", "at": "2024-05-01T10:00:00Z", "amount": 1, "region": "NaN Infinity"}',
        b'{"type": "order", "at": "2024-05-01T10:00:00Z", "amount": NaN}',
        b'{"type": "order", "at": "2024-05-01T10:00:00Z", "amount": 2}',
        b'{"type": "order",\n "at": "2024-05-01T10:00:00Z", "amount": -Infinity}',
        b'{"type": "order",\n "at": "2024-05-01T10:00:00Z", "amount": 3, "region": "NaN"}',
    ]
    decoded = Decoder([ORDER]).decode(batch(values))
    assert decoded.tables["order"]["amount"].to_list() == [1.0, 2.0, 3.0]
    assert [row for row, _ in decoded.rejects] == [1, 3]


def test_a_number_is_no_boolean_inside_an_object_either() -> None:
    flag = contract("order", Field("paid", ("order", "paid"), "boolean"), ids=())
    events = ["true", "0.1", "1", "null", "false", '"true"', "0"]
    values = [f'{{"type":"order","at":"{AT}","order":{{"paid":{e}}}}}'.encode() for e in events]
    decoded = Decoder([flag]).decode(batch(values))
    assert decoded.tables["order"]["paid"].to_list() == [True, None, None, None, False, None, None]
    assert decoded.wrong_types["order", "paid"].tolist() == [1, 2, 5, 6]
