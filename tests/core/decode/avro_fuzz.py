"""Invented Avro schemas and records of them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import fastavro

from agent.core.model.events import Contract, Field, Schema
from tests.core.decode.samples import AT, AT_MS, contract

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


class InventedAvro:
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
        self.fields = fields
        self._record = {"type": "record", "name": "root", "fields": fields}
        text = json.dumps(self._record)
        self.schema = Schema("AVRO", text)
        self.parsed = fastavro.parse_schema(json.loads(_without_logical_types(text)))

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
        value = self.value(self._record)
        value["type"] = self._rng.choice(["order", "order", "order", "other"])
        value["at"] = self._rng.choice([AT_MS, AT_MS, AT_MS, 0, 86_400_000, -5, 2**60])
        out = BytesIO()
        fastavro.schemaless_writer(out, self.parsed, value)
        return out.getvalue()

    def contracts(self, others: Sequence[InventedAvro]) -> tuple[Contract, ...]:
        fields = [field for other in others for field in other.fields]
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
            types: list[Any] = ["string", "integer", "float", "boolean"]
            type = rng.choice(types)
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
