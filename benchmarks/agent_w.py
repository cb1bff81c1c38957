"""Workload W through the whole product, as a user runs it.

The agent runs and is ready; the events lie in the topic in an open transaction. Committing it makes
them all readable at one moment. Measured: from that moment until the values of all windows have
been read from the values topic, by another process than the agent. `--cold` starts the agent on
the full topic instead, and measures from the moment it was given its partitions. Every value is
then compared with DuckDB.

    python -m benchmarks.agent_w      # 3 groupings and 20 KPIs in turns; median of 3 runs each
    python -m benchmarks.agent_w --rules w --events 50000 --runs 1
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from agent.core.model.plan import Plan
from agent.language.load import load
from benchmarks import results
from benchmarks.broker import kafka
from benchmarks.process import Agent, agent
from benchmarks.truth import Value, Verdict, Window, compare, windows
from benchmarks.workload import Shape, new_topic, send

RULES = Path(__file__).resolve().parent / "rules"
TOPIC = "bench-w"
TIMEOUT_SECONDS = 900.0
TAKEN_ON = "assigned: [1-9][0-9]* source partitions"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `cpu_seconds` is what the agent used from the first event to the last window."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    verdict: Verdict

    def report(self, events: int) -> dict[str, Any]:
        """As kept in the results."""
        return {
            "seconds": round(self.seconds, 3),
            "events_per_second": round(events / self.seconds),
            "cpu_us_per_event": round(self.cpu_seconds / events * 1e6, 3),
            "peak_mb": round(self.peak_bytes / 1e6),
            "windows": self.verdict.windows,
            "exact": self.verdict.exact,
            "wrong": list(self.verdict.wrong[:5]),
        }


@dataclass(frozen=True, slots=True)
class Case:
    """Rules to measure, and what they must give."""

    name: str
    plan: Plan
    expected: dict[Window, Value]


class Values:
    """Reads the values topic from its start, in the measuring process."""

    def __init__(self, broker: str, topic: str) -> None:
        self.records: list[bytes] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "log_level": 2,
                "group.id": f"reader-{uuid.uuid4()}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "topic.metadata.refresh.interval.ms": 500,
                "fetch.wait.max.ms": 20,
            }
        )
        self._consumer.subscribe([topic])

    def read(self, enough: int) -> float:
        """Read until there are so many distinct keys; the moment the last one came."""
        seen: set[bytes] = set()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while len(seen) < enough:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(seen)} of {enough} windows after {TIMEOUT_SECONDS:.0f} s")
            for message in self._consumer.consume(10_000, 0.05):
                key, value = message.key(), message.value()
                if message.error() is None and key is not None and value is not None:
                    self.records.append(value)
                    seen.add(key)
        return time.monotonic()

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


def run(broker: str, case: Case, held_back: Producer | None, profile: Path | None = None) -> Run:
    """One run over a topic that is filled. `held_back`: the open transaction that the events are
    in, committed when the agent is ready; None: they are readable, and the agent starts cold."""
    group = f"bench-{uuid.uuid4().hex[:8]}"
    with agent(broker, RULES / case.name, group) as running:
        if held_back is not None:
            running.wait_ready()
            values = Values(broker, f"{group}-values")
            cpu = running.cpu_seconds()
            started = time.monotonic()
            held_back.commit_transaction(60)
        else:
            cpu = 0.0
            started = _taken_on(running)
            values = Values(broker, f"{group}-values")
        try:
            with running.profiled(profile):
                ended = values.read(enough(case.plan, case.expected))
        except TimeoutError as error:
            raise SystemExit(f"{error}\n{running.log()[-3000:]}") from error
        finally:
            values.close()
        cpu = running.cpu_seconds() - cpu
        peak = running.peak_bytes()
    published = [json.loads(value) for value in values.records]
    return Run(ended - started, cpu, peak, compare(case.plan, case.expected, published))


def _taken_on(running: Agent) -> float:
    while (moment := running.first(TAKEN_ON)) is None:
        if time.monotonic() - running.started > 60:
            raise SystemExit("the agent was given no partitions:\n" + running.log())
        time.sleep(0.005)
    return moment


def enough(plan: Plan, expected: dict[Window, Value]) -> int:
    """How many windows are published: from its first event on a series has every window."""
    last = max(start for _, _, start in expected)
    first: dict[tuple[str, tuple[str | None, ...]], int] = {}
    for kpi, dimensions, start in expected:
        known = first.get((kpi, dimensions))
        first[kpi, dimensions] = start if known is None else min(known, start)
    return sum((last - start) // 60_000 + 1 for start in first.values())


def measure(
    shape: Shape, names: Sequence[str], runs: int, cold: bool = False, profile: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Several runs of each rule set, each on a broker and with a process of its own; the median by
    speed. Rule sets take turns, so that a machine that drifts makes no difference between them."""
    plans = {name: load(RULES / name) for name in names}
    cases = [Case(name, plan, windows(shape, plan)) for name, plan in plans.items()]
    by_case: dict[str, list[Run]] = {name: [] for name in names}
    for number, case in product(range(runs), cases):
        with kafka() as broker:
            new_topic(broker, TOPIC)
            held_back = send(shape, broker, TOPIC, held_back=not cold)
            result = run(broker, case, held_back, profile)
        by_case[case.name].append(result)
        print(
            f"{case.name} run {number + 1}{' cold' if cold else ''}: {result.report(shape.events)}",
            flush=True,
        )
    return {name: _report(shape.events, of) for name, of in by_case.items()}


def _report(events: int, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "events": events,
        "median": results.median(runs, attrgetter("seconds")).report(events),
        "runs": [result.report(events) for result in runs],
    }


def main() -> None:
    """Measure, and keep the results."""
    parser = results.arguments(__doc__)
    parser.add_argument("--rules", action="append", choices=["w", "w20"])
    parser.add_argument("--events", type=int, default=Shape().events)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="of py-spy, in PATH")
    options = parser.parse_args()
    shape = Shape(events=options.events)
    names = options.rules or ["w", "w20"]
    measured = measure(shape, names, options.runs, options.cold, options.profile)
    for name, report in measured.items():
        if not report["median"]["exact"]:
            raise SystemExit(f"{name}: not exact: {report['median']['wrong']}")
        if options.events == Shape().events and not options.profile:
            results.save(f"agent-{name}{'-cold' if options.cold else ''}", report)


if __name__ == "__main__":
    main()
