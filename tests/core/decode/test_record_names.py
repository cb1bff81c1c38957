"""Topics with several kinds of records, which only their schemas tell apart."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from agent.core.decode.batch import Batch
from agent.core.decode.record_columns import record_names
from agent.core.fold.folder import Folder
from agent.core.model.events import Schema
from agent.core.model.plan import Plan
from agent.core.model.results import Outcome
from agent.language.load import load
from tests.core.decode.protobuf_samples import classes, compiled

START_MS = 1_741_000_000_000
RULES = """version: 1
events:
  order: {{topic: shop, format: {format}, type_field: {{record: schema}}, type: shop.Order,
    time: at, fields: {{amount: {{type: float, required: true}}}}}}
  refund: {{topic: shop, format: {format}, type_field: {{record: schema}}, type: shop.Refund,
    time: at, fields: {{reason: {{type: string, required: true}}}}}}
kpis:
  orders: {{from: order, value: count(*), window: 1h}}
  refunds: {{from: refund, value: count(*), window: 1h}}
"""
AT = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
FIELDS = {"Order": ("amount", "double"), "Refund": ("reason", "string"), "Note": ("text", "string")}
AVRO = {
    name: {
        "type": "record",
        "namespace": "shop",
        "name": name,
        "fields": [AT, {"name": field, "type": type}],
    }
    for name, (field, type) in FIELDS.items()
}
PROTO = """syntax = "proto3";
package shop;
message Order { int64 at = 1; double amount = 2; }
message Refund { int64 at = 1; string reason = 2; }
message Note { int64 at = 1; string text = 2; }
"""
KINDS = ("Order", "Refund", "Note", "Order")


def event(n: int) -> dict[str, Any]:
    field, type = FIELDS[KINDS[n % 4]]
    return {"at": START_MS + n, field: n + 0.5 if type == "double" else "torn"}


def avro_records(count: int) -> Iterator[bytes]:
    numbers = {name: n.to_bytes(4, "big") for n, name in enumerate(FIELDS)}
    for n in range(count):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, AVRO[KINDS[n % 4]], event(n))
        yield b"\0" + numbers[KINDS[n % 4]] + out.getvalue()


def protobuf_records(count: int) -> Iterator[bytes]:
    messages = classes(compiled({"shop.proto": PROTO}))
    indexes = {"Order": b"\0", "Refund": b"\2\2", "Note": b"\2\4"}
    for n in range(count):
        kind = KINDS[n % 4]
        body = messages[f"shop.{kind}"](**event(n)).SerializeToString()
        yield b"\0\0\0\0\0" + indexes[kind] + body


def batch(format: str, count: int) -> Batch:
    if format == "avro":
        values = list(avro_records(count))
        schemas = {n: Schema("AVRO", json.dumps(AVRO[name])) for n, name in enumerate(FIELDS)}
    else:
        values = list(protobuf_records(count))
        schemas = {0: compiled({"shop.proto": PROTO})}
    values += [b"\0\0\0\0\x63", b"no schema"]
    size = len(values)
    stamps = np.full(size, START_MS, np.int64)
    return Batch("shop", values, np.zeros(size, np.int32), np.arange(size), stamps, schemas=schemas)


def plan_of(folder: Path, format: str) -> Plan:
    (folder / "rules.yaml").write_text(RULES.format(format=format))
    return load(folder)


@pytest.mark.parametrize("format", ["avro", "protobuf"])
@pytest.mark.parametrize("count", [8, 2_000], ids=["one by one", "columns"])
def test_a_record_is_of_the_event_that_its_schema_is_called_after(
    format: str, count: int, tmp_path: Path
) -> None:
    folder = Folder(plan_of(tmp_path, format), "shop", 1)
    folder.assign(0, None)
    counts = folder.add(batch(format, count)).counts
    folded = {contract: n for (o, contract, _), n in counts.items() if o is Outcome.FOLDED}
    assert folded == {"order": count / 2, "refund": count / 4}
    assert sum(n for (o, _, _), n in counts.items() if o is Outcome.IGNORED) == count / 4
    assert sum(n for (o, _, _), n in counts.items() if o is Outcome.REJECTED) == 2


@pytest.mark.parametrize("format", ["avro", "protobuf"])
def test_a_record_without_a_known_schema_has_no_name(format: str) -> None:
    names = record_names(batch(format, 4), np.arange(6))
    assert names == ["shop.Order", "shop.Refund", "shop.Note", "shop.Order", None, None]
