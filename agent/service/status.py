"""What the stages tell of themselves, kept where the exports read it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from agent.core.fold.folder import Added
from agent.core.model.results import Emitted
from agent.export.agent_state import AgentState

log = logging.getLogger(__name__)

FAILURE_SHOWN_SECONDS = 300.0
SILENT_SECONDS = 5.0
SILENT_BROKER = "the brokers have acknowledged nothing"

STALLED_SECONDS = 60.0
"""How long a stage may have work and get nowhere until it is said: a rebalance, a slow broker and a
round over very many series are over by then."""
STALLED_MERGE = "results do not come out"
STALLED_INGEST = "nothing was flushed"

INGEST, MERGE, TOPICS, BROKER, BOARD = "ingest", "merge", "topics", "broker", "board"
COMPONENTS = (BROKER, TOPICS, INGEST, MERGE, BOARD)


class News:
    """Receiver of both stages' news (`IngestProgress`, `MergeProgress`), filling `AgentState`."""

    def __init__(self, state: AgentState, on_told: Callable[[Sequence[Emitted]], None]) -> None:
        self._state = state
        self._on_told = on_told
        self._failed_at: float | None = None
        self._missing: tuple[str, ...] = ()
        self._shortened: dict[tuple[str, str], int] = {}
        self._flushed_at: float | None = None  # None: no source partition is read here
        state.stats.errors.update(dict.fromkeys(COMPONENTS, 0))
        state.stats.last_merge_ms = state.started_at_ms

    def check_progress(self, flush_every_seconds: float) -> None:
        """Say so where source partitions are read here and nothing is flushed for long."""
        if self._flushed_at is None:
            return
        seconds = time.monotonic() - self._flushed_at
        if seconds > STALLED_SECONDS + flush_every_seconds and not self._state.ready.get(INGEST):
            self._state.ready[INGEST] = f"{STALLED_INGEST} for {seconds:.0f} s"
            log.error("%s: %s", INGEST, self._state.ready[INGEST])

    def waiting(self, component: str, reason: str | None) -> None:
        """What a component waits for; None: it is ready. A new reason is logged once."""
        if reason and self._state.ready.get(component) != reason:
            level = logging.WARNING if component in (BROKER, TOPICS) else logging.INFO
            log.log(level, "%s: %s", component, reason)
        self._state.ready[component] = reason

    # ---- stage 1

    def folded(self, topic: str, added: Added, seconds: float) -> None:
        """Count a batch by outcome."""
        self._state.stats.fold_seconds.observe(seconds)
        for (outcome, contract, reason), number in added.counts.items():
            key = (topic, outcome.value, reason.value if reason else "", contract or "")
            self._state.stats.records[key] += number
        self._state.stats.late_rows.update(added.late_rows)
        for contract, counts in added.fields.items():
            for name, number in counts.nulls.items():
                self._state.stats.field_nulls[topic, contract, name] += number
            for name, number in counts.wrong_types.items():
                self._state.stats.field_wrong_types[topic, contract, name] += number

    def flushed(self, frames: int, seconds: float) -> None:
        """Count acknowledged frames."""
        self._state.stats.frames_sent += frames
        self._flushed_at = time.monotonic()
        if (self._state.ready.get(INGEST) or "").startswith((SILENT_BROKER, STALLED_INGEST)):
            self.waiting(INGEST, None)
        self._state.stats.flush_seconds.observe(seconds)

    def unacknowledged(self, seconds: float) -> None:
        """Say that the broker is silent, once that is no hiccup."""
        if seconds > SILENT_SECONDS:
            self._state.ready[INGEST] = f"{SILENT_BROKER} for {seconds:.0f} s"

    def watermark(self, topic: str, partition: int, watermark_ms: int | None) -> None:
        """Note how far event time has got."""
        if watermark_ms is not None:
            self._state.stats.watermark_ms[topic, partition] = watermark_ms

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Note how many records are not read yet."""
        self._state.stats.lag[topic, partition] = records

    def missed(self, topic: str, partition: int, records: int) -> None:
        """Count records that were gone before they were read."""
        self._state.stats.records_missed[topic, partition] += records

    def cut(self, topic: str) -> None:
        """Count a dead letter or late record that was too large to be sent whole."""
        self._state.stats.records_truncated[topic] += 1

    def shortened(self, topic: str, series: Mapping[str, int]) -> None:
        """Count series with a dimension value that was too long."""
        for kpi, number in series.items():
            known = self._shortened.get((topic, kpi), 0)
            # A new life of the stage counts from nothing.
            self._state.stats.shortened_series[kpi] += number - known if number >= known else number
            self._shortened[topic, kpi] = number

    def missing_topics(self, topics: Sequence[str]) -> None:
        """Say which source topics are waited for."""
        if self._missing and not topics:
            log.info("all source topics are there")
        self._missing = tuple(topics)
        many = "topics do" if len(topics) > 1 else "topic does"
        reason = f"source {many} not exist yet: {', '.join(topics)}" if topics else None
        self.waiting(TOPICS, reason)

    def assigned(self, partitions: int) -> None:
        """The ingest has its share of the partitions."""
        self._flushed_at = time.monotonic() if partitions else None
        self.waiting(INGEST, None)

    def forget(self, topic: str, partition: int) -> None:
        """Drop the gauges of a partition that is not ours any more."""
        self._state.stats.lag.pop((topic, partition), None)
        self._state.stats.watermark_ms.pop((topic, partition), None)

    def forget_all(self) -> None:
        """Drop the gauges of all partitions."""
        self._flushed_at = None
        self._state.stats.lag.clear()
        self._state.stats.watermark_ms.clear()

    # ---- stage 2

    def held(self, partitions: frozenset[int] | None) -> None:
        """Note which state partitions are ready here."""
        self._state.leader = partitions is not None and 0 in partitions
        self._state.stats.frames_lag.clear()
        reason = "waiting for the group to share out the state" if partitions is None else None
        self.waiting(MERGE, reason)

    def frames_lag(self, partition: int, frames: int) -> None:
        """Note how many frames are not merged yet."""
        self._state.stats.frames_lag[partition] = frames

    def merging(self, frames: int, seconds: float) -> None:
        """Note that so many frames wait, or what they brought is not published, for so long."""
        reason = self._state.ready.get(MERGE)
        if not seconds:
            self._state.stats.last_merge_ms = time.time_ns() // 1_000_000
        if seconds < STALLED_SECONDS:
            if reason and reason.startswith(STALLED_MERGE):
                log.info("%s: results come out again", MERGE)
                self.waiting(MERGE, None)
            return
        told = f"{STALLED_MERGE}: for {seconds:.0f} s {frames} frames wait and no round was done"
        if not reason:
            log.error("%s: %s", MERGE, told)
        if not reason or reason.startswith(STALLED_MERGE):
            self._state.ready[MERGE] = told

    def frame_failed(self, partition: int, offset: int, error: Exception) -> None:
        """Count a frame that was passed over, and say so for a while."""
        self._state.stats.errors[MERGE] += 1
        self._failed_at = time.monotonic()
        self.waiting(
            MERGE,
            f"frame at offset {offset} of state partition {partition} was passed over: {error!r}; "
            "please report it",
        )

    def round(self, frames: int, rows: int, told: Sequence[Emitted], seconds: float) -> None:
        """Count a round of stage 2, and pass on what it told."""
        stats = self._state.stats
        stats.frames_applied += frames
        stats.late_partials += sum(one.late for one in told)
        stats.frames_ignored += sum(one.stale for one in told)
        stats.dropped_series.update(kpi for one in told for kpi in one.full)
        if told:
            stats.close_seconds.observe(seconds)
            self._on_told(told)
        if self._failed_at and time.monotonic() - self._failed_at > FAILURE_SHOWN_SECONDS:
            self._failed_at = None
            self.waiting(MERGE, None)

    def backfill(self, kpi: str, records: int, ratio: float) -> None:
        """Note how far the reading of a KPI's past has got."""
        stats = self._state.stats
        if records or ratio < 1:
            stats.backfill_records[kpi] = records
        stats.backfill_ratio[kpi] = ratio
