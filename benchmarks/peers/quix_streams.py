"""Workload W on Quix Streams: group_by the series, a tumbling window, an aggregate.

Run by `benchmarks/peers/run.py` in an environment of its own, as `faust_table.py` is. The updates
of windows are kept in this process: sending them to a topic would cost more. An hour of grace keeps
the repartitioning from dropping events as late.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from quixstreams import Application

EVENTS = int(os.environ["W_EVENTS"])
totals: dict[tuple[str, int], list[float]] = {}
clock = {"started": 0.0, "seen": 0.0}


def started(event: dict[str, object]) -> None:
    """Note the first event."""
    if not clock["started"]:
        clock["started"] = time.monotonic()


def series(event: dict[str, object]) -> str:
    """The key of the event's series."""
    kind = event["type"]
    if kind == "order.completed":
        return f"{kind}|{event['region']}|{event['channel']}"
    return f"{kind}|{event['region'] if kind == 'ticket.answered' else event['employee']}"


def value(event: dict[str, object]) -> float:
    """The event's number."""
    for name in ("amount", "response_seconds"):
        if name in event:
            return float(event[name])  # type: ignore[arg-type]
    return float(event["score"])  # type: ignore[arg-type]


def first(event: dict[str, object]) -> list[float]:
    """The aggregate of one event."""
    number = value(event)
    return [1, number, number, number]


def more(known: list[float], event: dict[str, object]) -> list[float]:
    """The aggregate with one event more."""
    number = value(event)
    return [known[0] + 1, known[1] + number, min(known[2], number), max(known[3], number)]


def keep(window: dict[str, object], key: object, timestamp: int, headers: object) -> None:
    """Keep the newest state of a window; end when every event is in."""
    name = key.decode() if isinstance(key, bytes) else str(key)
    totals[name, int(window["start"])] = window["value"]  # type: ignore[call-overload,assignment]
    clock["seen"] += 1
    if clock["seen"] == EVENTS:
        seconds = time.monotonic() - clock["started"]
        rows = [[key, start, *state] for (key, start), state in totals.items()]
        Path(os.environ["W_TOTALS"]).write_text(json.dumps(rows))
        sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")
        sys.stdout.flush()
        os._exit(0)


def main() -> None:
    """Run until every event is aggregated."""
    app = Application(
        broker_address=os.environ["W_BROKER"],
        consumer_group=f"peer-quix-{os.getpid()}",
        auto_offset_reset="earliest",
        state_dir=tempfile.mkdtemp(prefix="bench-quix-"),
        loglevel="WARNING",
    )
    source = app.topic(
        os.environ["W_TOPIC"],
        value_deserializer="json",
        timestamp_extractor=lambda value, headers, timestamp, kind: value["at"],
    )
    frame = app.dataframe(source).update(started).group_by(series, name="series")
    windows = frame.tumbling_window(60_000, grace_ms=3_600_000).reduce(
        reducer=more, initializer=first
    )
    windows.current().update(keep, metadata=True)
    app.run()


if __name__ == "__main__":
    main()
