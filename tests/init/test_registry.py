"""Drafts from a registry's schemas: alone, beside a sample, and of records that need them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka import Producer
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from agent.cli import main
from agent.core.model.events import Contract, TimeSource
from agent.core.model.paths import Root
from agent.core.model.plan import Plan
from agent.kafka.embedded import EmbeddedBroker
from agent.language.load import load
from tests.core.decode.protobuf_samples import classes, compiled
from tests.kafka.registry_server import Registry

START_MS = 1_741_000_000_000
STATUS = {"type": "enum", "name": "Status", "symbols": ["NEW", "PAID"]}
LINE = {
    "type": "record",
    "name": "Line",
    "fields": [{"name": "price", "type": "double"}, {"name": "quantity", "type": "int"}],
}
CUSTOMER = {
    "type": "record",
    "name": "Customer",
    "fields": [{"name": "tier", "type": ["null", "string"]}, {"name": "country", "type": "string"}],
}
ORDER = {
    "type": "record",
    "name": "com.example.OrderPlaced",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "sent", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "placed_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "amount",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
        {"name": "status", "type": STATUS},
        {"name": "coupon", "type": ["null", "string"]},
        {"name": "channel", "type": "string", "default": "web"},
        {"name": "customer", "type": CUSTOMER},
        {"name": "lines", "type": {"type": "array", "items": LINE}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "labels", "type": {"type": "map", "values": "string"}},
        {"name": "raw", "type": "bytes"},
    ],
}
PAYMENT = """syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
enum Kind { UNKNOWN = 0; CARD = 1; }
message Address { string country = 1; }
message Payment {
  string id = 1; google.protobuf.Timestamp paid_at = 2; double amount = 3; Kind kind = 4;
  Address address = 5; optional string note = 6;
}
"""


def drafted(registry: Registry, folder: Path, *arguments: str, topic: str = "shop") -> Plan:
    """The plan of a draft, which passes the check, also against the registry."""
    rules = folder / "rules"
    options = ["--registry", registry.url, "--topic", topic, "--rules", str(rules), "--yes"]
    assert main(["init", *options, *arguments]) == 0
    assert main(["check", str(rules), "--registry", registry.url]) == 0
    return load(rules / f"{topic}.yaml")


def fields_of(contract: Contract) -> dict[str, tuple[str, bool, tuple[str, ...]]]:
    """Type, whether it is required, and the values of an enum, by field."""
    return {
        f.name: (f.type, f.required, () if f.text is None else f.text.values)
        for f in contract.fields
    }


def test_an_avro_schema_says_types_enums_and_what_is_required(
    registry: Registry, tmp_path: Path
) -> None:
    number = registry.register("shop-value", {"schema": json.dumps(ORDER)})
    plan = drafted(registry, tmp_path)
    order, lines = plan.contracts["order_placed"], plan.contracts["order_placed.lines"]
    assert (order.format, order.schema, order.type_path) == ("avro", "registry", None)
    assert (order.times, order.ids) == ((TimeSource(("placed_at",)),), (("event_id",),))
    assert fields_of(order) == {
        "amount": ("decimal", True, ()),
        "sent": ("timestamp", True, ()),
        "status": ("string", True, ("NEW", "PAID")),
        "coupon": ("string", False, ()),
        "channel": ("string", False, ()),  # older records may lack it
        "tier": ("string", False, ()),
        "country": ("string", True, ()),
        "tags": ("string[]", True, ()),
    }
    assert lines.each == ("lines",)
    assert fields_of(lines) == {
        "price": ("float", True, ()),
        "quantity": ("integer", True, ()),
        "status": ("string", True, ("NEW", "PAID")),
    }
    assert {kpi.sql: kpi.by for kpi in plan.kpis.values()} == {
        "count(*)": ("status",), "sum(amount)": ("status",),
        "sum(price * quantity)": ("status",), "sum(quantity)": ("status",),
    }  # fmt: skip
    text = (tmp_path / "rules" / "shop.yaml").read_text()
    assert f"topic: shop  # fields by subject shop-value, schema {number}" in text
    assert "# left out: labels: a map" in text
    assert "# left out: raw: bytes" in text


def test_of_a_protobuf_message_nothing_is_required(registry: Registry, tmp_path: Path) -> None:
    registry.register("payments-shop.Payment", protobuf())
    plan = drafted(registry, tmp_path, topic="payments")
    payment = plan.contracts["payment"]
    # The subject is called after the record, of which the topic may have others.
    assert (payment.format, payment.subject) == ("protobuf", None)
    assert (payment.type_path, payment.type_value) == ((Root("schema"),), "shop.Payment")
    assert payment.times == (TimeSource(("paid_at",)),)
    assert fields_of(payment) == {
        "amount": ("float", False, ()),
        "kind": ("string", False, ("UNKNOWN", "CARD")),
        "country": ("string", False, ()),
        "note": ("string", False, ()),
    }


def test_a_json_schema_says_what_is_required(registry: Registry, tmp_path: Path) -> None:
    visit = {
        "title": "Visit",
        "type": "object",
        "required": ["seconds"],
        "properties": {
            "at": {"type": "string", "format": "date-time"},
            "seconds": {"type": "number"},
            "device": {"enum": ["phone", "desktop"]},
        },
    }
    registry.register("com.Visit", {"schema": json.dumps(visit), "schemaType": "JSON"})
    contract = drafted(registry, tmp_path, "--subject", "com.Visit").contracts["visit"]
    assert (contract.format, contract.schema, contract.subject) == (
        "json", "registry", "com.Visit",
    )  # fmt: skip
    assert contract.times == (TimeSource(("at",)), TimeSource((Root("timestamp"),)))
    assert fields_of(contract) == {
        "seconds": ("float", True, ()),
        "device": ("string", False, ("phone", "desktop")),
    }


def test_what_changed_in_a_table_is_an_envelope(registry: Registry, tmp_path: Path) -> None:
    row = {
        "type": "record",
        "name": "Row",
        "fields": [{"name": "id", "type": "long"}, {"name": "price", "type": "double"}],
    }
    source = {"type": "record", "name": "Source", "fields": [{"name": "ts_ms", "type": "long"}]}
    change = {
        "type": "record",
        "name": "Envelope",
        "fields": [
            {"name": "before", "type": ["null", row]},
            {"name": "after", "type": ["null", "Row"]},
            {"name": "op", "type": "string"},
            {"name": "source", "type": source},
        ],
    }
    registry.register("shop-value", {"schema": json.dumps(change)})
    contract = drafted(registry, tmp_path).contracts["shop.changed"]
    assert contract.envelope is not None
    assert (contract.envelope.name, contract.ids) == ("debezium", ())
    assert fields_of(contract) == {"id": ("integer", False, ()), "price": ("float", False, ())}


def test_answers_come_before_what_the_schema_suggests(registry: Registry, tmp_path: Path) -> None:
    registry.register("shop-value", {"schema": json.dumps(ORDER)})
    options = ["--event", "order.placed", "--time", "sent", "--id", "none", "--by", "country"]
    plan = drafted(registry, tmp_path, *options, "--window", "5m")
    contract = plan.contracts["order.placed"]
    assert (contract.times, contract.ids) == ((TimeSource(("sent",)),), ())
    assert {kpi.by for kpi in plan.kpis.values()} == {("country",)}


def test_beside_a_sample_the_schema_says_what_no_sample_shows(
    registry: Registry, tmp_path: Path
) -> None:
    registry.register("shop-value", {"schema": json.dumps(ORDER)})
    file = tmp_path / "shop.ndjson"
    events = [
        {
            "event_id": f"e{n}", "placed_at": START_MS + n * 60_000, "amount": n % 7,
            "status": "PAID" if n % 3 else "NEW", "customer": {"tier": "gold", "country": "NO"},
        }
        for n in range(3_000)
    ]  # fmt: skip
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    plan = drafted(registry, tmp_path, "--type-field", "none", str(file))
    (contract,) = plan.contracts.values()
    assert (contract.format, contract.ids) == ("avro", (("event_id",),))
    assert fields_of(contract)["amount"] == ("decimal", True, ())
    assert fields_of(contract)["status"] == ("string", True, ("NEW", "PAID"))
    assert any(rule.name.endswith("_low") for rule in plan.rules.values())


def test_records_of_a_file_are_read_with_the_schemas_that_they_name(
    registry: Registry, tmp_path: Path
) -> None:
    number = registry.register("shop-value", {"schema": json.dumps(ORDER)})
    file = tmp_path / "shop.ndjson"
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records(number)))
    contract = drafted(registry, tmp_path, str(file)).contracts["shop"]
    assert (contract.format, contract.schema) == ("avro", "registry")
    assert contract.times == (TimeSource(("placed_at",)),)
    assert fields_of(contract)["tier"] == ("string", False, ())
    assert fields_of(contract)["country"] == ("string", True, ())


def test_records_of_a_topic_are_read_with_the_registry_of_the_settings(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = PAYMENT.replace('import "google/', "//").replace("google.protobuf.Timestamp", "int64")
    message = classes(compiled({"shop.proto": text}))["shop.Payment"]
    number = registry.register("payments-value", protobuf(text))
    monkeypatch.setenv("KPI_AGENT_SCHEMA_REGISTRY", registry.url)
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker.address})
        for n in range(200):
            payment = message(id=f"p{n}", paid_at=START_MS + n * 1_000, amount=n % 9, kind=n % 2)
            value = b"\0" + number.to_bytes(4, "big") + b"\2\2" + payment.SerializeToString()
            producer.produce("payments", value, timestamp=START_MS + n * 1_000)
        producer.flush()
        arguments = ["--brokers", broker.address, "--topic", "payments", "--type-field", "none"]
        assert main(["init", *arguments, "--yes", "--rules", str(tmp_path)]) == 0
    assert "over the sample, 200 records: 200 folded" in capsys.readouterr().out
    (contract,) = load(tmp_path / "payments.yaml").contracts.values()
    assert (contract.format, contract.times) == ("protobuf", (TimeSource(("paid_at",)),))


def test_records_of_several_schemas_are_events_of_their_own(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refund = {
        "type": "record",
        "name": "com.example.OrderRefunded",
        "fields": [{"name": "refunded_at", "type": "long"}, {"name": "total", "type": "double"}],
    }
    number = registry.register("com.example.OrderPlaced", {"schema": json.dumps(ORDER)})
    other = registry.register("com.example.OrderRefunded", {"schema": json.dumps(refund)})
    lines = list(records(number))
    for n in range(40):
        out = io.BytesIO()
        row = {"refunded_at": START_MS + n * 60_000, "total": n + 0.5}
        fastavro.schemaless_writer(out, refund, row)
        value = b"\0" + other.to_bytes(4, "big") + out.getvalue()
        lines.append(lines[n] | {"value_base64": base64.b64encode(value).decode()})
    file = tmp_path / "shop.ndjson"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    contracts = drafted(registry, tmp_path, str(file)).contracts
    placed, refunded = (contracts[f"com.example.Order{kind}"] for kind in ("Placed", "Refunded"))
    assert placed.type_path == refunded.type_path == (Root("schema"),)
    assert (placed.times, refunded.times) == (
        (TimeSource(("placed_at",)),), (TimeSource(("refunded_at",)),),
    )  # fmt: skip
    assert fields_of(refunded) == {"total": ("float", True, ())}
    assert "340 records: 340 folded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--topic", "nowhere"], 3, "the registry has no subject nowhere-value"),
        (["--topic", "shop", "--subject", "x"], 3, "the registry has no subject x"),
        (["--topic", "several"], 3, "topic several has several subjects: several-C, several-a.B"),
        (["--topic", "text"], 3, "subject text-value, schema 2 is of no object with members"),
        ([], 2, "with --registry, name a --topic"),
    ],
)
def test_what_can_not_be_drafted_is_reported(
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    code: int,
    said: str,
) -> None:
    registry.register("several-a.B", {"schema": json.dumps(ORDER)})
    registry.register("several-C", {"schema": json.dumps(ORDER)})
    text = {"schema": '{"type": "string"}', "schemaType": "JSON"}
    registry.register("text-value", text)
    options = ["--registry", registry.url, "--rules", str(tmp_path / "rules"), "--yes"]
    assert main(["init", *options, *arguments]) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "rules").exists()


def test_a_registry_that_is_not_set_or_does_not_answer_is_reported(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.ndjson"
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records(7, 3)))
    arguments = ["init", str(file), "--rules", str(tmp_path / "rules"), "--yes"]
    assert main(arguments) == 3
    assert "events name schemas of a registry, and no registry is set" in capsys.readouterr().err
    assert main([*arguments, "--registry", registry.url]) == 3
    assert "the registry has no schema of the sample's records: 7" in capsys.readouterr().err
    registry.refuse = 503
    assert main(["init", "--registry", registry.url, "--topic", "shop", *arguments[2:]]) == 3
    assert "answers: not now (HTTP 503)" in capsys.readouterr().err


def protobuf(text: str = PAYMENT) -> dict[str, Any]:
    """A schema as a registry is asked to keep it."""
    files = FileDescriptorSet.FromString(base64.b64decode(compiled({"shop.proto": text}).text))
    content = base64.b64encode(files.file[-1].SerializeToString()).decode()
    return {"schema": content, "schemaType": "PROTOBUF"}


def records(number: int, count: int = 300) -> Iterator[dict[str, Any]]:
    """Orders in Avro, as lines of a file of records."""
    schema = fastavro.parse_schema(ORDER)
    for n in range(count):
        out = io.BytesIO()
        order = {
            "event_id": f"e{n}", "sent": START_MS * 1_000, "placed_at": START_MS + n * 60_000,
            "amount": Decimal(n % 7), "status": "PAID", "coupon": None, "channel": "web",
            "customer": {"tier": None if n % 2 else "gold", "country": "NO" if n % 3 else "SE"},
            "lines": [], "tags": ["a"], "labels": {}, "raw": b"\xff",
        }  # fmt: skip
        fastavro.schemaless_writer(out, schema, order)
        value = b"\0" + number.to_bytes(4, "big") + out.getvalue()
        yield {
            "topic": "shop",
            "timestamp": START_MS + n * 60_000,
            "key": None,
            "value_base64": base64.b64encode(value).decode(),
        }
