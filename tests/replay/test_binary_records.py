"""Records in Avro and Protobuf, in files: their bytes in base64."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastavro
import pytest

from agent.cli import main
from tests.core.decode.protobuf_samples import classes, compiled
from tests.kafka.registry_server import running

AVRO = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "amount", "type": "double"},
    ],
}
PROTO = 'syntax = "proto3";\nmessage Order { int64 at = 1; double amount = 2; }\n'
START_MS = 1_741_000_000_000


def avro(event: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, AVRO, event)
    return out.getvalue()


def protobuf(event: dict[str, Any]) -> bytes:
    order = classes(compiled({"order.proto": PROTO}))["Order"]
    return bytes(order(**event).SerializeToString())


@pytest.mark.parametrize(
    ("format", "file", "schema", "encode"),
    [
        ("avro", "order.avsc", json.dumps(AVRO), avro),
        ("protobuf", "order.proto", PROTO, protobuf),
    ],
)
def test_records_with_a_schema_beside_the_rules_are_replayed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    format: str,
    file: str,
    schema: str,
    encode: Any,
) -> None:
    (tmp_path / file).write_text(schema)
    values = [encode({"at": START_MS + n, "amount": n + 0.5}) for n in range(4)]
    assert replay(tmp_path, values, format, file) == 0
    *windows, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(w["dimensions"], w["value"]) for w in windows] == [({"region": "emea"}, 8.0)]
    assert summary["outcomes"]["folded"] == 4


def test_without_a_registry_records_that_name_its_schemas_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = bytes([0, 0, 0, 0, 7]) + avro({"at": START_MS, "amount": 1.5})
    assert replay(tmp_path, [value], "avro", "registry", "table") == 1
    said = "schema 7: no registry is set: set schema_registry, or name a file in `schema`"
    assert said in " ".join(capsys.readouterr().out.split())


def test_records_are_read_with_the_schemas_of_the_registry_that_they_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as registry:
        number = registry.register("shop-value", {"schema": json.dumps(AVRO)})
        monkeypatch.setenv("KPI_AGENT_SCHEMA_REGISTRY", registry.url)
        bodies = [avro({"at": START_MS + n, "amount": n + 0.5}) for n in range(4)]
        prefixed = [b"\0" + number.to_bytes(4, "big") + body for body in bodies]
        assert replay(tmp_path, [*prefixed, b"\0\0\0\0\x63"], "avro", "registry") == 0
        *windows, summary = map(json.loads, capsys.readouterr().out.splitlines())
        assert [(w["dimensions"], w["value"]) for w in windows] == [({"region": "emea"}, 8.0)]
        assert summary["outcomes"]["rejected"] == 1
        # The id in a header, which is no text.
        header = {"__value_schema_id": base64.b64encode(prefixed[0][:5]).decode()}
        assert replay(tmp_path, bodies, "avro", "registry", headers_base64=header) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[0])["value"] == 8.0
        assert len([path for path in registry.asked if path.startswith("/schemas/ids/1")]) == 2
        registry.refuse = 503
        assert replay(tmp_path, prefixed, "avro", "registry") == 3
        assert "answers: not now (HTTP 503)" in capsys.readouterr().err


def replay(
    folder: Path,
    values: Sequence[bytes],
    format: str,
    schema: str,
    shown: str = "json",
    **members: Any,
) -> int:
    """Replay records of these values, with more members; the exit code."""
    (folder / "shop.yaml").write_text(
        "version: 1\n"
        "events:\n"
        f"  order: {{topic: shop, format: {format}, schema: {schema}, type_field: none, time: at,\n"
        "    fields: {amount: float, region: {path: {key: true}, type: string}}}\n"
        "kpis:\n"
        "  revenue: {from: order, value: sum(amount), by: [region], window: 1h}\n"
    )
    records = [
        {
            "topic": "shop",
            "timestamp": START_MS + n,
            "key_base64": base64.b64encode(b"emea").decode(),
            "value_base64": base64.b64encode(value).decode(),
            **members,
        }
        for n, value in enumerate(values)
    ]
    events = folder / "shop.ndjson"
    events.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return main(["replay", "--rules", str(folder), "--format", shown, str(events)])
