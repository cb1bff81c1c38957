"""Workload W: seeded events in a file, and the same events in a Kafka topic.

1,000,000 JSON events of about 155 bytes: half `order.completed` with `amount`, 30 %
`ticket.answered` with `response_seconds`, 20 % `feedback.submitted` with `score`; 4 regions, 5
channels, 200 employees, 50,000 customers; event times 3 ms apart plus up to 2 s of disorder. The
topic has 4 partitions keyed by customer, lz4.

    python -m benchmarks.workload --events 1000000     # the file; says where, and its shape
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in its stubs

from benchmarks.results import arguments

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "bench"
FIRST_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, the start of a 60 s window
WINDOW_MS = 60_000
STEP_MS = 3
DISORDER_MS = 2_000
LATENESS_MS = 5_000  # as benchmarks/rules say
PARTITIONS = 4
CHUNK_EVENTS = 500_000
REGIONS = ("amer", "apac", "emea", "latam")
CHANNELS = ("app", "mail", "partner", "phone", "web")


Keys = Literal["uniform", "zipf", "hot"]
"""How events fall on customers, which are the records' keys: evenly; the n-th customer has 1/n of
what the first one has; or one customer has nine in ten."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Which workload: W itself by default."""

    events: int = 1_000_000
    seed: int = 1
    employees: int = 200
    customers: int = 50_000
    step_ms: float = STEP_MS
    keys: Keys = "uniform"

    @property
    def name(self) -> str:
        """Of its file, without the suffix."""
        name = f"w-{self.events}-{self.seed}-{self.employees}-{self.customers}-{self.step_ms}"
        return name if self.keys == "uniform" else f"{name}-{self.keys}"

    @property
    def file(self) -> Path:
        """Where `write` puts it: one JSON object a line."""
        return CACHE / f"{self.name}.ndjson"

    @property
    def closing_ms(self) -> int:
        """The event time of the closing events: every window that holds events is past then,
        lateness included, and not one more."""
        last = FIRST_MS + int(self.events * self.step_ms) + DISORDER_MS
        return last - last % WINDOW_MS + WINDOW_MS + LATENESS_MS


def chunk(shape: Shape, first: int, count: int) -> pl.DataFrame:
    """Events `[first, first + count)` as columns `json` and `customer`, in the order sent."""
    random = np.random.default_rng([shape.seed, first])
    number = np.arange(first, first + count)
    cut = [0.5, 0.8]
    table = pl.DataFrame(
        {
            "number": number,
            "at": FIRST_MS
            + (number * shape.step_ms).astype(np.int64)
            + random.integers(0, DISORDER_MS + 1, count),
            "kind": np.searchsorted(cut, random.random(count), side="right"),
            "region": np.array(REGIONS)[random.integers(0, len(REGIONS), count)],
            "channel": np.array(CHANNELS)[random.integers(0, len(CHANNELS), count)],
            "employee": random.integers(0, shape.employees, count),
            "customer": _customers(shape, random, count),
            "amount": np.round(random.lognormal(3.5, 1.0, count), 2),
            "seconds": np.round(random.lognormal(4.5, 0.8, count), 3),
            "score": random.integers(1, 6, count),
        }
    ).with_columns(pl.format("c{}", pl.col("customer").cast(pl.String).str.zfill(5)).alias("buyer"))
    special = (
        pl.when(pl.col("kind") == 0).then(pl.format('"amount":{}', "amount"))
        .when(pl.col("kind") == 1).then(pl.format('"response_seconds":{}', "seconds"))
        .otherwise(pl.format('"score":{}', "score"))
    )  # fmt: skip
    kind = pl.col("kind").replace_strict(
        [0, 1, 2], ["order.completed", "ticket.answered", "feedback.submitted"]
    )
    text = pl.format(
        '{{"type":"{}","id":"e{}","at":{},"customer":"{}","region":"{}","channel":"{}",'
        '"employee":"m{}",{}}}',
        kind, pl.col("number").cast(pl.String).str.zfill(10), "at", "buyer", "region", "channel",
        pl.col("employee").cast(pl.String).str.zfill(5), special,
    )  # fmt: skip
    return table.select(text.alias("json"), pl.col("buyer").alias("customer"))


def _customers(shape: Shape, random: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    even: npt.NDArray[np.int64] = random.integers(0, shape.customers, count)
    if shape.keys == "uniform":
        return even
    chance = np.random.default_rng([shape.seed, int(even[0])])  # beside the other draws
    if shape.keys == "hot":
        return np.where(chance.random(count) < 0.9, 0, even)
    weights = np.cumsum(1 / np.arange(1, shape.customers + 1))
    return np.searchsorted(weights, chance.random(count) * weights[-1])


def chunks(shape: Shape) -> Iterator[pl.DataFrame]:
    """All events, `CHUNK_EVENTS` at a time."""
    for first in range(0, shape.events, CHUNK_EVENTS):
        yield chunk(shape, first, min(CHUNK_EVENTS, shape.events - first))


def closing(shape: Shape) -> bytes:
    """The event that closes all windows, sent to every partition."""
    return (
        f'{{"type":"feedback.submitted","id":"closing","at":{shape.closing_ms},'
        '"customer":"closing","region":"amer","channel":"app","employee":"m00000","score":3}'
    ).encode()


def write(shape: Shape) -> Path:
    """The workload's file, made if it is not there yet."""
    if not shape.file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = shape.file.with_suffix(".part")
        with part.open("wb") as out:
            for table in chunks(shape):
                out.write("\n".join(table["json"].to_list()).encode() + b"\n")
        part.rename(shape.file)
    return shape.file


def new_topic(broker: str, name: str, partitions: int = PARTITIONS) -> None:
    """Make a topic that no record of which is ever deleted by age."""
    admin = AdminClient({"bootstrap.servers": broker})
    made = admin.create_topics([NewTopic(name, partitions, 1, config={"retention.ms": "-1"})])
    made[name].result(30)


def send(
    shape: Shape,
    broker: str,
    topic: str,
    held_back: bool = False,
    partitions: int = PARTITIONS,
    readable_chunks: int = 0,
) -> Producer | None:
    """Send the workload and the closing events, one to each of the topic's partitions.

    `held_back`: in a transaction that the caller commits, so that consumers that read committed
    records see them all from one moment on; the producer is given back for that. The first
    `readable_chunks` of them can be read at once.
    """
    config = {
        "bootstrap.servers": broker,
        "log_level": 2,  # it outlives the broker
        "compression.type": "lz4",
        "linger.ms": 20,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 1_000_000,
        "partitioner": "murmur2_random",  # what Java clients do with a key
    }
    if held_back:
        config |= {"transactional.id": f"{topic}-sender", "transaction.timeout.ms": 900_000}
    producer = Producer(config)
    if held_back:
        producer.init_transactions(30)
        producer.begin_transaction()
    for number, table in enumerate(chunks(shape)):
        if held_back and 0 < number == readable_chunks:
            producer.commit_transaction(60)
            producer.begin_transaction()
        for json, customer in table.iter_rows():
            produce(producer, topic, json, customer)
    for partition in range(partitions):
        produce(producer, topic, closing(shape), b"closing", partition)
    producer.flush()
    return producer if held_back else None


def produce(
    producer: Producer, topic: str, value: str | bytes, key: str | bytes, partition: int = -1
) -> None:
    """Send a record, once the producer's queue has room for it."""
    while True:
        try:
            producer.produce(topic, value, key, partition)
            return
        except BufferError:
            producer.poll(0.1)


def main() -> None:
    """Write the file, and say its shape."""
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=Shape().events)
    parser.add_argument("--seed", type=int, default=Shape().seed)
    options = parser.parse_args()
    shape = Shape(events=options.events, seed=options.seed)
    started = time.monotonic()
    path = write(shape)
    size = path.stat().st_size
    print(f"{path}: {shape.events:,} events, {size / shape.events - 1:.1f} bytes each, "
          f"in {time.monotonic() - started:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main()
