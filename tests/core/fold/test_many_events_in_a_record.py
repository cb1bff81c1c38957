"""Records that hold many events, or lines of one: any batching gives the same windows and counts,
and every record has one outcome."""

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.core.decode.batch import Batch
from agent.core.model.plan import Plan
from agent.core.pipeline import Pipeline

RULES = """
version: 1
defaults: {lateness: 5s, timezone: Europe/Oslo}
events:
  reading:
    topic: meters
    envelope: list
    type_field: none
    time: at
    id: id
    fields: {value: {type: integer, required: true}}
  line:
    topic: orders
    type: order
    time: at
    id: id
    each: lines
    fields: {price: {path: "lines[].price", type: integer, required: true}}
  order:
    topic: orders
    time: at
    id: id
    fields: {customer: string}
kpis:
  readings: {from: reading, value: sum(value), window: 10s}
  revenue: {from: line, value: sum(price), window: 10s}
  orders: {from: order, value: count(*), window: 10s}
"""

times = st.integers(0, 59).map(lambda second: f"2025-10-26T02:00:{second:02}")
"""Of an hour that comes twice: without an offset, each may be either."""
ids = st.integers(0, 9)
readings = st.lists(
    st.fixed_dictionaries(
        {"at": times, "id": ids, "value": st.sampled_from([1, 1, 1, 2, "x"])},
    ),
    max_size=4,
)
orders = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["order", "order", "visit"]),
        "at": times,
        "id": ids,
        "lines": st.lists(
            st.fixed_dictionaries({"price": st.sampled_from([1, 1, 1, 2, None])}), max_size=3
        ),
    }
)


def outcome(plan: Plan, topic: str, records: list[Any], size: int) -> tuple[Any, Any]:
    """The windows, and the counts, when records are read so many at a time."""
    pipeline, emitted = Pipeline(plan), []
    values = [json.dumps(record).encode() for record in records]
    for first in range(0, len(values), size):
        part = values[first : first + size]
        offsets = np.arange(first, first + len(part), dtype=np.int64)
        stamps = np.zeros(len(part), np.int64)
        zeros = np.zeros(len(part), np.int32)
        pipeline.add(Batch(topic, part, zeros, offsets, stamps, timestamped=False))
        emitted.append(pipeline.flush())
    pipeline.end(topic)
    emitted.append(pipeline.finish())
    windows = [(w.kpi, w.start_ms, w.value, w.events) for e in emitted for w in e.windows]
    left = [(w.kpi, w.start_ms, w.value, w.events) for w in pipeline.open_windows()]
    return sorted(windows + left), pipeline.counts


@given(st.lists(readings, max_size=8), st.integers(1, 4))
def test_batches_make_no_difference_to_lists_of_events(
    plan: Plan, records: list[Any], size: int
) -> None:
    windows, counts = outcome(plan, "meters", records, size)
    assert (windows, counts) == outcome(plan, "meters", records, max(len(records), 1))
    assert counts.total() == len(records)


@given(st.lists(orders, max_size=8), st.integers(1, 4))
def test_batches_make_no_difference_to_lines(plan: Plan, records: list[Any], size: int) -> None:
    windows, counts = outcome(plan, "orders", records, size)
    assert (windows, counts) == outcome(plan, "orders", records, max(len(records), 1))
    assert counts.total() == len(records)
