"""What an event costs as there are more events, and more series: the core, in this process.

Decode, fold, frames and merge as plain calls (`core/pipeline.py`), CPU time of all threads, one
flush every 350,000 events: a second at the speed that is wanted. Events come as fast as that too,
so that windows close once a minute. Beside it, what polars needs for the bare group-by of the same
rows: the fold of the series themselves.

    python -m benchmarks.scale
    python -m benchmarks.scale --million 2        # for a first look
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch
from agent.core.model.results import Outcome
from agent.core.pipeline import Pipeline
from agent.language.load import load
from benchmarks import results
from benchmarks.workload import CHUNK_EVENTS, FIRST_MS, PARTITIONS, Shape, chunks

RULES = Path(__file__).resolve().parent / "rules" / "scale"
BATCH_EVENTS = 50_000
FLUSH_EVENTS = 350_000
STEP_MS = 1000 / FLUSH_EVENTS
SERIES = (10, 100, 1_000, 10_000)
SERIES_EVENTS = 10_000_000  # enough that the making of the series, once, is a small part


def batches(shape: Shape) -> Iterator[Batch]:
    """The workload as the ingest would hand it to the core."""
    offsets = np.zeros(PARTITIONS, np.int64)
    for table in chunks(shape):
        values = [text.encode() for text in table["json"].to_list()]
        places = table["customer"].hash(1).to_numpy() % PARTITIONS
        for start in range(0, len(values), BATCH_EVENTS):
            rows = places[start : start + BATCH_EVENTS]
            order = np.argsort(rows, kind="stable")
            counts = np.bincount(rows[order].astype(np.int64), minlength=PARTITIONS)
            numbers = np.concatenate(
                [np.arange(o, o + n) for o, n in zip(offsets, counts, strict=True)]
            )
            offsets += counts
            yield Batch(
                "bench-w",
                [values[start + i] for i in order],
                rows[order].astype(np.int32),
                numbers,
                np.full(len(order), FIRST_MS, np.int64),
            )


def run(shape: Shape) -> dict[str, Any]:
    """CPU microseconds an event, by part, over the workload; and by million of events."""
    pipeline = Pipeline(load(RULES), {"bench-w": PARTITIONS}, state_partitions=8)
    fold = tell = fold_of_series = 0.0
    by_million: list[float] = []
    seen = since = 0
    for batch in batches(shape):
        began = time.process_time()
        added = pipeline.add(batch)
        fold += time.process_time() - began
        seen += len(batch.values)
        since += len(batch.values)
        if added.counts.total() != added.counts[Outcome.FOLDED, "order.completed", None] + sum(
            added.counts[Outcome.FOLDED, name, None]
            for name in ("ticket.answered", "feedback.submitted")
        ):
            raise SystemExit(f"not every event was folded: {added.counts}")
        if since >= FLUSH_EVENTS:
            since = 0
            began = time.process_time()
            pipeline.flush()
            tell += time.process_time() - began
        if seen <= CHUNK_EVENTS:
            fold_of_series += _bare_fold(batch)
        if seen % 1_000_000 < len(batch.values):
            by_million.append((fold + tell) / seen * 1e6)
    began = time.process_time()
    pipeline.flush()
    tell += time.process_time() - began
    bare = min(seen, CHUNK_EVENTS)
    return {
        "decode_and_fold_us": round(fold / seen * 1e6, 3),
        "frames_and_merge_us": round(tell / seen * 1e6, 3),
        "bare_fold_us": round(fold_of_series / bare * 1e6, 3),
        "total_us": round((fold + tell) / seen * 1e6, 3),
        "by_million_us": [round(us, 3) for us in by_million],
    }


def _bare_fold(batch: Batch) -> float:
    """CPU seconds of polars' group-by alone on the same rows, read before."""
    rows = pl.read_ndjson(
        b"\n".join(v for v in batch.values if v is not None),
        schema={"employee": pl.String, "type": pl.String, "at": pl.Int64, "score": pl.Float64},
    ).with_columns(pl.Series("p", batch.partitions), (pl.col("at") // 60_000).alias("slice"))
    began = time.process_time()
    rows.group_by("p", "slice", "type", "employee").agg(pl.len(), pl.col("score").sum())
    return time.process_time() - began


def main() -> None:
    """Measure, and keep the results."""
    parser = results.arguments(__doc__)
    parser.add_argument("--million", type=int, default=10)
    options = parser.parse_args()
    run(Shape(events=100_000, step_ms=STEP_MS))  # polars' thread pool, imports
    series = {}
    for number in SERIES:
        shape = Shape(
            employees=number, step_ms=STEP_MS, events=options.million * SERIES_EVENTS // 10
        )
        series[number] = run(shape)
        print(f"{number:>6} series a KPI: {series[number]}", flush=True)
    events = run(Shape(events=options.million * 1_000_000, step_ms=STEP_MS))
    print(f"{options.million} million events: {events}")
    if options.million >= 10:
        results.save("scale", {"series": series, "events": events})


if __name__ == "__main__":
    main()
