"""One, two and three workers on one broker: how they share the work, and what an event costs.

Workload W, longer, in a topic of 12 partitions. All workers of a run are ready, the partitions are
shared out, and the first 500,000 events are read, before the transaction that the others are in is
committed. Cost is the user and system time of all workers together, from then until the values of
all windows have been read.
What they take just for being there is measured before that: three on one processor stand by three
times as long for each event as one with a processor each would.
Every value is compared with DuckDB. The same with skewed keys: customers by Zipf's law, and nine in
ten events in one partition. One run of each, then the next of each: what they are compared by is
the middle of the runs that stood beside each other, as machines drift.

All workers together have one half of the processors, the broker and the reader the other. Without
that, more workers would only keep the broker's neighbours busier, and what runs beside it makes
the same work take up to 1.7 times as long (docs/decisions/0015-what-an-event-costs.md). A worker
has its processor for 0.1 s at a time, where Linux (6.12 on) grants that: three that take turns
every few milliseconds fill its caches again each time, which workers with a processor each do not.

    python -m benchmarks.workers                          # all
    python -m benchmarks.workers --workers 2 --keys hot --runs 1
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import struct
import time
import uuid
from contextlib import ExitStack
from operator import itemgetter
from typing import Any, get_args

from agent.language.load import load
from benchmarks import results
from benchmarks.agent_w import RULES, TOPIC, Values, enough
from benchmarks.broker import kafka
from benchmarks.process import Agent, agent
from benchmarks.truth import compare, windows
from benchmarks.workload import CHUNK_EVENTS, Keys, Shape, new_topic, send

SOURCE_PARTITIONS = 12
EVENTS = 2_500_000
MOST_WORKERS = 3
SHARE_SECONDS = 60.0
STANDING_SECONDS = 5.0
PROCESSORS = sorted(os.sched_getaffinity(0))
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # the system call's numbers
LONGEST_SLICE_NS = 100_000_000


def run(shape: Shape, workers: int) -> dict[str, Any]:
    """One run on a broker of its own."""
    plan = load(RULES / "w")
    expected = windows(shape, plan)
    group = f"bench-{uuid.uuid4().hex[:8]}"
    theirs, ours = _halves()
    os.sched_setaffinity(0, theirs)  # the broker will have it from here
    with kafka() as broker, ExitStack() as stack:
        new_topic(broker, TOPIC, SOURCE_PARTITIONS)
        held_back = send(shape, broker, TOPIC, True, SOURCE_PARTITIONS, readable_chunks=1)
        assert held_back is not None
        running = [stack.enter_context(agent(broker, RULES / "w", group)) for _ in range(workers)]
        for worker in running:  # before it has a second thread
            os.sched_setaffinity(worker.pid, ours)
            _lengthen_slices(worker.pid)
        for worker in running:
            worker.wait_ready()
        _wait_shared(running)
        _wait_read(running, CHUNK_EVENTS)
        events = shape.events - CHUNK_EVENTS
        values = Values(broker, f"{group}-values")
        standing = _core_percent(running)
        before = [worker.cpu_seconds() for worker in running]
        folds = sum(worker.metric("kpi_agent_fold_seconds_count") for worker in running)
        read = [int(worker.metric("kpi_agent_records_total")) for worker in running]
        began = time.monotonic()
        held_back.commit_transaction(60)
        try:
            seconds = values.read(enough(plan, expected)) - began
        finally:
            values.close()
        cpu = [worker.cpu_seconds() - start for worker, start in zip(running, before, strict=True)]
        time.sleep(1.5)  # for the flush that counts the last records
        records = [
            int(worker.metric("kpi_agent_records_total")) - start
            for worker, start in zip(running, read, strict=True)
        ]
        folds = sum(worker.metric("kpi_agent_fold_seconds_count") for worker in running) - folds
        busiest = max(range(workers), key=cpu.__getitem__)
        verdict = compare(plan, expected, map(json.loads, values.records))
        return {
            "workers": workers,
            "keys": shape.keys,
            "seconds": round(seconds, 3),
            "events_per_second": round(events / seconds),
            "cpu_us_per_event": round(sum(cpu) / events * 1e6, 3),
            "cpu_us_per_event_of_busiest": round(cpu[busiest] / records[busiest] * 1e6, 3),
            "core_percent_standing_by": standing,
            "events_per_fold": round(events / folds),
            "cpu_seconds_by_worker": [round(worker, 2) for worker in cpu],
            "records_by_worker": records,
            "source_partitions_by_worker": [_source_partitions(worker) for worker in running],
            "state_partitions_by_worker": [_state_partitions(worker) for worker in running],
            "peak_mb_by_worker": [round(worker.peak_bytes() / 1e6) for worker in running],
            "windows": verdict.windows,
            "exact": verdict.exact,
            "wrong": list(verdict.wrong[:5]),
        }


def _halves() -> tuple[set[int], set[int]]:
    half = PROCESSORS[: max(1, len(PROCESSORS) // 2)]
    return set(half), set(PROCESSORS) - set(half) or set(half)


def _lengthen_slices(pid: int) -> None:
    """Ask for the longest time slices that Linux gives, for a process and the threads it starts:
    sched_setattr(2) with the struct sched_attr, whose `sched_runtime` (ns) is the slice."""
    number = SCHED_SETATTR.get(os.uname().machine)
    attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, 0, 0, LONGEST_SLICE_NS, 0, 0)
    if number is None or ctypes.CDLL(None).syscall(number, pid, attributes, 0):
        print("time slices are as they are: workers that share a processor cost more than they do "
              "with one each")  # fmt: skip


def _wait_shared(running: list[Agent]) -> None:
    """Until every source partition is held by one worker, and each holds as many as any other."""
    deadline = time.monotonic() + SHARE_SECONDS
    while time.monotonic() < deadline:
        held = [_source_partitions(worker) for worker in running]
        state = [_state_partitions(worker) for worker in running]
        if sum(held) == SOURCE_PARTITIONS and max(held) - min(held) <= 1 and all(state):
            return
        time.sleep(0.2)
    raise SystemExit(f"the partitions were not shared out: {held}, {state}")


def _wait_read(running: list[Agent], events: int) -> None:
    """Until the workers have read so many events, and their imports, caches and heaps are warm."""
    deadline = time.monotonic() + SHARE_SECONDS
    while (read := sum(worker.metric("kpi_agent_records_total") for worker in running)) < events:
        if time.monotonic() > deadline:
            raise SystemExit(f"{read} of {events} events were read")
        time.sleep(0.2)
    time.sleep(2.0)  # for what they close


def _core_percent(running: list[Agent]) -> float:
    """What all workers together take of a core while nothing comes."""
    before = sum(worker.cpu_seconds() for worker in running)
    time.sleep(STANDING_SECONDS)
    return round(
        (sum(worker.cpu_seconds() for worker in running) - before) / STANDING_SECONDS * 100, 1
    )


def _source_partitions(worker: Agent) -> int:
    return worker.get("/metrics").count(b"\nkpi_agent_lag_records{")


def _state_partitions(worker: Agent) -> int:
    counts = re.findall(r"restored (\d+) state partitions", worker.log())
    return int(counts[-1]) if counts else 0


def main() -> None:
    """Measure, and keep the results."""
    parser = results.arguments(__doc__)
    parser.add_argument("--workers", action="append", type=int, choices=range(1, MOST_WORKERS + 1))
    parser.add_argument("--keys", action="append", choices=get_args(Keys))
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    # What skewed keys cost shows best where nothing else changes.
    wanted = [(workers, "uniform") for workers in range(1, MOST_WORKERS + 1)]
    wanted += [(MOST_WORKERS, keys) for keys in get_args(Keys) if keys != "uniform"]
    wanted = [
        (workers, keys)
        for workers, keys in wanted
        if workers in (options.workers or [workers]) and keys in (options.keys or [keys])
    ]
    by_case: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.runs):
        for workers, keys in wanted:
            result = run(Shape(events=options.events, keys=keys), workers)
            print(result, flush=True)
            if not result["exact"]:
                raise SystemExit(f"not exact: {result['wrong']}")
            by_case.setdefault(f"workers-{workers}-{keys}", []).append(result)
    if options.events == EVENTS:
        for name, runs in by_case.items():
            median = results.median(runs, itemgetter("cpu_us_per_event"))
            results.save(name, {"events": options.events, "median": median, "runs": runs})


if __name__ == "__main__":
    main()
