"""A steady flow of events as they happen, from a process of its own.

    python -m benchmarks.steady BROKER EVENTS_PER_SECOND SECONDS [CUSTOMERS]

Ten times a second it sends a probe with a rising number to each partition in turn, and writes to
stdout, when the broker has acknowledged it: number and wall clock of its sending (s).
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import Producer

from benchmarks.workload import PARTITIONS, Shape, chunk

TOPIC = "bench-live"
TICKS_A_SECOND = 50
PROBE_EVERY_TICKS = 5


def main() -> None:
    """Send until the time is over."""
    broker, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    customers = int(sys.argv[4]) if len(sys.argv) > 4 else 50_000
    table = chunk(Shape(customers=customers), 0, 200_000)
    # Everything but the time is made beforehand.
    events = [
        (text[: text.index('"at":') + 5], text[text.index('"at":') + 18 :], customer)
        for text, customer in table.iter_rows()
    ]
    producer = Producer(
        {
            "bootstrap.servers": broker, "compression.type": "lz4", "linger.ms": 5,
            "batch.size": 500_000, "queue.buffering.max.messages": 500_000, "log_level": 2,
        }
    )  # fmt: skip
    sent, ticks, probes, began = 0, 0, 0, time.time()
    while (now := time.time()) - began < seconds:
        due = int((now - began) * rate)
        at = str(int(now * 1000))
        while sent < due:
            head, tail, customer = events[sent % len(events)]
            producer.produce(TOPIC, head + at + tail, customer)
            sent += 1
        if ticks // PROBE_EVERY_TICKS > probes:
            probes = ticks // PROBE_EVERY_TICKS
            _probe(producer, probes, at)
        ticks = max(ticks + 1, int((now - began) * TICKS_A_SECOND))
        due_at = began + ticks / TICKS_A_SECOND
        while (wait := due_at - time.time()) > 0:
            producer.poll(wait)
    producer.flush()
    print(f"sent {sent} {time.time() - began:.1f}", flush=True)


def _probe(producer: Producer, number: int, at: str) -> None:
    def acknowledged(error: object, _message: object) -> None:
        if error is None:
            print(f"probe {number} {time.time():.4f}", flush=True)

    producer.produce(
        TOPIC, f'{{"type":"probe","at":{at},"number":{number}}}', b"", number % PARTITIONS,
        on_delivery=acknowledged,
    )  # fmt: skip


if __name__ == "__main__":
    main()
