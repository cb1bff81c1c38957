"""Workload W on the peers, each in a process of its own, cold, on a fresh broker, and checked.

    python -m benchmarks.peers.run                          # all
    python -m benchmarks.peers.run --peer flink-sql --runs 1

Measured: from the first event read until every event is aggregated and what the peer says of it is
written. Faust runs in this environment, Quix Streams in a virtual environment made here, Kafka
Streams and Flink SQL through Maven and Java 17, all under `.cache/bench`.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks import results
from benchmarks.broker import kafka
from benchmarks.truth import events as events_of
from benchmarks.workload import CACHE, PARTITIONS, Shape, new_topic, send

HERE = Path(__file__).resolve().parent
TOPIC, TARGET = "bench-w", "peer-totals"
QUIX = "quixstreams==3.28.1"
TIMEOUT_SECONDS = 1800
OPENS = ("java.base/java.lang", "java.base/java.util", "java.base/java.time", "java.base/java.net")

Total = tuple[int, float, float, float]
Totals = dict[tuple[str, int], Total]


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer: how many events it is given, and how it is run (broker, events, folder) → totals."""

    title: str
    events: int
    start: Callable[[str, int, Path], tuple[float, Totals]]


def truth(shape: Shape) -> Totals:
    """Count, sum, least and greatest of every window, by DuckDB."""
    base = events_of(shape)
    totals: Totals = {}
    for kind, value, series in (
        ("order.completed", "amount", "region || '|' || channel"),
        ("ticket.answered", "response_seconds", "region"),
        ("feedback.submitted", "score", "employee"),
    ):
        rows = base.execute(
            f"SELECT '{kind}|' || {series}, start, count(*), sum({value})::DOUBLE, "
            f"min({value})::DOUBLE, max({value})::DOUBLE "
            f"FROM events WHERE type = '{kind}' GROUP BY ALL"
        ).fetchall()
        totals |= {
            (name, start): (n, total, low, high) for name, start, n, total, low, high in rows
        }
    return totals


def wrong(totals: Totals, expected: Totals) -> list[str]:
    """The windows that are not as they should be."""
    out = []
    for window, total in expected.items():
        have = totals.get(window)
        if have is None or not all(
            math.isclose(a, b, rel_tol=1e-9) for a, b in zip(have, total, strict=True)
        ):
            out.append(f"{window}: {have}, in truth {total}")
    return out


# --- the peers -------------------------------------------------------------------------------


def run_python(
    interpreter: str, script: str, broker: str, events: int, folder: Path
) -> tuple[float, Totals]:
    """A peer in Python: it writes its totals to a file."""
    file = folder / "totals.json"
    environment = os.environ | {
        "W_BROKER": broker, "W_TOPIC": TOPIC, "W_EVENTS": str(events), "W_TOTALS": str(file),
    }  # fmt: skip
    shown = _run([interpreter, str(HERE / script)], environment, folder)
    rows = json.loads(file.read_text())
    return shown["seconds"], {(name, int(start)): tuple(rest) for name, start, *rest in rows}


def run_faust(broker: str, events: int, folder: Path) -> tuple[float, Totals]:
    """Plain Faust, in this environment."""
    return run_python(sys.executable, "faust_table.py", broker, events, folder)


def run_quix(broker: str, events: int, folder: Path) -> tuple[float, Totals]:
    """Quix Streams, in a virtual environment of its own."""
    subject = CACHE / QUIX
    python = subject / "bin" / "python"
    if not python.exists():
        venv.create(subject, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", QUIX], check=True)
    return run_python(str(python), "quix_streams.py", broker, events, folder)


def run_streams(broker: str, events: int, folder: Path) -> tuple[float, Totals]:
    """Kafka Streams."""
    new_topic(broker, TARGET)
    command = [*java("kafka-streams"), f"-Dstate.dir={folder}", "StreamsW", broker, TOPIC, TARGET,
               "peer-streams", str(events)]  # fmt: skip
    shown = _run(command, dict(os.environ), folder)
    totals: Totals = {}
    for key, value in _read(broker):
        name, _, start = key.rpartition("|")
        count, total, low, high = value.split("|")
        totals[name, int(start)] = (int(count), float(total), float(low), float(high))
    return shown["seconds"], totals


def run_flink(broker: str, events: int, folder: Path) -> tuple[float, Totals]:
    """Flink SQL."""
    new_topic(broker, TARGET)
    shown = _run([*java("flink-sql"), "FlinkW", broker, TOPIC, TARGET], dict(os.environ), folder)
    totals: Totals = {}
    for _, value in _read(broker):
        row = json.loads(value)
        totals[f"{row['kind']}|{row['series']}", row["start_ms"]] = (
            row["n"], row["total"], row["low"], row["high"],
        )  # fmt: skip
    return shown["seconds"], totals


def java(name: str) -> list[str]:
    """The command for a Java peer, built by Maven unless it is built already."""
    target = CACHE / name
    project = HERE / name
    sources = [p for p in project.rglob("*") if p.is_file() and "target" not in p.parts]
    built = target / "built"
    if not built.exists() or built.stat().st_mtime < max(p.stat().st_mtime for p in sources):
        maven = ["mvn", "--batch-mode", "--quiet", f"-Dbench.target={target}", "package",
                 "dependency:copy-dependencies", "-DincludeScope=runtime",
                 f"-DoutputDirectory={target}/libs"]  # fmt: skip
        subprocess.run(maven, cwd=project, check=True)
        built.touch()
    opens = [f"--add-opens={package}=ALL-UNNAMED" for package in OPENS]
    return ["java", "-Xmx2g", *opens, "-cp", f"{target}/classes:{target}/libs/*"]


def _run(command: list[str], environment: dict[str, str], folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True,
        timeout=TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise RuntimeError(
            f"{command[-5:]} failed ({done.returncode}):\n"
            f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    shown: dict[str, Any] = json.loads(lines[-1])
    return shown


def _read(broker: str) -> list[tuple[str, str]]:
    """Keys and values of the target topic, in order."""
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "reader", "enable.partition.eof": False}
    )
    ends = {
        p: consumer.get_watermark_offsets(TopicPartition(TARGET, p), 10)[1]
        for p in range(PARTITIONS)
    }
    consumer.assign([TopicPartition(TARGET, p, 0) for p in ends])
    messages: list[tuple[str, str]] = []
    while len(messages) < sum(ends.values()):
        for message in consumer.consume(10_000, 1.0):
            key, value = message.key(), message.value()
            messages.append((key.decode() if key else "", value.decode() if value else ""))
    consumer.close()
    return messages


PEERS = {
    "faust": Peer("Plain Faust, windowed table", 100_000, run_faust),
    "quix-streams": Peer("Quix Streams, group_by and tumbling window", 200_000, run_quix),
    "kafka-streams": Peer("Kafka Streams, at least once, 2 threads, cold", 1_000_000, run_streams),
    "flink-sql": Peer("Flink SQL, mini-batch, two-phase, 2 slots, cold", 1_000_000, run_flink),
}


def measure(name: str, runs: int, events: int | None) -> dict[str, Any]:
    """Several runs of one peer, and the median."""
    peer = PEERS[name]
    shape = Shape(events=events or peer.events)
    expected = truth(shape)
    runs_of: list[dict[str, Any]] = []
    for number in range(runs):
        with kafka() as broker, tempfile.TemporaryDirectory(prefix="bench-peer-") as folder:
            new_topic(broker, TOPIC)
            send(shape, broker, TOPIC)
            seconds, totals = peer.start(broker, shape.events + PARTITIONS, Path(folder))
        bad = wrong(totals, expected)
        runs_of.append(
            {
                "seconds": round(seconds, 3),
                "events_per_second": round(shape.events / seconds),
                "windows": len(expected),
                "exact": not bad,
                "wrong": bad[:5],
            }
        )
        print(f"{name} run {number + 1}: {runs_of[-1]}", flush=True)
    return {
        "title": peer.title,
        "events": shape.events,
        "median": results.median(runs_of, itemgetter("seconds")),
        "runs": runs_of,
    }


def main() -> None:
    """Measure, and keep the results."""
    parser = results.arguments(__doc__)
    parser.add_argument("--peer", action="append", choices=PEERS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--events", type=int)
    options = parser.parse_args()
    for name in options.peer or PEERS:
        measured = measure(name, options.runs, options.events)
        if options.events is None:
            results.save(f"peer-{name}", measured)


if __name__ == "__main__":
    main()
