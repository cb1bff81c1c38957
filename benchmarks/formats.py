"""W in JSON, Avro and Protobuf: CPU time an event, from the records' bytes to folded partials.

    python -m benchmarks.formats --events 400000

The formats take turns, batch by batch, so that all of them meet the same machine. The time is a
number of milliseconds in JSON, and a timestamp in Avro and Protobuf. What a broker and a client
cost is left out: it is the same for every format, but for the bytes.
"""

from __future__ import annotations

import base64
import gc
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any

import fastavro
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from agent.core.decode.batch import Batch
from agent.core.fold.folder import Folder
from agent.core.model.events import REGISTRY, Schema
from agent.core.model.plan import Plan
from agent.language.load import load
from benchmarks import results
from benchmarks.broker import ROOT
from benchmarks.workload import Shape, chunk

BATCH_RECORDS = 20_000
TURNS = 5
_PREFIX = b"\0\0\0\0\1"
_OPTIONAL = {"amount": "double", "response_seconds": "double", "score": "int"}
_AVRO = json.dumps(
    {
        "type": "record",
        "name": "W",
        "fields": [
            {"name": "type", "type": "string"},
            {"name": "id", "type": "string"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            *({"name": n, "type": "string"} for n in ("customer", "region", "channel", "employee")),
            *({"name": name, "type": ["null", type]} for name, type in _OPTIONAL.items()),
        ],
    }
)


def avro_records() -> tuple[Schema, Callable[[dict[str, Any]], bytes]]:
    """The schema of W in Avro, and what writes an event."""
    parsed = fastavro.parse_schema(json.loads(_AVRO.replace("logicalType", "ignored")))

    def write(event: dict[str, Any]) -> bytes:
        out = BytesIO(_PREFIX)
        out.seek(len(_PREFIX))
        fastavro.schemaless_writer(out, parsed, event)
        return out.getvalue()

    return Schema("AVRO", _AVRO), write


def protobuf_records() -> tuple[Schema, Callable[[dict[str, Any]], bytes]]:
    """The schema of W in Protobuf, and what writes an event."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="w.proto", package="w", syntax="proto3")
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name="W")
    types = {"double": field.TYPE_DOUBLE, "int": field.TYPE_INT32}
    names = ("type", "id", "at", "customer", "region", "channel", "employee", *_OPTIONAL)
    for number, name in enumerate(names, 1):
        added = message.field.add(name=name, number=number, label=field.LABEL_OPTIONAL)
        added.type = types[_OPTIONAL[name]] if name in _OPTIONAL else field.TYPE_STRING
        if name == "at":
            added.type, added.type_name = field.TYPE_MESSAGE, ".google.protobuf.Timestamp"
        if name in _OPTIONAL:
            added.proto3_optional, added.oneof_index = True, len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{name}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("w.W"))

    def write(event: dict[str, Any]) -> bytes:
        seconds, ms = divmod(event["at"], 1000)
        at = {"seconds": seconds, "nanos": ms * 1_000_000}
        body: bytes = made(**{**event, "at": at}).SerializeToString()
        return _PREFIX + b"\0" + body

    files = descriptor_pb2.FileDescriptorSet(file=[file])
    text = base64.b64encode(files.SerializeToString()).decode()
    return Schema("PROTOBUF", text), write


def _plan(plan: Plan, format: str) -> Plan:
    if format == "json":
        return plan
    contracts = {
        name: replace(contract, format=format, schema=REGISTRY)
        for name, contract in plan.contracts.items()
    }
    return replace(plan, contracts=contracts)


def _seconds(folder: Folder, batch: Batch) -> tuple[float, float]:
    """CPU time of decoding, and of all."""
    started = time.process_time()
    decoded = folder.decode(batch)
    decoding = time.process_time() - started
    added = folder.fold(batch, decoded, int(batch.timestamps[-1]))
    assert not added.rejects, added.rejects[0]
    return decoding, time.process_time() - started


def measure(events: int) -> Mapping[str, Any]:
    """Bytes an event, and CPU time an event (µs), by format; medians over turns."""
    lines = [line.encode() for line in chunk(Shape(events), 0, events)["json"].to_list()]
    objects = [json.loads(line) for line in lines]
    schemas: dict[str, Schema | None] = {"json": None}
    records = {"json": lines}
    for format, made in (("avro", avro_records()), ("protobuf", protobuf_records())):
        schemas[format] = made[0]
        records[format] = [made[1](event) for event in objects]
    plan = load(ROOT / "benchmarks" / "rules" / "w")
    runs: dict[str, list[tuple[float, float]]] = {format: [] for format in records}
    gc.collect()
    gc.freeze()  # the events themselves are not the agent's to look through
    for _ in range(TURNS):
        folders = {f: Folder(_plan(plan, f), "bench-w", 8) for f in records}
        spent = {f: np.zeros(2) for f in records}
        for folder in folders.values():
            folder.assign(0, None)
        for first in range(0, events, BATCH_RECORDS):
            for format, values in records.items():
                part: list[bytes | None] = list(values[first : first + BATCH_RECORDS])
                offsets = np.arange(first, first + len(part))
                stamps = np.full(len(part), objects[first]["at"] + 3_600_000)
                batch = Batch(
                    "bench-w", part, np.zeros(len(part), np.int32), offsets, stamps,
                    schemas={1: schemas[format]},
                )  # fmt: skip
                spent[format] += _seconds(folders[format], batch)
        for format, both in spent.items():
            runs[format].append((both[0] / events * 1e6, both[1] / events * 1e6))
    return {
        format: {
            "bytes": round(sum(map(len, records[format])) / events, 1),
            "decode_us": round(float(np.median([run[0] for run in of])), 2),
            "total_us": round(float(np.median([run[1] for run in of])), 2),
        }
        for format, of in runs.items()
    }


def main() -> None:
    """Measure, print and keep it."""
    parser = results.arguments(__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    options = parser.parse_args()
    measured = {"events": options.events, "turns": TURNS, "formats": measure(options.events)}
    path = results.save("formats", measured)
    print(json.dumps(measured["formats"], indent=2), path.name)


if __name__ == "__main__":
    main()
