"""Workload W on plain Faust: an agent with a windowed table, one write an event, memory store.

Run by `benchmarks/peers/run.py`; the environment says W_BROKER, W_TOPIC, W_EVENTS and W_TOTALS, the
file for the totals. Prints the seconds from the first event until every event was aggregated and
its changelog sent.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import faust

EVENTS = int(os.environ["W_EVENTS"])

app = faust.App(
    f"peer-faust-{os.getpid()}",
    broker=f"aiokafka://{os.environ['W_BROKER']}",
    store="memory://",
    datadir=tempfile.mkdtemp(prefix="bench-faust-"),
    topic_partitions=4,
    topic_disable_leader=True,
    web_enabled=False,
    stream_wait_empty=False,
    broker_max_poll_records=5_000,
    stream_buffer_maxsize=8_192,
    consumer_auto_offset_reset="earliest",
)


class Event(faust.Record, serializer="json"):  # type: ignore[misc]  # untyped
    """One event. `at` is in ms, and so is the window below."""

    type: str
    at: float
    region: str
    channel: str
    employee: str
    amount: float = 0.0
    response_seconds: float = 0.0
    score: float = 0.0


source = app.topic(os.environ["W_TOPIC"], key_type=bytes, key_serializer="raw", value_type=Event)
totals = (
    app.Table("totals", default=list, partitions=4).tumbling(60_000).relative_to_field(Event.at)
)


def series_and_value(event: Event) -> tuple[str, float]:
    """The key of the event's series, and its number."""
    if event.type == "order.completed":
        return f"{event.type}|{event.region}|{event.channel}", event.amount
    if event.type == "ticket.answered":
        return f"{event.type}|{event.region}", event.response_seconds
    return f"{event.type}|{event.employee}", event.score


@app.agent(source)  # type: ignore[untyped-decorator]
async def aggregate(events: faust.Stream[Event]) -> None:
    """Count, sum, least and greatest by series and window."""
    started, seen = 0.0, 0
    async for event in events:
        started = started or time.monotonic()
        key, value = series_and_value(event)
        known = totals[key].value()
        if known:
            count, total, low, high = known
            totals[key] = [count + 1, total + value, min(low, value), max(high, value)]
        else:
            totals[key] = [1, value, value, value]
        seen += 1
        if seen == EVENTS:
            await app.producer.flush()
            finish(time.monotonic() - started)


def finish(seconds: float) -> None:
    """Write the totals, say the time, and end."""
    rows = [[key, window[0], *state] for (key, window), state in totals.table.items()]
    Path(os.environ["W_TOTALS"]).write_text(json.dumps(rows))
    sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    app.worker_init()
    faust.Worker(app, loglevel="warn", redirect_stdouts=False).execute_from_commandline()
