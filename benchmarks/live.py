"""The agent while it runs: how fresh `/metrics` is, what many series cost, what idling costs, how
soon it is ready, what a frame costs, what a backfill takes from the live flow.

    python -m benchmarks.live                     # all six
    python -m benchmarks.live --only freshness --rate 5000 --seconds 20
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from confluent_kafka import Producer

from agent.kafka.flush_pace import IDLE_INTERVALS
from agent.settings import Settings
from benchmarks import results
from benchmarks.broker import ROOT, kafka
from benchmarks.process import Agent, agent
from benchmarks.steady import TOPIC
from benchmarks.workload import PARTITIONS, Shape, chunk, new_topic, produce

RULES = Path(__file__).resolve().parent / "rules"
WARM_SECONDS = 5.0
POLL_SECONDS = 0.05
WAIT_SECONDS = 120.0
MANY_PARTITIONS = 32
LAG = re.compile(rb"^kpi_agent_lag_records\{[^}]*\} (\S+)", re.MULTILINE)
STATE_PARTITIONS = 8  # the setting's default
PROBE = re.compile(rb"^kpi_newest_probe_current(?:\{[^}]*\})? (\S+)", re.MULTILINE)


class Flow:
    """A running `benchmarks.steady`. `probes` are (number, wall clock of its acknowledgement)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.probes: dict[int, float] = {}
        self.sent = 0
        self.seconds = 0.0
        self._process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, first, second = line.split()
            if word == "probe":
                self.probes[int(first)] = float(second)
            else:
                self.sent, self.seconds = int(first), float(second)

    @property
    def running(self) -> bool:
        """Whether events still come."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Until it has ended, and all it said is read."""
        self._process.wait()
        self._reader.join(5)


@contextmanager
def flow(broker: str, rate: int, seconds: float, customers: int = 50_000) -> Iterator[Flow]:
    """A steady flow while the block runs."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.steady",
        broker,
        str(rate),
        str(seconds),
        str(customers),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Flow(process)
        finally:
            process.terminate()


def freshness(rate: int, seconds: float) -> dict[str, Any]:
    """From a record's acknowledgement by the broker until `/metrics` shows it."""
    with kafka() as broker:
        new_topic(broker, TOPIC)
        with agent(broker, RULES / "live", "bench-live") as running:
            running.wait_ready()
            with flow(broker, rate, seconds + WARM_SECONDS) as events:
                watched = _watch(running, lambda _: not events.running)
                events.wait()
            peak = running.peak_bytes()
    ages = _ages(events.probes, watched.seen)
    return {
        "events_per_second": round(events.sent / events.seconds),
        "probes": len(ages),
        **_percentiles(ages),
        "worst_seconds": round(max(ages), 3),
        "peak_mb": round(peak / 1e6),
    }


def backfill(rate: int, seconds: float, events: int) -> dict[str, Any]:
    """How fresh `/metrics` is, and how far the ingest lags, before and while a KPI's past is read
    beside the live flow."""
    with kafka() as broker, TemporaryDirectory() as folder:
        rules = Path(shutil.copytree(RULES / "live", Path(folder) / "rules"))
        new_topic(broker, TOPIC)
        _past(broker, events)
        with agent(broker, rules, "bench-backfill") as running:
            running.wait_ready()
            _wait(lambda: running.metric("kpi_agent_records_total") == events)
            with flow(broker, rate, WAIT_SECONDS + seconds) as flowing:
                _wait(lambda: PROBE.search(running.get("/metrics")))
                before = _watch(running, lambda at: at > WARM_SECONDS + seconds)
                (rules / "past.yaml").write_text(BACKFILLED)
                os.kill(running.pid, signal.SIGHUP)
                _wait(lambda: running.metric("kpi_agent_backfill_records"))
                during = _watch(running, lambda _: running.metric("kpi_agent_backfill_ratio") == 1)
    latencies = {}
    for name, watched in (("before", before), ("during", during)):
        probes = {n: at for n, at in flowing.probes.items() if watched.began < at < watched.ended}
        ages = _ages(probes, watched.seen, WARM_SECONDS if watched is before else 0.0)
        latencies[name] = {
            **_percentiles(ages),
            "worst_lag_seconds": round(max(watched.lags) / rate, 3),
            "core_percent": round(watched.cpu / (watched.ended - watched.began) * 100, 1),
        }
    took = during.ended - during.began
    return {
        "events_per_second": rate,
        "past_events": events,
        "seconds": round(took, 1),
        **latencies,
    }


BACKFILLED = """\
version: 1
kpis:
  past: {from: order.completed, value: sum(amount), by: [channel], window: 60s, backfill: 2d}
"""
PAST_HOURS = 40


@dataclass
class Watched:
    """What was seen of an agent between two moments (wall clock, s)."""

    began: float
    ended: float = 0.0
    cpu: float = 0.0
    seen: list[tuple[float, float]] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)


def _watch(running: Agent, done: Callable[[float], bool]) -> Watched:
    """Look until it is done, of which the seconds since the beginning may tell."""
    watched, cpu = Watched(time.time()), running.cpu_seconds()
    while not done(time.time() - watched.began):
        text = running.get("/metrics")
        match = PROBE.search(text)
        if match and match[1] != b"NaN":
            watched.seen.append((time.time(), float(match[1])))
        watched.lags.append(sum(float(lag) for lag in LAG.findall(text)))
        time.sleep(POLL_SECONDS)
    watched.ended, watched.cpu = time.time(), running.cpu_seconds() - cpu
    return watched


def _past(broker: str, events: int) -> None:
    """Events of two days, in their order, up to an hour ago."""
    settings = {"bootstrap.servers": broker, "compression.type": "lz4", "log_level": 2}
    producer = Producer({**settings, "enable.idempotence": True})
    end_ms = time.time_ns() // 1_000_000 - 3_600_000
    step = PAST_HOURS * 3_600_000 / events
    rows = chunk(Shape(), 0, 200_000).rows()
    for number in range(events):
        text, customer = rows[number % len(rows)]
        place = text.index('"at":') + 5
        at = str(int(end_ms - (events - number) * step))
        produce(producer, TOPIC, text[:place] + at + text[place + 13 :], customer)
    producer.flush()


def _ages(
    probes: dict[int, float], seen: list[tuple[float, float]], warm_seconds: float = WARM_SECONDS
) -> list[float]:
    """For each probe sent once warm and seen: how long it took."""
    ages = []
    start = min(probes.values()) + warm_seconds
    for number, sent_at in sorted(probes.items()):
        at = next((at for at, shown in seen if shown >= number and at >= sent_at), None)
        if sent_at >= start and at is not None:
            ages.append(at - sent_at)
    return ages


def _percentiles(ages: list[float]) -> dict[str, float]:
    return {
        "p50_seconds": round(statistics.median(ages), 3),
        "p99_seconds": round(sorted(ages)[int(len(ages) * 0.99)], 3),
    }


def many_series(customers: int, rate: int, seconds: float) -> dict[str, Any]:
    """A scrape of very many series, and whether the ingest goes on meanwhile."""
    with kafka() as broker:
        new_topic(broker, TOPIC)
        _one_event_each(broker, customers)
        with agent(broker, RULES / "series", "bench-series") as running:
            running.wait_ready()
            _wait(lambda: running.metric("kpi_spent_current") and _series(running) >= customers)
            alone = [_scrape(running) for _ in range(5)]
            with flow(broker, rate, seconds, customers):
                time.sleep(WARM_SECONDS)
                busy, lags = [], []
                until = time.monotonic() + seconds - WARM_SECONDS - 1
                while time.monotonic() < until:
                    busy.append(_scrape(running))
                    lags.append(running.metric("kpi_agent_lag_records"))
                    time.sleep(1)
            peak, resident = running.peak_bytes(), running.resident_bytes()
    return {
        "series": customers,
        "scrape_seconds": round(statistics.median(alone), 3),
        "scrape_while_ingesting_seconds": round(statistics.median(busy), 3),
        "scrape_worst_seconds": round(max(alone + busy), 3),
        "events_per_second": rate,
        "worst_lag_records": max(lags),
        "worst_lag_seconds": round(max(lags) / rate, 3),
        "resident_mb": round(resident / 1e6),
        "peak_mb": round(peak / 1e6),
    }


def _one_event_each(broker: str, customers: int) -> None:
    producer = Producer({"bootstrap.servers": broker, "compression.type": "lz4", "log_level": 2,
                         "queue.buffering.max.messages": 1_000_000})  # fmt: skip
    for number in range(customers):
        customer = f"c{number:05d}"
        producer.produce(
            TOPIC,
            f'{{"type":"order.completed","at":{time.time_ns() // 1_000_000},'
            f'"customer":"{customer}","amount":1.5}}',
            customer,
        )
    producer.flush()


def _series(running: Agent) -> int:
    return running.get("/metrics").count(b"\nkpi_spent_current{")


def _scrape(running: Agent) -> float:
    began = time.monotonic()
    running.get("/metrics")
    return time.monotonic() - began


def _wait(done: Any) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit("what was waited for did not come")
        time.sleep(1)


def idle(seconds: float, partitions: int = PARTITIONS) -> dict[str, Any]:
    """The share of a core and the memory of an agent to which no events come."""
    with kafka() as broker:
        new_topic(broker, TOPIC, partitions)
        with agent(broker, RULES / "live", "bench-idle") as running:
            running.wait_ready()
            time.sleep(WARM_SECONDS)
            began, cpu = time.monotonic(), running.cpu_seconds()
            time.sleep(seconds)
            share = (running.cpu_seconds() - cpu) / (time.monotonic() - began)
            return {
                "core_percent": round(share * 100, 2),
                "resident_mb": round(running.resident_bytes() / 1e6),
                "peak_mb": round(running.peak_bytes() / 1e6),
            }


def frames(seconds: float) -> dict[str, Any]:
    """What a frame costs the whole agent, from fold to acknowledgement: two idle agents, of which
    one has more source partitions and so sends more frames, with nothing in them."""
    few, many = idle(seconds), idle(seconds, MANY_PARTITIONS)
    each = STATE_PARTITIONS / (IDLE_INTERVALS * Settings().flush_interval)
    more = (MANY_PARTITIONS - PARTITIONS) * each
    percent = many["core_percent"] - few["core_percent"]
    return {
        "frames_per_second": MANY_PARTITIONS * each,
        "core_percent": many["core_percent"],
        "us_per_frame": round(percent / 100 / more * 1e6, 1),
    }


def startup(series: int, runs: int = 3) -> dict[str, Any]:
    """From the start of the process until `/-/ready`, with open series to take on."""
    starts = []
    with kafka() as broker:
        new_topic(broker, TOPIC)
        _one_event_each(broker, series)
        with agent(broker, RULES / "series", "bench-start") as running:
            running.wait_ready()
            _wait(lambda: _series(running) >= series)
        for _ in range(runs):
            with agent(broker, RULES / "series", "bench-start") as running:
                ready = running.wait_ready()
                _wait(lambda: _series(running) >= series)
                starts.append((ready, time.monotonic() - running.started))
    return {
        "series": series,
        "ready_seconds": round(statistics.median(ready for ready, _ in starts), 2),
        "shown_seconds": round(statistics.median(shown for _, shown in starts), 2),
    }


def main() -> None:
    """Measure, and keep the results."""
    parser = results.arguments(__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=["freshness", "series", "idle", "startup", "frames", "backfill"],
    )
    parser.add_argument("--rate", type=int, default=50_000, help="events/s of the freshness run")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--series", type=int, default=100_000)
    options = parser.parse_args()
    runs = {
        "freshness": lambda: freshness(options.rate, options.seconds),
        "series": lambda: many_series(options.series, 20_000, options.seconds),
        "idle": lambda: idle(options.seconds),
        "startup": lambda: startup(1_000),
        "frames": lambda: frames(options.seconds / 2),
        "backfill": lambda: backfill(20_000, options.seconds / 3, 3_000_000),
    }
    for name in options.only or runs:
        measured = runs[name]()
        print(f"{name}: {measured}", flush=True)
        if (options.rate, options.seconds, options.series) == (50_000, 60.0, 100_000):
            results.save(name, measured)


if __name__ == "__main__":
    main()
