"""Contracts with envelopes, and what is decoded with them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from agent.core.decode.batch import Decoded
from agent.core.decode.decoder import Decoder
from agent.core.model.events import Contract, Envelope, Field, TimeSource
from agent.core.model.paths import Root
from tests.core.decode.samples import batch, contract

AROUND = Root("envelope")


def enveloped(envelope: Envelope, *fields: Field, **changes: Any) -> Contract:
    settings: dict[str, Any] = {"type_path": None, "ids": (), "envelope": envelope}
    return contract("order", *fields, **(settings | changes))


def decoded(contract: Contract, *records: Any, **parts: Any) -> Decoded:
    values = [r if isinstance(r, bytes | None) else json.dumps(r).encode() for r in records]
    return Decoder([contract]).decode(replace(batch(values), **parts))


def columns(result: Decoded, *names: str) -> list[tuple[Any, ...]]:
    return result.tables["order"].select(names).rows()


CHANGES = enveloped(
    Envelope("debezium"),
    Field("status", ("status",), "string"),
    Field("op", (AROUND, "op"), "string"),
    Field("before", (AROUND, "before", "status"), "string"),
    times=(TimeSource((AROUND, "source", "ts_ms")),),
)


def change(op: str, before: Any, after: Any) -> dict[str, Any]:
    return {"before": before, "after": after, "op": op, "source": {"ts_ms": 1_714_557_600_000}}
