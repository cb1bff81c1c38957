"""Contracts, records and batches that the tests of the decoder share."""

import json
from collections.abc import Sequence
from typing import Any

from agent.core.decode.batch import Batch
from agent.core.model.events import Contract, Field, TimeSource, Topics
from tests.core.batches import batch_of

AT = "2024-05-01T10:00:00Z"
AT_MS = 1_714_557_600_000
HOUR_MS = 3_600_000


def contract(name: str, *fields: Field, **changes: Any) -> Contract:
    settings: dict[str, Any] = {
        "name": name,
        "topics": Topics(("events",)),
        "type_path": ("type",),
        "type_value": name,
        "times": (TimeSource(("at",)),),
        "timezone": "UTC",
        "ids": (("id",),),
        "lateness_ms": 10_000,
        "max_future_ms": HOUR_MS,
        "idle_after_ms": 30_000,
        "max_bytes": 1 << 20,
        "fields": fields,
        "duplicate_window_ms": 300_000,
    }
    return Contract(**(settings | changes))


ORDER = contract(
    "order",
    Field("amount", ("amount",), "float", required=True, minimum=0, maximum=1000),
    Field("items", ("items",), "integer"),
    Field("region", ("region",), "string"),
    Field("gift", ("gift",), "boolean"),
    Field("user_id", ("user", "id"), "string"),
)
VISIT = contract(
    "visit", Field("page", ("page",), "string"), Field("region", ("region",), "string")
)

ANY = contract("any", Field("text", ("region",), "string"), type_path=None, ids=())


def batch(values: Sequence[bytes | None]) -> Batch:
    return batch_of("events", values, partition=3, offset=100, at_ms=AT_MS)


def order(**changes: Any) -> bytes:
    record = {"type": "order", "id": "o1", "at": AT, "amount": 12.5, **changes}
    return json.dumps(record).encode()
