"""Events into topics, and what comes out of topics; `replay` as the evaluate of both."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from agent.core.model.rules import RULE_SUBJECT
from agent.core.output.privacy import Privacy
from agent.language.load import load

Json = dict[str, Any]
Event = tuple[str, bytes, bytes]
"""Topic, key and value of a message to send."""

READ_SECONDS = 60


def rules_of(source: Path, folder: Path, prefix: str, **defaults: str) -> Path:
    """A copy of a rules folder whose topics have a prefix, and with other defaults."""
    folder.mkdir()
    for file in source.glob("*.yaml"):
        text = re.sub(r"(?m)^( +topic: )", rf"\g<1>{prefix}", file.read_text())
        for name, value in defaults.items():
            text = re.sub(rf"(?m)^(  {name}:).*$", rf"\g<1> {value}", text)
        (folder / file.name).write_text(text)
    return folder


def produce(address: str, events: Iterable[Event], **settings: Any) -> int:
    """Send events, compressed with lz4, and wait until all are acknowledged; how many."""
    producer = Producer(
        {"bootstrap.servers": address, "compression.type": "lz4", "linger.ms": 20, **settings}
    )
    failed: list[str] = []

    def note(error: object, message: Message) -> None:
        if error is not None:
            failed.append(f"{message.topic()}: {error}")

    count = 0
    for topic, key, value in events:
        producer.produce(topic, value=value, key=key, on_delivery=note)
        count += 1
        if not count % 1000:
            producer.poll(0)
    assert producer.flush(READ_SECONDS) == 0, "the broker did not take all events"
    assert not failed, failed[:3]
    return count


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, str]

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it lies."""
        return self.topic, self.partition, self.offset


def read(address: str, topics: Sequence[str]) -> list[Record]:
    """Everything that the topics hold now, each partition in its order."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "tests-reading",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
        }
    )
    try:
        ends: dict[tuple[str, int], int] = {}
        for topic in topics:
            metadata = consumer.list_topics(topic, timeout=READ_SECONDS).topics[topic]
            for partition in metadata.partitions:
                asked = TopicPartition(topic, partition)
                ends[topic, partition] = _end(consumer, asked)
        consumer.assign([TopicPartition(t, p, OFFSET_BEGINNING) for t, p in ends])
        left = {place for place, end in ends.items() if end > 0}
        records: list[Record] = []
        deadline = time.monotonic() + READ_SECONDS
        while left:
            assert time.monotonic() < deadline, f"nothing more comes from {sorted(left)}"
            for message in consumer.consume(5000, timeout=0.2):
                assert message.error() is None, message.error()
                record = _record(message)
                records.append(record)
                if record.offset + 1 >= ends[record.topic, record.partition]:
                    left.discard((record.topic, record.partition))
        return records
    finally:
        consumer.close()


def _end(consumer: Consumer, place: TopicPartition) -> int:
    watermarks = consumer.get_watermark_offsets(place, READ_SECONDS)
    assert watermarks is not None, f"no end of {place}"
    return int(watermarks[1])


def _record(message: Message) -> Record:
    headers = {name: bytes(value).decode() for name, value in message.headers() or ()}  # type: ignore[str-unpack, arg-type]
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None
    return Record(topic, partition, offset, _bytes(message.key()), _bytes(message.value()), headers)


def _bytes(value: str | bytes | None) -> bytes:
    assert not isinstance(value, str)
    return value or b""


def published(address: str, topic: str) -> dict[bytes, Json]:
    """What a topic of the agent says, by key: repeated keys are dropped, the first stays.

    AssertionError where a repeated key comes with another content. When a line was `processed` is
    left out: a repeat is published later than the first.
    """
    first: dict[bytes, Json] = {}
    for record in read(address, [topic]):
        line = msgspec.json.decode(record.value)
        line.pop("processed", None)
        assert first.setdefault(record.key, line) == line, (first[record.key], line)
    return first


@dataclass(slots=True)
class Evaluated:
    """What `replay` says of the events that the source topics hold."""

    closed: dict[tuple[str, ...], Json] = field(default_factory=dict)
    open: dict[tuple[str, ...], Json] = field(default_factory=dict)
    transitions: list[Json] = field(default_factory=list)
    summary: Json = field(default_factory=dict)

    @property
    def outcomes(self) -> Counter[str]:
        """How many records, by outcome."""
        return Counter(self.summary["outcomes"])


def place_of(line: Json) -> tuple[str, ...]:
    """What says a window from all others."""
    dimensions = msgspec.json.encode(line["dimensions"]).decode()
    return line["kpi"], dimensions, line["start"], line["end"]


def evaluated(
    address: str, rules: Path, topics: Sequence[str], folder: Path, secret: str
) -> Evaluated:
    """Replay what the topics hold, each partition as a file of its own: a source, as it is.

    People are called in it as an agent with this secret calls them outside.
    """
    plan, privacy = load(rules), Privacy(secret)
    folder.mkdir(exist_ok=True)
    lines: dict[tuple[str, int], list[bytes]] = {}
    for record in read(address, topics):
        lines.setdefault((record.topic, record.partition), []).append(record.value)
    files = []
    for (topic, partition), values in sorted(lines.items()):
        path = folder / f"{topic}-{partition}.ndjson"
        path.write_bytes(b"".join(value + b"\n" for value in values))
        files.append(f"{topic}={path}")
    command = [sys.executable, "-m", "agent", "replay", "--rules", str(rules), "--format", "json"]
    done = subprocess.run([*command, *files], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    out = Evaluated()
    for line in map(msgspec.json.decode, done.stdout.splitlines()):
        if line["kind"] in ("window", "rule"):
            subject, named = line["kpi"] or RULE_SUBJECT + line["rule"], line["dimensions"]
            hidden = privacy.dimensions(plan, subject, tuple(named.values()))
            line["dimensions"] = dict(zip(named, hidden, strict=True))
        if line["kind"] == "window":
            (out.open if line.get("open") else out.closed)[place_of(line)] = line
        elif line["kind"] == "rule":
            out.transitions.append(line)
        elif line["kind"] == "summary":
            out.summary = line
    return out
