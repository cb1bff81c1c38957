"""Seeded events for the oracle: the shape of a busy shop's traffic, made with numpy.

`orders`, `tickets` and `feedback` are 50, 30 and 20 % of the events; 4 regions, 5 channels, 200
employees, many customers; event times a fixed step apart plus bounded disorder.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

REGIONS = ("amer", "apac", "emea", "latam")
CHANNELS = ("app", "mail", "partner", "phone", "web")


def events(
    seed: int, count: int, first_ms: int, step_ms: int, disorder_ms: int, customers: int = 50_000
) -> list[dict[str, Any]]:
    """`count` events in the order in which they arrive; each at most `disorder_ms` before another
    that arrived earlier. Some values are null, some dimensions missing, some numbers zero."""
    random = np.random.default_rng(seed)
    times = first_ms + np.arange(count) * step_ms - random.integers(0, disorder_ms + 1, count)
    kinds = random.choice(3, count, p=[0.5, 0.3, 0.2])
    regions = random.choice(REGIONS, count, p=[0.3, 0.2, 0.4, 0.1])
    channels = random.choice(CHANNELS, count)
    employees = random.integers(0, 200, count)
    buyers = (customers * random.random(count) ** 2).astype(int)
    amounts = np.round(random.lognormal(3.5, 1.0, count), 2)
    seconds = np.round(random.lognormal(4.5, 0.8, count), 3)
    scores = random.integers(1, 6, count)
    missing = random.random(count) < 0.04
    unknown = random.random(count) < 0.03
    free = random.random(count) < 0.02
    made = []
    for i in range(count):
        event: dict[str, Any] = {
            "id": f"e{i}",
            "occurred": int(times[i]),
            "region": None if unknown[i] else str(regions[i]),
            "channel": str(channels[i]),
            "employee": int(employees[i]),
            "customer": f"c{buyers[i]}",
        }
        if kinds[i] == 0:
            amount = None if missing[i] else 0.0 if free[i] else float(amounts[i])
            event |= {"type": "order.completed", "amount": amount}
        elif kinds[i] == 1:
            wait = None if missing[i] else float(seconds[i])
            event |= {"type": "ticket.answered", "response_seconds": wait}
        else:
            event |= {"type": "feedback.submitted", "score": int(scores[i])}
        made.append(event)
    return made


def ndjson(made: list[dict[str, Any]]) -> bytes:
    """The events as a file's content, one JSON object a line."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in made)
