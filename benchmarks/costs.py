"""What each part of the work costs, for docs/scaling.md: the core, in this process.

CPU time of all threads, bytes as the producer would send them (batches of 128 KiB, zstd), and
resident memory, each in a process of its own.

    python -m benchmarks.costs
    python -m benchmarks.costs --events 100000        # for a first look
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cramjam
import numpy as np

from agent.core.decode.batch import Batch
from agent.core.fold.folder import Folder
from agent.core.frame import decode
from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.output import messages as encode
from agent.core.pipeline import Pipeline
from agent.kafka.client import PRODUCER_BATCH_BYTES
from agent.language.load import load
from agent.service.supervisor import GC_THRESHOLDS
from benchmarks import results
from benchmarks.broker import ROOT
from benchmarks.scale import STEP_MS, batches
from benchmarks.workload import FIRST_MS, PARTITIONS, WINDOW_MS, Shape

RULES = Path(__file__).resolve().parent / "rules"
TOPIC = "bench-w"
STATE_PARTITIONS = 8
KPI_COUNTS = (1, 5, 10, 20)
EMPTY_FLUSHES = 200
EMPLOYEES = 10_000
MEMORY_SERIES = 100_000
MEMORY_IDS = 1_000_000
ZSTD_LEVEL = 3  # what aiokafka compresses with
HOUR_MS = 3_600_000


class Clock:
    """CPU seconds of all threads of this process, summed over blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the block."""
        began = time.process_time()
        yield
        self.seconds += time.process_time() - began

    def us(self, each: float) -> float:
        """Microseconds for each of so many."""
        return round(self.seconds / each * 1e6, 3)


def sent_bytes(records: Iterable[bytes]) -> int:
    """What records take on the wire and on the broker's disk, without Kafka's few bytes each."""
    total, batch = 0, bytearray()
    for record in records:
        if batch and len(batch) + len(record) > PRODUCER_BATCH_BYTES:
            total += len(cramjam.zstd.compress(bytes(batch), level=ZSTD_LEVEL))
            batch.clear()
        batch += record
    return total + (len(cramjam.zstd.compress(bytes(batch), level=ZSTD_LEVEL)) if batch else 0)


def events_by_kpis(events: int) -> dict[str, float]:
    """CPU microseconds an event of decoding and folding, by the number of KPIs."""
    plan = load(RULES / "w20")
    shape = Shape(events=events, step_ms=STEP_MS)
    costs = {}
    for number in KPI_COUNTS:
        folder = _folder(replace(plan, kpis=dict(list(plan.kpis.items())[:number])))
        clock, seen = Clock(), 0
        for place, batch in enumerate(batches(shape)):
            if place == 0:  # polars' thread pool, caches
                folder.add(batch)
                continue
            with clock.running():
                folder.add(batch)
            seen += len(batch.values)
        costs[str(number)] = clock.us(seen)
    return costs


def empty_frames() -> dict[str, float]:
    """A flush in which nothing came: what its frames cost in both stages, and their bytes."""
    plan = load(RULES / "w")
    folder, mergers = _folder(plan), _mergers(plan)
    folder.add(next(batches(Shape(events=50_000))))
    position = _apply(mergers, folder.flush(FIRST_MS, {}, PARTITIONS), 0)
    making, merging, frames, size = Clock(), Clock(), 0, 0
    for number in range(EMPTY_FLUSHES):
        with making.running():
            messages = folder.flush(FIRST_MS + number, {}, PARTITIONS)
        with merging.running():
            position = _apply(mergers, messages, position)
        frames += len(messages)
        size += sum(len(message) for _, message in messages)
    return {
        "make_us": making.us(frames), "merge_us": merging.us(frames),
        "bytes": round(size / frames, 1),
    }  # fmt: skip


def rows_and_windows() -> dict[str, float]:
    """What a row of a frame costs, and a window that closes: 30,000 series at once, three times."""
    plan = load(RULES / "scale")
    folder, mergers = _folder(plan), _mergers(plan)
    shape = Shape(events=3 * 400_000, employees=EMPLOYEES, step_ms=WINDOW_MS / 400_000)
    making, merging, closing, storing, telling = Clock(), Clock(), Clock(), Clock(), Clock()
    rows = windows = stored = 0
    frames: list[bytes] = []
    states: list[bytes] = []
    values: list[bytes] = []
    position = seen = 0
    for batch in batches(shape):
        folder.add(batch)
        seen += len(batch.values)
        if seen % 400_000:
            continue
        with making.running():
            messages = folder.flush(FIRST_MS, {}, PARTITIONS)
        frames += [message for _, message in messages]
        rows += sum(len(b.keys) for _, m in messages for b in decode(m).blocks)
        with merging.running():
            position = _apply(mergers, messages, position)
        # One more event a partition, a lateness after the window's end.
        folder.add(_events(plan, [seen // 400_000 * WINDOW_MS + 7_000 + FIRST_MS] * PARTITIONS))
        messages = folder.flush(FIRST_MS, {}, PARTITIONS)
        published = []
        with closing.running():
            for target, message in messages:
                published.append(mergers[target].apply(message, position))
                position += 1
        closed = [window for emitted in published for window in emitted.windows]
        windows += len(closed)
        with storing.running():
            changed = [row for merger in mergers for row in merger.drain_rows()]
        states += [key + (value or b"") for key, value in changed]
        stored += len(changed)
        with telling.running():
            for window in closed:
                kpi = plan.kpis[window.kpi]
                values.append(
                    encode.window_key(kpi, window) + encode.dumps(encode.window_json(kpi, window))
                )
    return {
        "make_row_us": making.us(rows),
        "merge_row_us": merging.us(rows),
        "frame_row_bytes": round(sum(map(len, frames)) / rows, 1),
        "frame_row_sent_bytes": round(sent_bytes(frames) / rows, 1),
        "close_window_us": closing.us(windows),
        "state_row_us": storing.us(stored),
        "state_row_bytes": round(sum(map(len, states)) / stored, 1),
        "state_row_sent_bytes": round(sent_bytes(states) / stored, 1),
        "value_us": telling.us(windows),
        "value_bytes": round(sum(map(len, values)) / windows, 1),
        "value_sent_bytes": round(sent_bytes(values) / windows, 1),
    }


def _folder(plan: Plan) -> Folder:
    folder = Folder(plan, TOPIC, STATE_PARTITIONS)
    for partition in range(PARTITIONS):
        folder.assign(partition, None)
    return folder


def _mergers(plan: Plan) -> list[Merger]:
    return [Merger(plan, p, STATE_PARTITIONS) for p in range(STATE_PARTITIONS)]


def _apply(mergers: Sequence[Merger], messages: Sequence[tuple[int, bytes]], position: int) -> int:
    for target, message in messages:
        mergers[target].apply(message, position)
        position += 1
    return position


_OFFSETS = iter(range(100_000_000, 1 << 40))


def _events(plan: Plan, times: Sequence[int]) -> Batch:
    """Scores of one employee at these times, round the partitions."""
    topic = plan.topics[0]
    values = [
        f'{{"type":"feedback.submitted","at":{at},"employee":"m00000","score":3}}'.encode()
        for at in times
    ]
    return _batch(topic, values)


def _batch(topic: str, values: Sequence[bytes]) -> Batch:
    count = len(values)
    places = np.sort(np.arange(count) % PARTITIONS).astype(np.int32)
    offsets = np.fromiter((next(_OFFSETS) for _ in range(count)), np.int64, count)
    return Batch(topic, list(values), places, offsets, np.full(count, FIRST_MS + HOUR_MS, np.int64))


# ---- memory, each in a process of its own


def _purchases(numbers: Iterable[int], at_ms: int) -> list[bytes]:
    return [
        f'{{"type":"order.completed","id":"e{n:010d}","at":{at_ms},"customer":"c{n:06d}",'
        f'"amount":1.5}}'.encode()
        for n in numbers
    ]


def _resident_bytes() -> int:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return next(int(x.split()[1]) * 1024 for x in status.splitlines() if x.startswith("VmRSS"))


def _fed(pipeline: Pipeline, numbers: Sequence[int], at_ms: int) -> None:
    for start in range(0, len(numbers), 20_000):
        some = numbers[start : start + 20_000]
        pipeline.add(_batch(pipeline.plan.topics[0], _purchases(some, at_ms)))
    pipeline.flush()


def memory_of_series() -> dict[str, float]:
    """A series of a sum over a day, one slice open; and one more slice of it."""
    plan = load(RULES / "costs")
    pipeline = Pipeline(plan, {plan.topics[0]: PARTITIONS}, STATE_PARTITIONS)
    _fed(pipeline, range(2_000), FIRST_MS)
    everybody = range(MEMORY_SERIES)
    start = _resident_bytes()
    _fed(pipeline, everybody, FIRST_MS)
    filled = _resident_bytes()
    for number in (1, 2):
        _fed(pipeline, everybody, FIRST_MS + number * 300_000)
    three = _resident_bytes()
    return {
        "series_bytes": round((filled - start) / (MEMORY_SERIES - 2_000)),
        "open_slice_bytes": round((three - filled) / 2 / MEMORY_SERIES),
    }


def memory_of_ids() -> dict[str, float]:
    """An id that is remembered: 11 characters each."""
    plan = load(RULES / "costs")
    contract = next(iter(plan.contracts.values()))
    plan = replace(plan, contracts={contract.name: replace(contract, ids=(("id",),))})
    pipeline = Pipeline(plan, {plan.topics[0]: PARTITIONS}, STATE_PARTITIONS)

    def same_customers(numbers: Sequence[int]) -> None:
        values = [
            f'{{"type":"order.completed","id":"e{n:010d}","at":{FIRST_MS},"customer":"c1",'
            f'"amount":1.5}}'.encode()
            for n in numbers
        ]
        pipeline.add(_batch(plan.topics[0], values))

    same_customers(range(20_000))
    start = _resident_bytes()
    for first in range(20_000, MEMORY_IDS, 20_000):
        same_customers(range(first, first + 20_000))
    return {"id_bytes": round((_resident_bytes() - start) / (MEMORY_IDS - 20_000))}


MEMORY: dict[str, Callable[[], dict[str, float]]] = {
    "series": memory_of_series,
    "ids": memory_of_ids,
}


def _in_its_own(name: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.costs", "--memory", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def main() -> None:
    """Measure, and keep the results."""
    parser = results.arguments(__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--memory", choices=MEMORY, help="this alone, in this process, as JSON")
    options = parser.parse_args()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)  # as `run` does
    if options.memory:
        print(json.dumps(MEMORY[options.memory]()))
        return
    measured: dict[str, Any] = {}
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "event_us_by_kpis": lambda: events_by_kpis(options.events),
        "empty_frame": empty_frames,
        "rows": rows_and_windows,
        "memory": lambda: {k: v for name in MEMORY for k, v in _in_its_own(name).items()},
    }
    for name, part in parts.items():
        measured[name] = part()
        print(f"{name}: {measured[name]}", flush=True)
    if options.events >= 1_000_000:
        results.save("costs", measured)


if __name__ == "__main__":
    main()
