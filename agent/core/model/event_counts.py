"""The outcomes of each event's records, counted by one worker or by all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A rejected record: when (wall clock), where it is, and why; `detail` has none of its
    values."""

    at_ms: int
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class EventCounts:
    """The records of one event by outcome, and the rejected ones by reason. `per_minute`: lately,
    by the time of their arrival."""

    per_minute: float = 0.0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    last_rejected: RejectedRecord | None = None

    def __add__(self, other: EventCounts) -> EventCounts:
        rejected = [r for r in (self.last_rejected, other.last_rejected) if r is not None]
        return EventCounts(
            self.per_minute + other.per_minute,
            Counter(self.outcomes) + Counter(other.outcomes),
            Counter(self.reasons) + Counter(other.reasons),
            max(rejected, key=lambda record: record.at_ms, default=None),
        )

    @property
    def rejected_percent(self) -> float:
        """Of a hundred records, how many were rejected."""
        total = sum(self.outcomes.values())
        return 100 * sum(self.reasons.values()) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """What `workers` workers have counted, each since it started: by event, and by topic the
    records that are of no event, by the reason for that."""

    events: Mapping[str, EventCounts] = field(default_factory=dict)
    unread: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    workers: int = 1

    def __add__(self, other: RecordCounts) -> RecordCounts:
        none = EventCounts()
        return RecordCounts(
            {
                name: self.events.get(name, none) + other.events.get(name, none)
                for name in {**self.events, **other.events}
            },
            {
                topic: Counter(self.unread.get(topic, {})) + Counter(other.unread.get(topic, {}))
                for topic in {**self.unread, **other.unread}
            },
            self.workers + other.workers,
        )
