"""As many events as a machine can take, and a note of each of them.

    python -m tests.chaos.flood BROKER TOPIC EVENTS_PER_SECOND SECONDS SEED FOLDER

Of the events, 1 % are bad, 1 % late beyond doubt, and 2 % come twice. What was sent is written to
FOLDER as Parquet files, in its order (`seq`). The last line says how many records there were, and
in how many seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from confluent_kafka import Producer

PARTITIONS = 4
LATENESS_MS = 2_000
WINDOW_MS = 10_000
LATE_MS = 60_000
DISORDER_MS = 400
TICK_SECONDS = 0.05
MOST_WAITING = 500_000  # records that the broker has not taken yet
FILE_SECONDS = 5.0
REGIONS = ("amer", "apac", "emea", "latam")
CHANNELS = ("app", "mail", "partner", "phone", "web")

RULES = """\
version: 1
defaults: {lateness: 2s, idle_after: 5s}
events:
  order:
    topic: TOPIC
    type_field: none
    time: at
    id: id
    fields:
      amount: {type: float, minimum: 0}
      region: string
      channel: string
      customer: string
kpis:
  revenue: {title: TITLE, from: order, value: sum(amount), by: [region, channel], window: 10s}
  orders: {from: order, value: count(*), by: [region, channel], window: 10s}
  dearest: {from: order, value: max(amount), by: [region], window: 10s}
rules:
  poor: {kpi: revenue, when: value < 1}
"""

Ints = npt.NDArray[np.int64]


class Flood:
    """Makes the events of one tick after the other."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._number = 0

    def tick(self, now_ms: int, count: int) -> pl.DataFrame:
        """Events in the order sent: `part`, `id`, `happened` (ms), `amount` (negative: bad),
        `region`, `channel` and their JSON."""
        random = self._random
        number = np.arange(self._number, self._number + count)
        self._number += count
        dice = random.random(count)
        at = now_ms - random.integers(0, DISORDER_MS + 1, count)
        amount = random.integers(1, 40_000, count) / 100
        table = pl.DataFrame(
            {
                "part": random.integers(0, PARTITIONS, count).astype(np.int32),
                "id": number,
                "happened": np.where(dice < 0.01, at - LATE_MS, at),
                "amount": np.where((dice >= 0.01) & (dice < 0.02), -amount, amount),
                "region": np.array(REGIONS)[random.integers(0, len(REGIONS), count)],
                "channel": np.array(CHANNELS)[random.integers(0, len(CHANNELS), count)],
                "customer": random.integers(0, 50_000, count),
            }
        )
        twice = table.filter(pl.Series((dice >= 0.02) & (dice < 0.04)))
        # The second time after all others of this tick: a retry.
        return _with_json(pl.concat([table, twice]))

    def closing(self, at_ms: int) -> pl.DataFrame:
        """One good event for each partition, at an instant."""
        number = np.arange(self._number, self._number + PARTITIONS)
        self._number += PARTITIONS
        return _with_json(
            pl.DataFrame(
                {
                    "part": np.arange(PARTITIONS, dtype=np.int32),
                    "id": number,
                    "happened": np.full(PARTITIONS, at_ms),
                    "amount": np.ones(PARTITIONS),
                    "region": ["amer"] * PARTITIONS,
                    "channel": ["app"] * PARTITIONS,
                    "customer": np.zeros(PARTITIONS, np.int64),
                }
            )
        )


def _with_json(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(
        pl.format(
            '{{"type":"order","id":"e{}","at":{},"customer":"c{}","region":"{}","channel":"{}",'
            '"amount":{},"note":"as it was sent by the shop"}}',
            *("id", "happened", "customer", "region", "channel", "amount"),
        ).alias("json")
    )


class Notes:
    """What was sent, in files of some seconds each."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder
        self._kept: list[pl.DataFrame] = []
        self._written = time.monotonic()

    def add(self, table: pl.DataFrame) -> None:
        """Note what was sent."""
        self._kept.append(table.drop("json", "customer"))
        if time.monotonic() - self._written > FILE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is not written yet."""
        table = pl.concat(self._kept).with_row_index("seq", self.count)
        table.write_parquet(self._folder / f"{self.count:012d}.parquet")
        self.count += table.height
        self._kept, self._written = [], time.monotonic()


def send(producer: Producer, topic: str, table: pl.DataFrame) -> None:
    """Send events, each partition in the order of the table; wait where the broker is behind."""
    while len(producer) > MOST_WAITING:
        producer.poll(0.1)
    for (partition,), part in table.group_by(["part"], maintain_order=True):
        messages = [{"value": value} for value in part["json"].to_list()]
        queued = producer.produce_batch(topic, messages, partition=int(partition))
        assert queued == len(messages), f"only {queued} of {len(messages)} events were taken"
    producer.poll(0)


def main() -> None:
    """Send until the time is over, then what closes the last windows."""
    broker, topic, folder = sys.argv[1], sys.argv[2], Path(sys.argv[6])
    rate, seconds, seed = int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    producer = Producer(
        {
            "bootstrap.servers": broker, "enable.idempotence": True, "compression.type": "lz4",
            "linger.ms": 10, "batch.size": 500_000, "log_level": 2,
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 1_000_000,
        }
    )  # fmt: skip
    flood, notes, sent = Flood(seed), Notes(folder), 0
    began = time.monotonic()
    while (now := time.monotonic()) - began < seconds:
        due = min(int((now - began) * rate) - sent, rate)
        if due > 0:
            table = flood.tick(time.time_ns() // 1_000_000, due)
            send(producer, topic, table)
            notes.add(table)
            sent += due
        time.sleep(max(0.0, TICK_SECONDS - (time.monotonic() - now)))
    took = time.monotonic() - began
    # Past the window of the last event, its lateness included.
    closing = flood.closing(time.time_ns() // 1_000_000 + 2 * WINDOW_MS)
    send(producer, topic, closing)
    notes.add(closing)
    notes.write()
    assert producer.flush(120) == 0, "events were not delivered"
    sys.stdout.write(f"{notes.count} {took:.1f}\n")


if __name__ == "__main__":
    main()
