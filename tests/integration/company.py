"""The example company's events, in parts: history of a while ago, so that nothing is in the future.

Event time is far behind the wall clock, and `idle_after` of the copied rules is long: windows close
by what the events say alone, however slow the machine is. `closing_events` brings event time so far
past everything else in every partition that all windows before it close.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from agent.demo.generator import TICK_MS, Company

from .feeds import Event

TOPICS = ("feedback", "orders", "support", "visits", "work")
LAST_TICK = 240_000 // TICK_MS
"""The end of the company's first day: every staged trouble has been."""
CLOSING_MS = 120_000


def parts(start_ms: int, prefix: str, count: int) -> list[list[Event]]:
    """The backfilled history and the first day, in order, cut into so many parts."""
    company = Company(start_ms)
    first = company.first_tick
    cuts = [first + (LAST_TICK - first) * n // count for n in range(count + 1)]
    return [
        [(prefix + m.topic, m.key, m.value) for m in company.between(begin, end)]
        for begin, end in itertools.pairwise(cuts)
    ]


def closing_events(start_ms: int, partition: int) -> Iterator[tuple[str, bytes]]:
    """One event a topic, well past the end of the day: topic and value."""
    at_ms = start_ms + LAST_TICK * TICK_MS + CLOSING_MS
    number = f"closing-{partition}"
    where = {"region": "emea", "channel": "web"}
    events = {
        "visits": {"type": "visit.started", "visit_id": number, "started_at": at_ms, **where},
        "orders": {
            **{"type": "order.completed", "order_id": number, "completed_at": at_ms, **where},
            **{"amount": 1.0, "currency": "eur", "customer": "c0000"},
        },
        "support": {
            **{"type": "ticket.answered", "ticket_id": number, "answered_at": at_ms, **where},
            "response_seconds": 1.0,
        },
        "feedback": {
            **{"type": "feedback.submitted", "feedback_id": number, "submitted_at": at_ms},
            **{"score": 5, "region": "emea", "customer": "c0000"},
        },
        "work": {
            **{"type": "task.finished", "task_id": number, "finished_at": at_ms},
            **{"employee": "studio-00", "team": "studio", "minutes": 1.0},
        },
    }
    for topic, event in events.items():
        yield topic, json.dumps(event).encode()
