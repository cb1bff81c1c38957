"""Records of a Protobuf schema that has a bit of everything."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

from agent.core.model.events import Contract, Field, Schema
from tests.core.decode.protobuf_samples import classes, compiled
from tests.core.decode.samples import AT_MS, contract

_PROTO3 = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
enum Region { REGION_UNKNOWN = 0; EMEA = 1; APAC = 2; }
message Money { string currency = 1; int64 units = 2; optional sint32 nanos = 3; Money fee = 4; }
message Order {
  string type = 1;
  google.protobuf.Timestamp at = 2;
  int64 n64 = 3; int32 n32 = 4; uint64 u64 = 5; uint32 u32 = 6; sint64 s64 = 7; fixed64 f64 = 8;
  double d = 9; float f = 10; bool b = 11; bytes raw = 12; Region region = 13;
  optional int64 maybe = 14; optional string text = 15; optional bool flag = 16;
  Money price = 17; repeated Money lines = 18; repeated int64 numbers = 19;
  map<string, string> tags = 20; map<string, int64> counts = 21; map<int32, Money> monies = 22;
  google.protobuf.Duration took = 23; google.protobuf.Int64Value boxed = 24;
  google.protobuf.Struct anything = 25; google.protobuf.StringValue note = 26;
  oneof choice { string left = 27; Money right = 28; Region side = 29; }
}
message Other { string type = 1; google.protobuf.Timestamp at = 2; int64 n64 = 3; }
"""
_TEXTS = ["", "a", "é", "😀", "true", "5", "x" * 200]
_INTEGERS = [0, 1, -1, 2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), AT_MS]
_NUMBERS = [0.0, 1.5, 1e300, float("nan"), float("inf"), 3.0]


@cache
def _schema() -> Schema:
    return compiled({"shop.proto": _PROTO3})


@cache
def _messages() -> Any:
    return classes(_schema())


class InventedProtobuf:
    """Records of the schema, and contracts that read some of its paths."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.schema = _schema()
        self._may_be_other = rng.random() < 0.3

    def record(self) -> bytes:
        rng = self._rng
        seconds = rng.choice([AT_MS // 1000, AT_MS // 1000, 0, 86_400, -5, 2**36])
        at = {"seconds": seconds, "nanos": rng.choice([0, 123_000_000])}
        type = rng.choice(["order", "order", "other"])
        if self._may_be_other and rng.random() < 0.2:
            other = _messages()["shop.Other"](type=type, at=at, n64=rng.choice(_INTEGERS))
            return b"\x02\x02" + bytes(other.SerializeToString())
        fields = {name: value for name, value in self._fields().items() if rng.random() < 0.6}
        if rng.random() < 0.95:
            fields["at"] = at
        order = _messages()["shop.Order"](type=type, **fields)
        first = rng.choice([b"\x00", b"\x00", b"\x00", b"\x02\x00"])
        return first + bytes(order.SerializeToString())

    def _fields(self) -> dict[str, Any]:
        rng = self._rng
        integer, text = rng.choice(_INTEGERS), rng.choice(_TEXTS)
        choice = rng.choice([{"left": text}, {"right": self._money()}, {"side": 2}, {}])
        return choice | {
            "n64": integer, "n32": rng.choice([0, -5]), "u64": rng.choice([0, 2**64 - 1]),
            "u32": 2**32 - 1, "s64": integer, "f64": 7, "d": rng.choice(_NUMBERS),
            "f": rng.choice([0.1, 1.5]), "b": True, "raw": rng.randbytes(3),
            "region": rng.choice([0, 1, 2, 9]), "maybe": rng.choice([0, integer]),
            "text": text, "flag": rng.random() < 0.5, "price": self._money(),
            "lines": [self._money()], "numbers": [1, 2], "tags": {"a": text, "b": ""},
            "counts": {"a": integer}, "monies": {1: self._money()},
            "took": {"seconds": 3, "nanos": rng.choice([0, 500_000_000])},
            "boxed": {"value": integer}, "note": {"value": text},
        }  # fmt: skip

    def _money(self) -> dict[str, Any]:
        rng = self._rng
        money: dict[str, Any] = {"currency": rng.choice(_TEXTS), "units": rng.choice(_INTEGERS)}
        if rng.random() < 0.5:
            money["nanos"] = rng.choice([0, -7])
        if rng.random() < 0.3:
            money["fee"] = {"units": 3}
        return money

    def contracts(self, others: Sequence[Any]) -> tuple[Contract, ...]:
        names = ("order", "any")[: self._rng.choice([1, 2])]
        return tuple(self._contract(name) for name in names)

    def _contract(self, name: str) -> Contract:
        rng = self._rng
        flat = [n for n in self._fields() if n not in ("raw",)] + ["missing", "left", "side"]
        # Some contracts ask for more than values of fields.
        odd = [("lines",), ("price",), ("took",), ("anything",), ("n64", "x"), ("monies", "1")]
        deep = [("price", "units"), ("price", "nanos"), ("price", "fee", "units"), ("tags", "a"),
                ("counts", "a"), ("counts", "b"), ("right", "currency"),
                ("price", "none", "x")]  # fmt: skip
        is_odd = rng.random() < 0.3
        fields = []
        for number in range(rng.randint(1, 6)):
            path = rng.choice([(rng.choice(flat),), rng.choice(deep)])
            if not is_odd and path[0] in ("lines", "numbers", "took", "price", "monies"):
                path = ("n64",)
            path = rng.choice(odd) if is_odd and rng.random() < 0.3 else path
            types = ["string", "integer", "float", "boolean"]
            type: Any = rng.choice(types)
            fields.append(Field(f"x{number}", path, type, required=rng.random() < 0.1))
        ids = rng.choice([(), (("n64",),), (("text",),), (("u64",),), (("region",),)])
        changes: dict[str, Any] = {"ids": ids, "max_future_ms": 1 << 62}
        if name == "any":
            changes["type_path"] = None
        return contract(name, *fields, **changes)
