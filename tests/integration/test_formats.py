"""Producers with the vendor's serializers on a real Kafka: every format, schemas that change while
two agents run, one of which is killed, and windows that are DuckDB's."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from agent.core.output.messages import iso
from tests.core.decode.protobuf_samples import classes, compiled
from tests.kafka.registry_server import Registry

from .feeds import Event, produce
from .stage import PARTITIONS, Stage, alike
from .waiting import until

pytestmark = [pytest.mark.needs_kafka, pytest.mark.timeout(400)]

MINUTE_MS = 60_000
COUNT = 6_000
RULES = """
version: 1
events:
  order:
    topic: {topic}
    format: {format}
    schema: registry
    type_field: none
    time: at
    id: id
    lateness: 5s
    max_past: 3650d
    idle_after: 10m
    fields: {{amount: {{type: float, required: true}}, region: string}}
kpis:
  revenue:
    {{title: Revenue, unit: eur, better: higher, owner: o, from: order, value: sum(amount),
     by: [region], window: 1m}}
  orders:
    {{title: Orders, better: higher, owner: o, from: order, value: count(*), by: [region],
     window: 1m}}
"""
_TIME = {"type": "long", "logicalType": "timestamp-millis"}
_FIELDS = [("id", "string"), ("at", _TIME), ("amount", "double"), ("region", "string")]
_PROTO = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Order {{
  string id = 1; google.protobuf.Timestamp at = 2; double amount = 3; string region = 4;{more}
}}
"""

Write = Callable[[dict[str, Any]], bytes]


def avro(client: SchemaRegistryClient, topic: str, version: int) -> Write:
    fields = [{"name": name, "type": type} for name, type in _FIELDS]
    if version == 2:  # in another order, with more
        fields = [{"name": "note", "type": ["null", "string"], "default": None}, *fields[::-1]]
    schema = {"type": "record", "name": "Order", "fields": fields}
    serializer = AvroSerializer(client, json.dumps(schema))
    return _writer(serializer, topic, lambda event: event)


def protobuf(client: SchemaRegistryClient, topic: str, version: int) -> Write:
    more = " optional string note = 5;" if version == 2 else ""
    made = classes(compiled({"order.proto": _PROTO.format(more=more)}))["Order"]
    serializer = ProtobufSerializer(made, client, {"use.deprecated.format": False})

    def message(event: dict[str, Any]) -> Any:
        seconds, ms = divmod(event["at"], 1000)
        return made(**{**event, "at": {"seconds": seconds, "nanos": ms * 1_000_000}})

    return _writer(serializer, topic, message)


def json_schema(client: SchemaRegistryClient, topic: str, version: int) -> Write:
    properties = {name: {"type": "number"} for name in ("at", "amount")}
    properties |= {name: {"type": "string"} for name in ("id", "region", "note")[: version + 1]}
    schema = {"title": "Order", "type": "object", "properties": properties}
    serializer = JSONSerializer(json.dumps(schema), client, lambda event, _: event)
    return _writer(serializer, topic, lambda event: event)


FORMATS = {"avro": avro, "protobuf": protobuf, "json": json_schema}


def _writer(serializer: Any, topic: str, of: Callable[[dict[str, Any]], Any]) -> Write:
    context = SerializationContext(topic, MessageField.VALUE)
    return lambda event: serializer(of(event), context)


def events(seed: int, first_ms: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    made = [
        {
            "id": f"o{number}",
            "at": first_ms + number * 50 + rng.randrange(2_000),
            "amount": round(rng.lognormvariate(3, 1), 2),
            "region": rng.choice(["emea", "apac", "amer"]),
        }
        for number in range(COUNT)
    ]
    for number in rng.sample(range(10, COUNT), 50):  # sent twice
        made[number] = dict(made[number - 5])
    return made


def sent(topic: str, write: Write, part: Sequence[dict[str, Any]]) -> list[Event]:
    return [(topic, event["id"].encode(), write(event)) for event in part]


def truth(path: Path, made: Sequence[dict[str, Any]]) -> dict[tuple[str, str, str], Any]:
    """By KPI, region and start of the window: its value and events, as DuckDB has them."""
    path.write_text("\n".join(map(json.dumps, made)))
    rows = duckdb.connect().execute(
        f"""select region, "at" // 60000 * 60000 as start, sum(amount), count(*) from (
                select distinct on (id) * from read_json('{path}', format = 'newline_delimited'))
            group by all"""
    )
    windows: dict[tuple[str, str, str], Any] = {}
    for region, start, total, count in rows.fetchall():
        windows["revenue", region, iso(start)] = (total, count)
        windows["orders", region, iso(start)] = (count, count)
    return windows


@pytest.mark.parametrize("format", FORMATS)
def test_windows_are_exact_while_schemas_change_and_an_agent_is_killed(
    stage: Stage, registry: Registry, format: str
) -> None:
    topic = f"{stage.prefix}orders"
    stage.topics = [topic]
    stage.create_topics()
    stage.rules.mkdir()
    (stage.rules / "rules.yaml").write_text(RULES.format(topic=topic, format=format))
    client = SchemaRegistryClient({"url": registry.url})
    old, new = (FORMATS[format](client, topic, version) for version in (1, 2))
    first_ms = (stage.start_ms // MINUTE_MS) * MINUTE_MS
    made = events(1, first_ms)
    parts = [made[: COUNT // 3], made[COUNT // 3 : 2 * COUNT // 3], made[2 * COUNT // 3 :]]
    settings = {"schema_registry": registry.url, "flush_interval": 0.2}
    first, second = stage.agent("one", **settings), stage.agent("two", **settings)
    first.start()
    second.start()
    first.wait_ready()
    second.wait_ready()

    produce(stage.broker.address, sent(topic, old, parts[0]))
    until(lambda: first.outcomes().total() + second.outcomes().total() >= 500, 60, stage.words)
    mixed = [
        record
        for pair in zip(sent(topic, old, parts[1]), sent(topic, new, parts[1]), strict=True)
        for record in pair[:: random.Random(2).choice([1, -1])][:1]
    ]
    produce(stage.broker.address, mixed)
    first.kill()
    bad = [(topic, b"bad", b"not a record"), (topic, b"bad", b"\0\0\0\x27\x0f?")]
    produce(stage.broker.address, [*bad, *sent(topic, new, parts[2])])
    closing_ms = max(event["at"] for event in made) + 2 * MINUTE_MS
    closing = [
        {"id": f"c{n}", "at": closing_ms, "amount": 0.0, "region": "emea"}
        for n in range(16 * PARTITIONS)
    ]
    produce(stage.broker.address, sent(topic, new, closing))

    expected = truth(stage.folder / "made.ndjson", made)
    until(lambda: expected.keys() <= windows(stage).keys(), 120, stage.words, every=1)
    published = windows(stage)
    assert published.keys() == expected.keys()
    for place, (value, count) in expected.items():
        assert published[place]["events"] == count, place
        assert alike(published[place]["value"], value), place
    assert second.terminate() == 0, second.last_words()


def windows(stage: Stage) -> dict[tuple[str, str, str], Any]:
    """The closed windows that are published."""
    return {
        (line["kpi"], line["dimensions"]["region"], line["start"]): line
        for line in stage.published_windows().values()
    }


def test_a_registry_that_is_away_is_waited_for(stage: Stage, registry: Registry) -> None:
    topic = f"{stage.prefix}orders"
    stage.topics = [topic]
    stage.create_topics()
    stage.rules.mkdir()
    (stage.rules / "rules.yaml").write_text(RULES.format(topic=topic, format="avro"))
    write = avro(SchemaRegistryClient({"url": registry.url}), topic, 1)
    first_ms = (stage.start_ms // MINUTE_MS) * MINUTE_MS
    part = sent(topic, write, events(2, first_ms)[:300])
    agent = stage.agent("agent", schema_registry=registry.url)
    agent.start()
    agent.wait_ready()
    registry.refuse = 503
    produce(stage.broker.address, part)
    said = agent.wait_says("schema registry")
    assert "HTTP 503" in said
    assert agent.outcomes().total() == 0
    registry.refuse = None
    until(lambda: agent.outcomes().total() == len(part), 60, stage.words)
    agent.wait_ready()
    assert agent.outcomes()["rejected"] == 0
    registry.refuse = 503
    produce(stage.broker.address, part[:10])  # its schema is known
    until(lambda: agent.outcomes().total() == len(part) + 10, 60, stage.words)
    assert agent.terminate() == 0, agent.last_words()
