"""Tracks the spans of event time in which records are missing, to mark windows as incomplete.

Records may be deleted from a topic before they are read. Stage 1 notices such gaps, and its frames
name the span of event time of the missing records. If frames themselves are deleted before they are
merged, the span ends at the clock of the next frame of the source. A window that overlaps a span
may be wrong: it is published, and marked as incomplete.

Frames repeat only the last span of their source, and only the merger that noticed lost frames knows
of them. So all spans of a topic are kept in a row, which is written before the rows of series.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from agent.core.frame import Frame
from agent.core.model.kpis import Kpi
from agent.core.model.plan import Plan
from agent.core.model.windows import previous_start
from agent.core.state.rows import Row, decoded, topic_key, versioned

SPANS_KEPT = 100
"""The number of spans kept per source: windows that overlap older ones are closed."""


class _State(msgspec.Struct, array_like=True):
    """The row of a topic: spans by source, and, if frames were lost, the sources that have sent
    frames since."""

    spans: dict[int, list[tuple[int | None, int]]]
    lost_before: list[int] | None


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(_State)


class MissedRecords:
    """The spans of one topic. `lateness_ms`: how much older than the watermark records may be."""

    def __init__(self, lateness_ms: int, topic: str = "") -> None:
        self._lateness_ms = lateness_ms
        self._key = topic_key(topic)
        self._changed = False
        # By source partition: the end of each span by its start (ms; None: the start of the log).
        self._spans: dict[int, dict[int | None, int]] = {}
        self._lost_before: set[int] | None = None  # sources that sent frames since some were lost

    def note(self, frame: Frame) -> None:
        """Note the span that a frame names. A later frame may name a later end of it."""
        if self._lost_before is not None and frame.partition not in self._lost_before:
            self._lost_before.add(frame.partition)
            self._spans.setdefault(frame.partition, {})[None] = frame.clock_ms
            self._changed = True
        if frame.missed is None:
            return
        from_ms, until_ms = frame.missed
        spans = self._spans.setdefault(frame.partition, {})
        self._changed = self._changed or spans.get(from_ms) != until_ms
        spans[from_ms] = until_ms
        if len(spans) > SPANS_KEPT:
            del spans[next(iter(spans))]

    def note_lost_frames(self) -> None:
        """Note that frames were deleted before they were merged."""
        self._lost_before = set()
        self._changed = True

    def restore(self, key: bytes, row: bytes) -> None:
        """Continue from the row of the topic. Raises UnknownVersion and DamagedRow."""
        state = decoded(_decoder, key, row)
        self._spans = {source: dict(spans) for source, spans in state.spans.items()}
        self._lost_before = None if state.lost_before is None else set(state.lost_before)

    def drain_rows(self) -> list[Row]:
        """The row of the topic, if it has changed since the last call."""
        if not self._changed:
            return []
        self._changed = False
        spans = {source: list(spans.items()) for source, spans in self._spans.items()}
        lost = None if self._lost_before is None else sorted(self._lost_before)
        return [(self._key, versioned(_encoder.encode(_State(spans, lost))))]

    def earlier_logs(self) -> MissedRecords:
        """A copy with the spans from the start of a log: what came before is gone with an earlier
        log of the topic, or with frames, and can't be read again."""
        copied = MissedRecords(self._lateness_ms)
        copied._spans = {
            source: {None: spans[None]} for source, spans in self._spans.items() if None in spans
        }
        return copied

    def overlaps(self, start_ms: int, end_ms: int) -> bool:
        """Whether records of a window may be missing."""
        return bool(self._spans) and any(
            start_ms <= until_ms and (from_ms is None or from_ms - self._lateness_ms < end_ms)
            for spans in self._spans.values()
            for from_ms, until_ms in spans.items()
        )


class MissedForContract:
    """The missing records in all topics of a contract."""

    def __init__(self, topics: Iterable[MissedRecords] = ()) -> None:
        self._topics = list(topics)

    def earlier_logs(self) -> Sequence[MissedRecords]:
        """What no log has any more, by topic (`MissedRecords.earlier_logs`)."""
        return [missed.earlier_logs() for missed in self._topics]

    def add(self, missed: MissedRecords) -> None:
        """Add a topic of the contract."""
        self._topics.append(missed)

    def overlaps(self, start_ms: int, end_ms: int) -> bool:
        """Whether records of a window may be missing."""
        return any(missed.overlaps(start_ms, end_ms) for missed in self._topics)


class MissedByTopic:
    """The missing records of all topics, including topics that appear later."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._topics: dict[str, MissedRecords] = {}
        self._contracts = {name: MissedForContract() for name in plan.contracts}
        self._has_lost_frames = False
        for topic in plan.topics:
            self.of_topic(topic)

    def __iter__(self) -> Iterator[MissedRecords]:
        return iter(self._topics.values())

    def of_topic(self, topic: str) -> MissedRecords:
        """The missing records of a topic that some contract reads."""
        if topic not in self._topics:
            contracts = self._plan.contracts_of(topic)
            missed = MissedRecords(max(c.lateness_ms for c in contracts), topic)
            if self._has_lost_frames:
                missed.note_lost_frames()
            self._topics[topic] = missed
            for contract in contracts:
                self._contracts[contract.name].add(missed)
        return self._topics[topic]

    def of_contract(self, contract: str) -> MissedForContract:
        """The missing records of a contract."""
        return self._contracts[contract]

    def note_lost_frames(self) -> None:
        """Note that frames of any topics were deleted before they were merged."""
        self._has_lost_frames = True
        for missed in self:
            missed.note_lost_frames()


@dataclass(frozen=True, slots=True)
class MissedForKpi:
    """The missing records that affect a KPI: the base KPIs that it is computed from, each with
    those of its contract. A KPI with `retention` also reads the window before."""

    bases: Sequence[tuple[Kpi, MissedForContract]]

    def overlaps(self, start_ms: int, end_ms: int) -> bool:
        """Whether records of a window may be missing."""
        return any(
            missed.overlaps(
                previous_start(kpi.window, end_ms) if kpi.has_retention else start_ms, end_ms
            )
            for kpi, missed in self.bases
        )


NONE_MISSED = MissedForKpi(())
"""For sources without gaps."""
