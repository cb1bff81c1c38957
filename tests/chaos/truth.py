"""What must have come out: windows by DuckDB from the raw topics, transitions by a run without
faults."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from confluent_kafka import Consumer, Message, TopicPartition

from agent.core.decode.batch import Batch
from agent.core.model.plan import Plan
from agent.core.model.results import Transition
from agent.core.pipeline import Pipeline

LATENESS_MS = 4_000
SLICE_MS = 5_000

Key = tuple[str, str | None, int]
"""KPI, region, end of the window (ms)."""
Place = tuple[int, int]
"""Source partition and offset."""


def read_all(address: str, topic: str) -> list[Message]:
    """Every record of a topic, partition by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "truth",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "log_level": 0,
        }
    )
    records: list[Message] = []
    try:
        metadata = consumer.list_topics(topic, timeout=20).topics[topic]
        for number in sorted(metadata.partitions):
            tp = TopicPartition(topic, number, 0)
            low, high = consumer.get_watermark_offsets(tp, timeout=20)
            consumer.assign([tp])
            at = low
            while at < high:
                batch = consumer.consume(min(5_000, high - at), timeout=1)
                for message in batch:
                    assert message.error() is None, message.error()
                records += batch
                at = batch[-1].offset() + 1 if batch else at
            assert at >= high
    finally:
        consumer.close()
    return records


SCHEMA = {
    "topic": pl.String, "part": pl.Int32, "off": pl.Int64, "happened": pl.Int64, "id": pl.String,
    "region": pl.String, "amount": pl.Float64,
}  # fmt: skip
EVENTS_SQL = """
CREATE TABLE evaluated AS
WITH timed AS (
    SELECT *, max(happened) OVER earlier AS reached
    FROM raw WINDOW earlier AS (
        PARTITION BY topic, part ORDER BY off ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), late AS (
    SELECT *, coalesce(happened // 5000 * 5000 + 5000 + 4000 <= reached, false) AS is_late
    FROM timed
)
SELECT *, not is_late AND id IS NOT NULL
    AND row_number() OVER (PARTITION BY topic, part, id, is_late ORDER BY off) > 1 AS is_repeat
FROM late
"""
# Windows without an event come all the same, from the first slice of their series on.
WINDOWS_SQL = """
WITH counted AS (
    SELECT region, happened, amount FROM evaluated WHERE topic = ? AND NOT is_late AND NOT is_repeat
), first AS (
    SELECT region, min(happened) // 5000 * 5000 AS first FROM counted GROUP BY region
), ends AS (
    SELECT region, unnest(generate_series(first + 5000, ?::BIGINT, 5000)) AS e FROM first
)
SELECT ends.region, e, {value}, count(happened)
FROM ends LEFT JOIN counted
    ON counted.region IS NOT DISTINCT FROM ends.region AND happened < e AND happened >= e - {size}
GROUP BY ends.region, e
"""
KPIS = {
    "revenue": ("shop", "sum(amount)", 5_000),
    "basket": ("shop", "avg(amount)", 10_000),
    "orders": ("shop", "count(happened)", 5_000),
    "visits": ("visits", "count(happened)", 5_000),
}


def target_state(revenue: float | None) -> str:
    """How the rules' one target stands at a window's value."""
    if revenue is None:
        return "no_data"
    return "missed" if revenue < 100 else "at_risk" if revenue < 200 else "met"


@dataclass(frozen=True)
class Truth:
    """Windows that end by `frontier_ms`, and which records are late, repeated or rejected."""

    windows: Mapping[Key, tuple[float | None, int]]
    late: frozenset[Place]
    repeated: frozenset[Place]
    rejected: frozenset[Place]
    records: int
    frontier_ms: int


def truth_of(logs: Mapping[str, Sequence[Message]], end_ms: int) -> Truth:
    """The truth of the raw records."""
    frontier_ms = end_ms - LATENESS_MS
    rows, rejected = [], set()
    for topic, records in logs.items():
        for record in records:
            place = (record.partition(), record.offset())
            try:
                body = json.loads(record.value())
            except ValueError:
                body = None
            if body is None or body.get("amount", 0) < 0:
                rejected.add(place)
                continue
            rows.append(
                (
                    topic,
                    *place,
                    body["at"],
                    body.get("order_id"),
                    body["region"],
                    body.get("amount"),
                )
            )
    base = duckdb.connect()
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        pl.DataFrame(rows, SCHEMA, orient="row").write_parquet(file.name)
        base.execute(f"CREATE TABLE raw AS SELECT * FROM '{file.name}'")
    base.execute(EVENTS_SQL)
    windows: dict[Key, tuple[float | None, int]] = {}
    for kpi, (topic, value, size) in KPIS.items():
        sql = WINDOWS_SQL.format(value=value, size=size)
        for region, end, number, events in base.execute(sql, [topic, frontier_ms]).fetchall():
            windows[kpi, region, end] = (None if number is None else float(number), events)
    for region, end in {(r, e) for k, r, e in windows if k in ("orders", "visits")}:
        orders = windows.get(("orders", region, end), (0.0, 0))
        visits = windows.get(("visits", region, end), (0.0, 0))
        share = (orders[0] or 0.0) / visits[0] if visits[0] else None
        windows["conversion", region, end] = (share, orders[1] + visits[1])

    def places(mark: str) -> frozenset[Place]:
        rows = base.execute(f"SELECT part, off FROM evaluated WHERE {mark}").fetchall()
        return frozenset((part, off) for part, off in rows)

    records = sum(len(r) for r in logs.values())
    late, repeated = places("is_late"), places("is_repeat")
    return Truth(windows, late, repeated, frozenset(rejected), records, frontier_ms)


def faultless_transitions(
    plan: Plan, logs: Mapping[str, Sequence[Message]], frontier_ms: int
) -> list[Transition]:
    """The transitions of one reader who sees everything at once."""
    counts = {t: max(r.partition() for r in records) + 1 for t, records in logs.items()}
    pipeline = Pipeline(plan, counts)
    for topic, records in logs.items():
        pipeline.add(
            Batch(
                topic,
                [r.value() for r in records],
                np.array([r.partition() for r in records], np.int32),
                np.array([r.offset() for r in records], np.int64),
                np.array([r.timestamp()[1] for r in records], np.int64),
            )
        )
    return [t for t in pipeline.flush().transitions if t.at_ms < settled_ms(frontier_ms)]


def settled_ms(frontier_ms: int) -> int:
    """Before this instant all is published; silence is evaluated by whole slices."""
    return frontier_ms - frontier_ms % SLICE_MS


def load_plan(folder: Path) -> Plan:
    """The compiled rules of a folder."""
    from agent.language.load import load

    return load(folder)
