"""Avro records of invented schemas, good and mutated, read many at a time and compared with the
JSON that they mean, as fastavro reads it, decoded as JSON records are.

`python -m tests.core.decode.avro_fuzz` runs a hundred thousand of them; `--seed` repeats a run.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import islice
from typing import Any

import fastavro

from agent.core.decode.avro_format import AvroCodec
from agent.core.decode.decoder import Decoder
from agent.core.decode.schema_format import BodyError, encode_json
from agent.core.model.events import Contract, Field
from agent.core.model.schemas import REGISTRY, Schema
from tests.core.decode.fuzz import by_row
from tests.core.decode.samples import AT, AT_MS, batch, contract

_SCALARS = ["boolean", "int", "long", "float", "double", "string", "bytes", "null"]
_LOGICAL = [
    ("long", "timestamp-millis"), ("long", "timestamp-micros"), ("long", "timestamp-nanos"),
    ("long", "local-timestamp-millis"), ("long", "local-timestamp-micros"), ("int", "date"),
    ("int", "time-millis"), ("string", "uuid"), ("int", "decimal"), ("string", "surprise"),
]  # fmt: skip
_TEXTS = ["", "a", "é", "😀", "\u2028", '"', "\\", "true", "5", "5.0", "{", "null", "x" * 300, AT]
_LONGS = [0, 1, -1, 63, 64, -65, 2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), AT_MS,
          AT_MS * 1000, AT_MS * 1_000_000, AT_MS // 1000, 86_400_000, -86_400_001]  # fmt: skip
_DOUBLES = [0.0, 1.5, 1e300, -1e-300, float("nan"), float("inf"), AT_MS / 1000, 3.0]


class Invented:
    """A schema, records of it, and contracts that read some of its paths."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._names = 0
        self.odd = rng.random() < 0.25  # with what polars can't read
        fields = [{"name": f"f{i}", "type": self.type(0)} for i in range(rng.randint(1, 7))]
        fields += [{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]
        fields += [{"name": "type", "type": rng.choice(["string", ["null", "string"]])}]
        rng.shuffle(fields)
        for field in fields:
            if rng.random() < 0.1:
                field["aliases"] = [f"old_{field['name']}"]
        self.schema = {"type": "record", "name": "root", "fields": fields}
        self.text = json.dumps(self.schema)
        self.parsed = fastavro.parse_schema(json.loads(_without_logical_types(self.text)))

    def type(self, depth: int) -> Any:  # noqa: PLR0911
        rng = self._rng
        self._names += 1
        name = f"t{self._names}"
        chance = rng.random()
        if chance < 0.35:
            return rng.choice(_SCALARS)
        if chance < 0.5:
            kind, logical = rng.choice(_LOGICAL)
            return {"type": kind, "logicalType": logical}
        if chance < 0.55:
            symbols = [f"{name}{letter}" for letter in "ABC"[: rng.randint(1, 3)]]
            return {"type": "enum", "name": name, "symbols": symbols}
        if chance < 0.62:
            size = rng.choice([1, 8, 16, 16])
            fixed = {"type": "fixed", "name": name, "size": size}
            digits = {"precision": min(size * 2, 30), "scale": rng.choice([0, 2])}
            extra = rng.choice([{}, {"logicalType": "uuid"}, {"logicalType": "decimal"} | digits])
            return fixed | extra
        if chance < 0.68:
            scale = rng.choice([0, 2, 5])
            precision = rng.choice([5, 18, 38, 50] if self.odd else [5, 18, 38])
            decimal = {"logicalType": "decimal", "precision": precision, "scale": scale}
            return {"type": "bytes"} | decimal
        if chance < 0.8:
            if self.odd and rng.random() < 0.5:
                return ["null", "long", "string"]
            other = self.type(depth)
            while isinstance(other, list) or other == "null":
                other = self.type(depth)
            return rng.choice([["null", other], [other, "null"]])
        if depth > 2:
            return "long"
        if chance < 0.9:
            kind, items = rng.choice([("array", "items"), ("map", "values")])
            inner = self.type(depth + 1)
            return {"type": kind, items: "string" if _is_empty(inner) else inner}
        fields = [{"name": f"k{i}", "type": self.type(depth + 1)} for i in range(rng.randint(0, 3))]
        return {"type": "record", "name": name, "fields": fields}

    def value(self, type: Any) -> Any:  # noqa: PLR0911
        rng = self._rng
        if isinstance(type, list):
            return self.value(rng.choice(type))
        kind = type if isinstance(type, str) else type["type"]
        if kind == "record":
            return {f["name"]: self.value(f["type"]) for f in type["fields"]}
        if kind == "array":
            return [self.value(type["items"]) for _ in range(rng.choice([0, 1, 3]))]
        if kind == "map":
            keys = rng.sample(["a", "k0", "f0", "é"], rng.choice([0, 1, 3]))
            return {key: self.value(type["values"]) for key in keys}
        if kind == "enum":
            return rng.choice(type["symbols"])
        if kind == "fixed":
            return rng.randbytes(type["size"])
        if kind == "bytes":
            return rng.randbytes(rng.choice([0, 1, 4, 7]))
        if kind == "int":
            return rng.choice([v for v in _LONGS if -(2**31) <= v < 2**31])
        simple = {"null": [None], "boolean": [True, False], "long": _LONGS, "float": [1.5, 0.1],
                  "double": _DOUBLES, "string": _TEXTS}  # fmt: skip
        return rng.choice(simple[kind])

    def record(self) -> bytes:
        value = self.value(self.schema)
        value["type"] = self._rng.choice(["order", "order", "order", "other"])
        value["at"] = self._rng.choice([AT_MS, AT_MS, AT_MS, 0, 86_400_000, -5, 2**60])
        out = BytesIO()
        fastavro.schemaless_writer(out, self.parsed, value)
        return out.getvalue()

    def contracts(self, fields: Sequence[Any]) -> tuple[Contract, ...]:
        names = ("order", "any")[: self._rng.choice([1, 2])]
        return tuple(self._contract(name, fields) for name in names)

    def _contract(self, name: str, fields_of_all: Sequence[Any]) -> Contract:
        rng = self._rng
        fields = []
        for number in range(rng.randint(1, 6)):
            path = tuple(f"f{rng.randrange(8)}" for _ in range(1))
            path += tuple(
                rng.choice(["k0", "k1", "a", "é"]) for _ in range(rng.choice([0, 0, 1, 2]))
            )
            if rng.random() < 0.1:
                path = (f"old_{path[0]}", *path[1:])
            types = ["string", "integer", "float", "boolean"]
            # In nested objects, JSON records have numbers read as booleans.
            type = rng.choice(types if len(path) == 1 else types[:3])
            fields.append(Field(f"x{number}", path, type, required=rng.random() < 0.1))
        # A decimal is a JSON number, which as an id is a float: it keeps fewer digits.
        ids = rng.choice([(), ((rng.choice(["f0", "f1", "at"]),),)])
        if any(f["name"] in str(ids) and "decimal" in str(f) for f in fields_of_all):
            ids = ()
        changes: dict[str, Any] = {"ids": ids, "max_future_ms": 1 << 62}
        if name == "any":
            changes["type_path"] = None
        return contract(name, *fields, **changes)


def _is_empty(type: Any) -> bool:
    if isinstance(type, dict) and type["type"] == "record":
        return all(_is_empty(f["type"]) for f in type["fields"])
    return type == "null"


def _without_logical_types(text: str) -> str:
    """The schema by which plain values are written."""
    return text.replace('"logicalType"', '"ignored"')


def _mutated(rng: random.Random, body: bytes) -> bytes:
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(body) + 1)
        splice = rng.choice([b"", b"\x00", b"\x02", b"\x04", b"\xff", b"\x80", rng.randbytes(3)])
        body = body[:at] + splice + body[at + rng.choice([0, 1, 1, 3]) :]
    return body[: rng.randrange(len(body) + 1)] if rng.random() < 0.2 else body


def differences(seed: int, count: int, size: int = 300) -> Iterator[tuple[Any, Any, Any]]:
    """(record, expected, found) wherever the columns and the JSON of a record disagree."""
    rng = random.Random(seed)
    while count > 0:
        invented = [Invented(rng) for _ in range(rng.choice([1, 1, 3]))]
        schemas = {i: Schema("AVRO", each.text) for i, each in enumerate(invented)}
        codecs = {i: AvroCodec(schema) for i, schema in schemas.items()}
        contracts = invented[0].contracts([f for i in invented for f in i.schema["fields"]])
        decoder = Decoder([replace(c, format="avro", schema=REGISTRY) for c in contracts])
        plain = Decoder(contracts)
        share = rng.choice([0, 0.01, 0.3])
        values = []
        for _ in range(size):
            which = rng.randrange(len(invented))
            body = invented[which].record()
            body = _mutated(rng, body) if rng.random() < share else body
            values.append(b"\0" + which.to_bytes(4, "big") + body)
        got = by_row(decoder.decode(replace(batch(values), schemas=schemas)), size)
        wanted = _expected(plain, [(codecs[value[4]], value[5:]) for value in values])
        for value, found, expected in zip(values, got, wanted, strict=True):
            if repr(found) != repr(expected):
                alone = by_row(decoder.decode(replace(batch([value]), schemas=schemas)), 1)[0]
                if repr(alone) != repr(found) or not _is_loose(expected, found):
                    yield (invented[value[4]].text, contracts, value), expected, found
                    break
        count -= size


def _expected(plain: Decoder, bodies: Sequence[tuple[AvroCodec, bytes]]) -> list[Any]:
    documents: list[bytes | None] = []
    for codec, body in bodies:
        try:
            documents.append(encode_json(codec.tree(body)))
        except BodyError:
            documents.append(None)
    sole = None if len(plain.contracts) > 1 else plain.contracts[0].name
    decoded = by_row(plain.decode(batch(documents)), len(documents))
    return [{sole: "not_avro"} if found == "empty" else found for found in decoded]


def _is_loose(expected: Any, found: Any) -> bool:
    """Whether one reader refuses what another takes: a branch that a union does not have, a number
    in more bytes than it needs."""
    return "not_avro" in repr(expected) or "not_avro" in repr(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    started = time.monotonic()
    found = list(islice(differences(options.seed, options.records), 10))
    for value, expected, got in found:
        sys.stdout.write(f"{value!r}\n  expected {expected}\n  found    {got}\n")
    seconds = time.monotonic() - started
    sys.stdout.write(f"{options.records:,} records in {seconds:.0f} s: {len(found)} differences\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
