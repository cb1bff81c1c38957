"""The vendor's serializers with each subject name strategy: schemas distinguish their records, and
`check --registry` finds these schemas."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    record_subject_name_strategy,
    topic_record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from agent.cli import main
from agent.kafka.embedded import EmbeddedBroker
from tests.core.decode.protobuf_samples import classes, compiled
from tests.kafka.registry_server import Registry, running
from tests.kafka.support import Agent

START_MS = 1_741_000_000_000
RULES = """version: 1
events:
  order: {{topic: shop, format: {format}, type_field: {{record: schema}}, type: shop.Order,
    time: at, max_past: 3650d, fields: {{{field}: {{type: float, required: true}}}}}}
  refund: {{topic: shop, format: {format}, type_field: {{record: schema}}, type: shop.Refund,
    time: at, max_past: 3650d, fields: {{reason: {{type: string, required: true}}}}}}
kpis:
  revenue: {{from: order, value: sum({field}), window: 1h}}
  refunds: {{from: refund, value: count(*), window: 1h}}
"""
PROTO = """syntax = "proto3";
package shop;
message Order { int64 at = 1; double amount = 2; }
message Refund { int64 at = 1; string reason = 2; }
"""
AVRO = {
    kind: {
        "type": "record",
        "namespace": "shop",
        "name": kind,
        "fields": [{"name": "at", "type": "long"}, {"name": field, "type": type}],
    }
    for kind, field, type in (("Order", "amount", "double"), ("Refund", "reason", "string"))
}
Serialize = Callable[[str, dict[str, Any]], bytes]


def avro(client: SchemaRegistryClient, strategy: Any) -> Serialize:
    settings = {"subject.name.strategy": strategy}
    of_kind = {k: AvroSerializer(client, json.dumps(s), conf=settings) for k, s in AVRO.items()}
    context = SerializationContext("shop", MessageField.VALUE)
    return lambda kind, event: of_kind[kind](event, context)


def protobuf(client: SchemaRegistryClient, strategy: Any) -> Serialize:
    messages = classes(compiled({"shop.proto": PROTO}))
    settings = {"subject.name.strategy": strategy, "use.deprecated.format": False}
    of_kind = {k: ProtobufSerializer(messages[f"shop.{k}"], client, settings) for k in AVRO}
    context = SerializationContext("shop", MessageField.VALUE)
    return lambda kind, event: of_kind[kind](messages[f"shop.{kind}"](**event), context)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    with running() as made:
        monkeypatch.setenv("KPI_AGENT_SCHEMA_REGISTRY", made.url)
        yield made


@pytest.mark.parametrize("format", [avro, protobuf])
@pytest.mark.parametrize(
    "strategy", [record_subject_name_strategy, topic_record_subject_name_strategy]
)
def test_records_are_of_the_event_that_their_schema_is_called_after(
    format: Callable[[SchemaRegistryClient, Any], Serialize],
    strategy: Any,
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serialize = format(SchemaRegistryClient({"url": registry.url}), strategy)
    values = [serialize("Order", {"at": START_MS + n, "amount": n + 0.5}) for n in range(4)]
    values += [serialize("Refund", {"at": START_MS + n, "reason": "torn"}) for n in range(3)]
    records = [
        {"topic": "shop", "timestamp": START_MS, "value_base64": base64.b64encode(value).decode()}
        for value in values
    ]
    (tmp_path / "shop.ndjson").write_text("".join(f"{json.dumps(r)}\n" for r in records))
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "shop.yaml").write_text(RULES.format(format=format.__name__, field="amount"))
    assert main(["check", str(rules), "--registry"]) == 0
    file = str(tmp_path / "shop.ndjson")
    capsys.readouterr()
    assert main(["replay", "--rules", str(rules), file, "--format", "json"]) == 0
    *windows, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert {w["kpi"]: w["value"] for w in windows} == {"revenue": 8.0, "refunds": 3}
    assert summary["outcomes"]["folded"] == 7

    (rules / "shop.yaml").write_text(RULES.format(format=format.__name__, field="total"))
    assert main(["check", str(rules), "--registry"]) == 1
    said = capsys.readouterr().out
    assert "error: the schema has no total; it has at, amount: topic shop, subject " in said
    assert f"{'shop-' * (strategy is topic_record_subject_name_strategy)}shop.Order" in said


@pytest.mark.timeout(300)
def test_a_running_agent_counts_each_kind_of_record_as_its_event(
    registry: Registry, tmp_path: Path
) -> None:
    client = SchemaRegistryClient({"url": registry.url})
    serialize = avro(client, record_subject_name_strategy)
    rules = tmp_path / "shop.yaml"
    rules.write_text(RULES.format(format="avro", field="amount"))
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker.address})
        for n in range(400):
            kind, value = ("Order", {"amount": 1.0}) if n % 4 else ("Refund", {"reason": "torn"})
            producer.produce("shop", serialize(kind, {"at": START_MS + n, **value}))
        producer.flush()
        agent = Agent(broker.address, rules, web_reload=False)
        try:
            for event, count in (("order", 300), ("refund", 100)):
                until(lambda: folded(agent, event) == count)  # noqa: B023
            status, text = agent.get("/contracts/order")
            assert (status, json.loads(text)["title"]) == (200, "order")
        finally:
            agent.kill()


def folded(agent: Agent, event: str) -> float:
    lines = agent.get("/metrics")[1].splitlines()
    ours = (line for line in lines if line.startswith("kpi_agent_records_total{"))
    wanted = ('outcome="folded"', f'contract="{event}"')
    return sum(float(line.split()[-1]) for line in ours if all(word in line for word in wanted))


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
