"""A real retailer's year as Kafka messages, in the rhythm in which it happened, only faster.

The data and where it comes from: `examples/retail/ATTRIBUTION.md`.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

TOPIC = "retail"
DAYS_PER_SECOND = 1.0
"""The default speed: the 373 days take a little over six minutes."""


class _Invoice(msgspec.Struct):
    id: str
    occurred_at: str
    customer: str | None = None


@dataclass(frozen=True, slots=True)
class RetailEvent:
    """One line of the file: `at` is the shop's local time, `key` the customer where known."""

    at: datetime
    key: bytes
    value: bytes


class Timelapse:
    """The year, sped up by `days_per_second`: which events are due how long after the start.

    Raises OSError when the file cannot be read, msgspec.MsgspecError when a line is not an event.
    """

    def __init__(self, path: Path, days_per_second: float = DAYS_PER_SECOND) -> None:
        self.days_per_second = days_per_second
        self.events: Sequence[RetailEvent] = _read(path)
        self._first = self.events[0].at

    @property
    def seconds(self) -> float:
        """How long the whole year takes."""
        days = (self.events[-1].at - self._first) / timedelta(days=1)
        return days / self.days_per_second

    def date_at(self, elapsed_seconds: float) -> datetime:
        """The shop's local time, so long after the start."""
        return self._first + timedelta(days=elapsed_seconds * self.days_per_second)

    def due(self, sent: int, elapsed_seconds: float) -> Sequence[RetailEvent]:
        """The events that are due by now, after the first `sent` ones."""
        now, upto = self.date_at(elapsed_seconds), sent
        while upto < len(self.events) and self.events[upto].at <= now:
            upto += 1
        return self.events[sent:upto]


def _read(path: Path) -> list[RetailEvent]:
    decoder = msgspec.json.Decoder(_Invoice)
    events = []
    with gzip.open(path, "rb") as lines:
        for line in lines:
            invoice = decoder.decode(line)
            key = invoice.customer or invoice.id
            at = datetime.fromisoformat(invoice.occurred_at)
            events.append(RetailEvent(at, key.encode(), line.rstrip()))
    return events
