"""Reviews dead letters with today's contracts: which are good now, and what has to be restated.

A dead letter is a copy; its record is still in the source topic. So a good one is not sent again:
the windows of its event are restated from the source topic (`agent.core.restatement`). There it
counts once, however often this is repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from agent.core.decode.batch import Batch, Headers
from agent.core.decode.decoder import Decoder
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.restatement import Period, related


class Origin(NamedTuple):
    """Where the record of a dead letter is."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected record. `timestamp_ms`, `key`, `value` and `headers` are the record's own.
    `contract`: the one that rejected it; "": all of its topic."""

    origin: Origin
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    contract: str
    reason: str
    is_truncated: bool = False


class ReviewResult(StrEnum):
    """The result of a review of a dead letter with today's contracts."""

    GOOD = "good"
    REJECTED = "rejected"
    IGNORED = "ignored"  # no contract selects the record any more
    TRUNCATED = "truncated"  # the dead letter does not have all bytes of its record


class Rejected(NamedTuple):
    """A group of dead letters: their topic, the contract that rejected them, and the reason."""

    topic: str
    contract: str
    reason: str


@dataclass(slots=True)
class Review:
    """The results of reviewing dead letters: by group, their numbers by result (with the reason if
    they are still rejected); and by contract, the event times (ms) of the good ones."""

    results: dict[Rejected, Counter[tuple[ReviewResult, str]]] = field(default_factory=dict)
    times_ms: dict[str, list[int]] = field(default_factory=dict)

    def note(self, letter: DeadLetter, result: ReviewResult, reason: str = "") -> None:
        """Count a dead letter."""
        rejected = Rejected(letter.origin.topic, letter.contract, letter.reason)
        self.results.setdefault(rejected, Counter())[result, reason] += 1

    def total(self, result: ReviewResult | None = None) -> int:
        """The number of dead letters with a result; None: of all."""
        return sum(
            count
            for counts in self.results.values()
            for (each, _), count in counts.items()
            if result in (None, each)
        )

    def within(self, since_ms: int | None, until_ms: int | None) -> Mapping[str, list[int]]:
        """The event times in `[since_ms, until_ms)`; None: without a bound."""
        kept = {
            contract: [
                at
                for at in times
                if (since_ms is None or at >= since_ms) and (until_ms is None or at < until_ms)
            ]
            for contract, times in self.times_ms.items()
        }
        return {contract: times for contract, times in kept.items() if times}


class Reviewer:
    """Reviews dead letters, each record once however often it was rejected."""

    def __init__(self, plan: Plan) -> None:
        self.review = Review()
        self._plan = plan
        self._seen: set[Origin] = set()
        self._decoders: dict[str, Decoder | None] = {}

    def batches(self, letters: Iterable[DeadLetter]) -> Iterable[tuple[Batch, list[DeadLetter]]]:
        """The dead letters that must be decoded, in a batch per topic. The results of the others
        are counted."""
        by_topic: dict[str, list[DeadLetter]] = {}
        for letter in letters:
            if letter.origin in self._seen:
                continue
            self._seen.add(letter.origin)
            if self._decoder(letter.origin.topic) is None:
                self.review.note(letter, ReviewResult.IGNORED)
            elif letter.is_truncated:
                self.review.note(letter, ReviewResult.TRUNCATED)
            else:
                by_topic.setdefault(letter.origin.topic, []).append(letter)
        for topic, of_topic in by_topic.items():
            of_topic.sort(key=lambda letter: letter.origin)
            yield _batch(topic, of_topic), of_topic

    def add(self, batch: Batch, letters: Sequence[DeadLetter]) -> None:
        """Review the dead letters of a batch, which must have the schemas that it needs."""
        decoder = self._decoder(batch.topic)
        if decoder is None:
            return
        decoded = decoder.decode(batch)
        reasons = {row: reject.reason for row, reject in decoded.rejects}
        events: dict[int, list[tuple[str, int]]] = {}
        for name, table in decoded.tables.items():
            for row, at_ms in table.select("_row", "_time").iter_rows():
                own = letters[row].contract
                if own in ("", name) or own not in self._plan.contracts:
                    events.setdefault(row, []).append((name, at_ms))
        for row, letter in enumerate(letters):
            if row in events:
                self.review.note(letter, ReviewResult.GOOD)
                for name, at_ms in events[row]:
                    self.review.times_ms.setdefault(name, []).append(at_ms)
            elif row in reasons:
                self.review.note(letter, ReviewResult.REJECTED, reasons[row])
            else:
                self.review.note(letter, ReviewResult.IGNORED)

    def _decoder(self, topic: str) -> Decoder | None:
        if topic not in self._decoders:
            contracts = self._plan.contracts_of(topic)
            self._decoders[topic] = Decoder(contracts) if contracts else None
        return self._decoders[topic]


def _batch(topic: str, letters: Sequence[DeadLetter]) -> Batch:
    return Batch(
        topic,
        [letter.value for letter in letters],
        np.array([letter.origin.partition for letter in letters], np.int32),
        np.array([letter.origin.offset for letter in letters], np.int64),
        np.array([letter.timestamp_ms for letter in letters], np.int64),
        keys=[letter.key for letter in letters],
        headers={row: letter.headers for row, letter in enumerate(letters) if letter.headers},
    )


def periods(plan: Plan, times_ms: Mapping[str, Sequence[int]]) -> dict[tuple[str, ...], Period]:
    """What to restate for events at these times, given by contract: the groups of KPIs that are
    restated together, each with the period of its events."""
    out: dict[tuple[str, ...], Period] = {}
    for contract, times in times_ms.items():
        for kpi in plan.kpis_of(contract):
            kpis = related(plan, kpi.name)
            since_ms, until_ms = min(times), max(times) + 1
            if (known := out.get(kpis)) is not None:
                since_ms, until_ms = min(since_ms, known.since_ms), max(until_ms, known.until_ms)
            out[kpis] = Period(since_ms, until_ms)
    return out


def in_open_windows(kpi: Kpi, times_ms: Iterable[int], closed_ms: int) -> list[int]:
    """The ends of the events' last windows, as far as these are not closed: a restatement leaves
    them to the agent. `closed_ms`: the end of the newest closed window."""
    ends = (kpi.window.last_end_over(at_ms) for at_ms in times_ms)
    return sorted(end for end in ends if end > closed_ms)
