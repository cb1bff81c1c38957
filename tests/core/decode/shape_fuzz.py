"""Mutated records of all shapes, read by columns and one by one: both say the same.

Envelopes, headers and keys, elements of arrays, lines, and every type of field; each set of
contracts is decoded twice, once without the columns of `column_extraction`.

`python -m tests.core.decode.shape_fuzz` runs a hundred thousand of them; `--seed` repeats a run.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch, Decoded, Headers
from agent.core.decode.decoder import Decoder
from agent.core.decode.schema_times import UNITS
from agent.core.model.events import Contract, Envelope, Field, TimeSource
from agent.core.model.field_types import BooleanFormat, NumberFormat, TextRule, TimeFormat
from agent.core.model.paths import Elements, Root, Selector
from tests.core.decode import fuzz
from tests.core.decode.samples import AT, AT_MS, batch, contract

EACH = Elements()
UPPER = pl.col("value").str.to_uppercase().replace("A", None)
Record = tuple[bytes, bytes | None, Headers]


def _fields(*begin: Any) -> tuple[Field, ...]:
    """A field of every type, below a path."""
    numbers = NumberFormat(group=".", decimal=",")
    return (
        Field("amount", (*begin, "amount"), "float", required=True, minimum=0, maximum=1000),
        Field("items", (*begin, "items"), "integer"),
        Field("region", (*begin, "region"), "string", text=TextRule(("emea", "a"), True)),
        Field("upper", (*begin, "region"), "string", required=True, computed=UPPER),
        Field("gift", (*begin, "gift"), "boolean"),
        Field("user_id", (*begin, "user", "id"), "string"),
        Field("price", (*begin, "other"), "decimal", scale=2),
        Field("read", (*begin, "b"), "float", format=numbers),
        Field("when", (*begin, "k"), "timestamp"),
        Field("day", (*begin, "page"), "date", format=TimeFormat(unit="day")),
        Field("yes", (*begin, "amount "), "boolean", format=BooleanFormat(("1", "a"), ("0",))),
        Field("tags", (*begin, "tags"), "string[]"),
        Field("scores", (*begin, "é"), "float[]"),
    )


def _beside() -> tuple[Field, ...]:
    """A field for what stands beside the value."""
    return (
        Field("region", (Root("header", "region"),), "string"),
        Field("tries", (Root("header", "tries"),), "integer"),
        Field("share", (Root("header", "share"),), "float"),
        Field("is_test", (Root("header", "is_test"),), "boolean"),
        Field("key", (Root("key_text"),), "string"),
        Field("topic", (Root("topic"),), "string"),
        Field("partition", (Root("partition"),), "integer"),
        Field("at", (Root("timestamp"),), "timestamp"),
        Field("amount", ("amount",), "float"),
    )


RECORD = (TimeSource((Root("timestamp"),)),)
TYPED: dict[str, Any] = {"type_path": (Root("header", "type"),)}
CLOUD: dict[str, Any] = {
    "envelope": Envelope("cloudevents"),
    "type_path": (Root("envelope"), "type"),
    "times": (TimeSource((Root("envelope"), "time")), *RECORD),
    "ids": ((Root("envelope"), "source"), (Root("envelope"), "id")),
}
CHANGE: dict[str, Any] = {
    "envelope": Envelope("debezium"),
    "type_path": None,
    "times": (TimeSource((Root("envelope"), "ts_ms")),),
}
SETS: dict[str, tuple[Contract, ...]] = {
    "headers": (
        contract("order", *_beside(), **TYPED, times=RECORD, ids=((Root("key_text"),),)),
        contract("visit", times=(TimeSource((Root("header", "at"),)),), **TYPED),
    ),
    "headers alone": (contract("order", *_beside()[:-1], **TYPED, times=RECORD, ids=()),),
    "elements": (
        contract(
            "order",
            Field("second", ("prices", 1), "float"),
            Field("name", ("params", 0, "key"), "string"),
            Field("who", ("params", Selector("key", "who"), "value"), "string"),
            Field("deep", ("params", 1, "n"), "integer"),
            *_fields(),
        ),
        contract("visit", *_beside()),
    ),
    "cloud": (
        contract("order", *_fields(), Field("t", (Root("envelope"), "tenant"), "string"), **CLOUD),
        contract("visit", Field("page", ("page",), "string"), *_beside(), **CLOUD),
    ),
    "changes": (
        contract("order", *_fields(), Field("op", (Root("envelope"), "op"), "string"), **CHANGE),
    ),
    "deletes": (
        contract(
            "order",
            Field("was", (Root("envelope"), "before", "amount"), "float"),
            Field("table", (Root("envelope"), "source", "table"), "string"),
            **CHANGE | {"envelope": Envelope("debezium", ops=("d", "u", "r"))},
        ),
    ),
    "connect": (contract("order", *_fields(), envelope=Envelope("connect")),),
    "two times": (
        contract(
            "order",
            *_fields(),
            envelope=Envelope("connect"),
            times=(TimeSource(("date",), time_of_day=("clock",)), TimeSource(("at",))),
        ),
    ),
    "lines": (
        contract(
            "order",
            *_fields("lines", EACH),
            Field("customer", ("customer",), "string"),
            Field("position", (Root("index"),), "integer"),
            each=("lines",),
        ),
        contract("visit", Field("n", ("lines", EACH, "items"), "integer"), each=("lines",)),
    ),
    "lines in lines": (
        contract(
            "order",
            *_fields("groups", EACH, "lines", EACH),
            Field("name", ("groups", EACH, "name"), "string"),
            each=("groups", EACH, "lines"),
        ),
    ),
    "tags": (
        contract("order", Field("tag", ("tags", EACH), "string"), each=("tags",)),
        contract("visit", Field("score", ("é", EACH), "float", minimum=0), each=("é",), ids=()),
    ),
    "events": (
        contract(
            "order",
            *_fields(),
            Field("sent", (Root("envelope"), "sent"), "string"),
            envelope=Envelope("list", path=("lines",)),
        ),
        contract("visit", envelope=Envelope("list", path=("lines",)), ids=((Root("key_text"),),)),
    ),
    "events in groups": (
        contract(
            "order",
            *_fields(),
            Field("name", (Root("envelope"), "groups", EACH, "name"), "string"),
            Field("customer", (Root("envelope"), "customer"), "string"),
            envelope=Envelope("list", path=("groups", EACH, "lines")),
        ),
    ),
}  # fmt: skip


def records(rng: random.Random, wrap: Callable[[random.Random, bytes], bytes]) -> Iterator[Record]:
    """Records without end, about half of them good."""
    while True:
        value = wrap(rng, _object(rng))
        if rng.random() < 0.1:
            value = fuzz._mutated(rng, value)
        headers = [(n, _text(rng) if rng.random() < 0.03 else v) for n, v in GOOD for _ in "ab"]
        headers.append(("type", rng.choice([b"order", b"order", b"visit"])))
        if rng.random() < 0.2:
            headers.append(("ce_specversion", b"1.0"))
        rng.shuffle(headers)
        kept = [header for header in headers if rng.random() < 0.9]
        yield value or b"{}", rng.choice([None, b"", b"k1", b"k2", _text(rng)]), kept


GOOD = (
    ("region", b"emea"), ("tries", b"+3"), ("share", b"0.5"), ("is_test", b"true"),
    ("at", AT.encode()), ("ce_type", b"order"), ("ce_source", b"/shop"), ("ce_id", b"5"),
    ("ce_tenant", b"t"), ("ce_time", AT.encode()),
)  # fmt: skip


def _text(rng: random.Random) -> bytes:
    return rng.choice(
        [b"1", b"+2", b"-3.5", b"1e3", b"1e999", b"true", b"false", b"emea", b"", b"9" * 20,
         b"\xff", "é".encode(), AT.encode(), b'"5"', b"0x1", b"01"]
    )  # fmt: skip


def _object(rng: random.Random) -> bytes:
    """An event, in which a few members may be anything."""
    kind = rng.choice(["order", "order", "visit"])
    pairs = [("type", f'"{kind}"'), ("at", f'"{AT}"'), ("id", f'"o{rng.randrange(99)}"')]
    pairs += [("amount", "12.5"), ("items", "2"), ("region", '"EMEA"'), ("gift", "true")]
    pairs += [
        ("user", '{"id":"u1"}'),
        ("other", rng.choice(['"5.005"', '"AR2q"'])),
        ("b", '"1.234,5"'),
        ("k", rng.choice([str(AT_MS), "20000"])),
    ]
    pairs += [("date", '"2024-05-01"'), ("clock", rng.choice(['"10:00:00"', '"100000"']))]
    pairs += [("page", "20000"), ("amount ", '"a"'), ("tags", '["a","b\\\\"]'), ("é", "[1,2.5]")]
    pairs += [("prices", "[1,2.5]"), ("params", '[{"key":"x"},{"key":"who","value":"me"}]')]
    pairs = [pair for pair in pairs if rng.random() < 0.97]
    if rng.random() < 0.3:
        pair = rng.choice([key for key, _ in pairs] or ["a"]), rng.choice(fuzz._ATOMS)
        at = rng.randrange(len(pairs) + 1)
        pairs[at : at + rng.choice([0, 1])] = [pair]
    rng.shuffle(pairs)
    return ("{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}").encode()


def _array(rng: random.Random, item: bytes) -> bytes:
    if rng.random() < 0.05:
        return rng.choice(fuzz._ATOMS).encode()
    return b"[" + b",".join(
        rng.choice([item, _object(rng), _object(rng)]) for _ in range(rng.choice([0, 1, 2]))
    ) + b"]"  # fmt: skip


def _plain(rng: random.Random, event: bytes) -> bytes:
    return event


def _own(rng: random.Random) -> str:
    kind = rng.choice(["order", "order", "visit", "3"])
    return f'"type":"{kind}","id":"{rng.randrange(9)}","at":"{AT}","customer":"c1"'


def _lines(rng: random.Random, event: bytes) -> bytes:
    return b"{%s,%s:%s}" % (_own(rng).encode(), b'"lines"', _array(rng, event))


def _groups(rng: random.Random, event: bytes) -> bytes:
    groups = [
        b'{"name":"g","lines":%s}' % _array(rng, event) if rng.random() < 0.9 else _atom(rng)
        for _ in range(rng.choice([0, 1, 1, 2]))
    ]
    return b'{%s,"groups":[%s]}' % (_own(rng).encode(), b",".join(groups))


def _atom(rng: random.Random) -> bytes:
    return rng.choice(fuzz._ATOMS).encode()


def _cloud(rng: random.Random, event: bytes) -> bytes:
    members = [b'"specversion":"1.0"', b'"tenant":"t"', b'"time":"%s"' % AT.encode()]
    members += [b'"source":"/shop"', _own(rng).encode(), b'"data":' + event]
    if rng.random() < 0.2:
        members.append(
            rng.choice([b'"data_base64":null', b'"data_base64":"e30="', b'"data":' + _atom(rng)])
        )
    if rng.random() < 0.05:
        return b"[" + event + b"]"
    return b"{" + b",".join(m for m in members if rng.random() < 0.97) + b"}"


ROWLESS = (
    b'{"op":"m","source":{"table":"t"},"message":{"prefix":"p"}}', b'{"ts_ms":1}',
    b'{"source":{},"databaseName":"d","ddl":"DROP TABLE t","ts_ms":1}',
    b'{"status":"END","id":"1","ts_ms":1,"event_count":1,"data_collections":null}',
)  # fmt: skip


def _change(rng: random.Random, event: bytes) -> bytes:
    if rng.random() < 0.1:
        message = rng.choice(ROWLESS)
        return message if rng.random() < 0.6 else _enveloped(rng, message)
    op = rng.choice(['"c"', '"u"', '"d"', '"r"', "null", '"t"', "5"])
    images = [event, event, b"null", b"{}", _atom(rng)]
    before, after = rng.choice(images), rng.choice(images)
    members = [f'"op":{op}'.encode(), b'"ts_ms":%d' % AT_MS, b'"source":{"table":"t"}']
    members += [b'"before":' + before, b'"after":' + after]
    change = b"{" + b",".join(m for m in members if rng.random() < 0.95) + b"}"
    return change if rng.random() < 0.6 else _enveloped(rng, change)


def _enveloped(rng: random.Random, event: bytes) -> bytes:
    decimal = (
        b'{"field":"other","name":"org.apache.kafka.connect.data.Decimal",'
        b'"parameters":{"scale":"2"}}'
    )
    fields = rng.choice([b"", b"", decimal, _times(rng)])
    schema = rng.choice([b'{"type":"struct","fields":[%s]}' % fields, b"null", b"{}", _atom(rng)])
    payload = rng.choice([event, event, event, b"null", _atom(rng)])
    members = [b'"schema":' + schema, b'"payload":' + payload]
    return b"{" + b",".join(m for m in members if rng.random() < 0.97) + b"}"


def _times(rng: random.Random) -> bytes:
    """The fields of some times in a schema; the first image of a change stands for both."""
    names = list(UNITS)
    fields = ",".join(
        f'{{"field":"{field}","name":"{rng.choice(names)}"}}'
        for field in ("k", "at", "page", "items", "other", "date", "clock")
    )
    image = f'{{"field":"{rng.choice(["after", "before"])}","fields":[{fields}]}}'
    return rng.choice([fields, image]).encode()


WRAPS = {
    "cloud": _cloud, "changes": _change, "deletes": _change, "connect": _enveloped,
    "two times": _enveloped,
    "lines": _lines, "events": _lines, "lines in lines": _groups, "events in groups": _groups,
}  # fmt: skip


def one_by_one(contracts: Sequence[Contract]) -> Decoder:
    """A decoder without columns of what is more than keys."""
    decoder = Decoder(contracts)
    decoder._extraction._views = [[] for _ in contracts]
    return decoder


def by_columns(contracts: Sequence[Contract]) -> Decoder:
    """A decoder that reads by columns however few the records are."""
    decoder = Decoder(contracts)
    decoder._extraction.least_records = 0
    return decoder


def batch_of(records: Sequence[Record]) -> Batch:
    headers = {row: headers for row, (_, _, headers) in enumerate(records) if headers}
    keys = [key for _, key, _ in records]
    return replace(batch([value for value, _, _ in records]), keys=keys, headers=headers)


def verdicts(decoded: Decoded, count: int, lined: set[str]) -> list[Any]:
    """What was said of each record."""
    of_rows = fuzz.by_row(decoded, count, lined)
    details: dict[int, list[str]] = {}
    for row, reject in decoded.rejects:
        details.setdefault(row, []).append(f"{reject.contract}: {reject.reason} {reject.detail}")
    return [(verdict, details.get(row)) for row, verdict in enumerate(of_rows)]


def differences(
    seed: int, count: int, sets: Sequence[str] = tuple(SETS), size: int = 200
) -> Iterator[tuple[str, Record, Any, Any]]:
    """(set, record, said one by one, said by columns) wherever the two disagree."""
    rng = random.Random(seed)
    decoders = {name: (one_by_one(SETS[name]), by_columns(SETS[name])) for name in sets}
    while count > 0:
        name = rng.choice(sets)
        alone, columns = decoders[name]
        stream = records(rng, WRAPS.get(name, _plain))
        part = list(islice(stream, min(rng.choice([1, size, size]), count)))
        lined = {c.name for c in SETS[name] if c.each is not None or _is_list(c)}
        both = [verdicts(d.decode(batch_of(part)), len(part), lined) for d in (alone, columns)]
        for record, expected, got in zip(part, *both, strict=True):
            if repr(expected) != repr(got):
                yield name, record, expected, got
        count -= len(part)


def _is_list(of: Contract) -> bool:
    return of.envelope is not None and of.envelope.name in ("list", "cloudevents")


class Calm(random.Random):
    """Nothing that seldom happens does."""

    def random(self) -> float:
        return 0.5


def left_share(name: str, seed: int = 1, count: int = 500) -> float:
    """The share of good records of a set that columns leave to be read one by one."""
    rng = Calm(seed)
    decoder = by_columns(SETS[name])
    part = batch_of(list(islice(records(rng, WRAPS.get(name, _plain)), count)))
    extracted = decoder._extraction.extract(part, np.arange(count))
    return max(of.unread.size for of in extracted) / count


def main() -> int:
    """Run it; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", choices=list(SETS))
    options = parser.parse_args()
    started = time.monotonic()
    sets = [options.set] if options.set else list(SETS)
    wrong = list(islice(differences(options.seed, options.records, sets), 10))
    for name, record, expected, got in wrong:
        sys.stdout.write(f"{name}: {record!r}\n  one by one {expected}\n  by columns {got}\n")
    seconds = time.monotonic() - started
    sys.stdout.write(f"{options.records:,} records in {seconds:.0f} s: {len(wrong)} differences\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
