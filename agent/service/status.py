"""What the stages report of themselves, kept where the exports read it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from agent.core.fold.folder import FoldResult
from agent.core.model.results import Emitted, Transition
from agent.core.output.privacy import Privacy
from agent.export.agent_state import AgentState
from agent.kafka.board_topic import BoardWriter, alert_step
from agent.service.fleet_view import FleetView

log = logging.getLogger(__name__)

FAILURE_SHOWN_SECONDS = 300.0
SILENT_SECONDS = 5.0
STALLED_SECONDS = 60.0
"""How long a stage may have work and get nowhere until it is said: a rebalance, a slow broker and a
round over very many series are over by then."""

SILENT_BROKER = "the brokers have acknowledged nothing"
LATER_COMMIT = "another version of the agent committed last (docs/upgrading.md)"
STALLED_INGEST = "nothing was flushed"
STALLED_MERGE = "results do not come out"

INGEST, MERGE, TOPICS, BROKER, BOARD = "ingest", "merge", "topics", "broker", "board"
COMPONENTS = (BROKER, TOPICS, INGEST, MERGE, BOARD)
SCHEMAS = "schemas"
"""On /-/ready only while they are waited for: most agents need none."""


class StatusReporter:
    """What each component waits for. Owner of `AgentState.ready` and of the counts of errors."""

    def __init__(self, state: AgentState) -> None:
        self._state = state
        state.stats.errors.update(dict.fromkeys(COMPONENTS, 0))
        self.starting()

    def starting(self) -> None:
        """Nothing is ready yet."""
        for component in COMPONENTS:
            self._state.ready[component] = "starting"

    def reason(self, component: str) -> str:
        """What a component waits for; "": it is ready."""
        return self._state.ready.get(component) or ""

    def waiting(self, component: str, reason: str | None) -> None:
        """What a component waits for; None: it is ready. A new reason is logged once."""
        if reason and self._state.ready.get(component) != reason:
            level = logging.WARNING if component in (BROKER, TOPICS, SCHEMAS) else logging.INFO
            log.log(level, "%s: %s", component, reason)
        self._state.ready[component] = reason

    def stalled(self, component: str, stall: str, details: str) -> None:
        """A component that was ready gets nowhere; `stall` is what its reason begins with."""
        known = self.reason(component)
        if not known:
            log.error("%s: %s%s", component, stall, details)
        if not known or known.startswith(stall):
            self._state.ready[component] = f"{stall}{details}"

    def recovered(self, component: str, *stalls: str) -> None:
        """A component that said one of these works again."""
        if self.reason(component).startswith(stalls):
            log.info("%s: works again", component)
            self.waiting(component, None)

    def failed(self, component: str, reason: str) -> None:
        """Count an error, and say it on /-/ready."""
        self._state.stats.errors[component] += 1
        self._state.ready[component] = reason


class IngestReporter:
    """What stage 1 reports (`IngestProgress`)."""

    def __init__(self, state: AgentState, status: StatusReporter) -> None:
        self._stats = state.stats
        self._status = status
        self._missing: tuple[str, ...] = ()
        self._shortened: dict[tuple[str, str], int] = {}
        self._flushed_at: float | None = None  # None: no source partition is read here

    def check_flushes(self, flush_every_seconds: float) -> None:
        """Say so where source partitions are read here and nothing is flushed for long."""
        if self._flushed_at is None:
            return
        seconds = time.monotonic() - self._flushed_at
        if seconds > STALLED_SECONDS + flush_every_seconds:
            self._status.stalled(INGEST, STALLED_INGEST, f" for {seconds:.0f} s")

    def folded(self, topic: str, added: FoldResult, seconds: float) -> None:
        """Count a batch by outcome."""
        self._stats.fold_seconds.observe(seconds)
        for (outcome, contract, reason), number in added.counts.items():
            key = (topic, outcome.value, reason.value if reason else "", contract or "")
            self._stats.records[key] += number
        self._stats.late_rows.update(added.late_rows)
        for contract, counts in added.fields.items():
            for name, number in counts.nulls.items():
                self._stats.field_nulls[topic, contract, name] += number
            for name, number in counts.wrong_types.items():
                self._stats.field_wrong_types[topic, contract, name] += number
            for name, number in counts.failed_casts.items():
                self._stats.field_failed_casts[topic, contract, name] += number
            for name, number in counts.misses.items():
                self._stats.lookup_misses[topic, contract, name] += number

    def flushed(self, frames: int, seconds: float) -> None:
        """Count acknowledged frames."""
        self._stats.frames_sent += frames
        self._stats.flush_seconds.observe(seconds)
        self._flushed_at = time.monotonic()
        self._status.recovered(INGEST, SILENT_BROKER, STALLED_INGEST)

    def unacknowledged(self, seconds: float) -> None:
        """Say that the broker is silent, once that is no hiccup."""
        if seconds > SILENT_SECONDS:
            self._status.stalled(INGEST, SILENT_BROKER, f" for {seconds:.0f} s")

    def watermark(self, topic: str, partition: int, watermark_ms: int | None) -> None:
        """Note how far event time has got."""
        if watermark_ms is not None:
            self._stats.watermark_ms[topic, partition] = watermark_ms

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Note how many records are not read yet."""
        self._stats.lag[topic, partition] = records

    def missed(self, topic: str, partition: int, records: int) -> None:
        """Count records that were gone before they were read."""
        self._stats.records_missed[topic, partition] += records
        if records:
            self._stats.records_missed_ms = time.time_ns() // 1_000_000

    def cut(self, topic: str) -> None:
        """Count a dead letter or late record that was too large to be sent whole."""
        self._stats.records_truncated[topic] += 1

    def shortened(self, topic: str, series: Mapping[str, int]) -> None:
        """Count series with a dimension value that was too long."""
        for kpi, number in series.items():
            known = self._shortened.get((topic, kpi), 0)
            # Another run of the stage counts from nothing.
            self._stats.shortened_series[kpi] += number - known if number >= known else number
            self._shortened[topic, kpi] = number

    def source_topics(self, topics: Sequence[str], missing: Sequence[str]) -> None:
        """Note which source topics there are, and say which are waited for."""
        self._stats.source_topics = tuple(topics)
        if self._missing and not missing:
            log.info("all source topics are there")
        self._missing = tuple(missing)
        many = "topics do" if len(missing) > 1 else "topic does"
        reason = f"source {many} not exist yet: {', '.join(missing)}" if missing else None
        self._status.waiting(TOPICS, reason)

    def schemas(self, reason: str | None) -> None:
        """Say why the schemas that records name are waited for."""
        if reason or self._status.reason(SCHEMAS):
            self._status.waiting(SCHEMAS, reason)

    def assigned(self, partitions: int, paused: Sequence[tuple[str, int]] = ()) -> None:
        """The ingest has its share of the partitions; of `paused` it reads nothing."""
        self._flushed_at = time.monotonic() if partitions else None
        self._stats.paused_partitions = len(paused)
        names = ", ".join(f"{topic} {partition}" for topic, partition in paused)
        reason = f"{LATER_COMMIT}: source partitions not read: {names}" if paused else None
        self._status.waiting(INGEST, reason)

    def forget(self, topic: str, partition: int) -> None:
        """Drop the gauges of a partition that is not ours any more."""
        self._stats.lag.pop((topic, partition), None)
        self._stats.watermark_ms.pop((topic, partition), None)

    def forget_all(self) -> None:
        """Drop the gauges of all partitions."""
        self._flushed_at = None
        self._stats.paused_partitions = 0
        self._stats.lag.clear()
        self._stats.watermark_ms.clear()


class MergeReporter:
    """What one run of stage 2 reports (`MergeProgress`); what it published goes on to the board and
    to the alerts that are sent from here."""

    def __init__(
        self,
        state: AgentState,
        status: StatusReporter,
        fleet: FleetView,
        board: BoardWriter,
        privacy: Privacy,
    ) -> None:
        self._state = state
        self._stats = state.stats
        self._status = status
        self._fleet = fleet
        self._board = board
        self._privacy = privacy
        self._plan = state.plan
        self._failed_at: float | None = None

    def held(self, partitions: frozenset[int] | None) -> None:
        """Note which state partitions are ready here."""
        self._state.leader = partitions is not None and 0 in partitions
        self._stats.frames_lag.clear()
        reason = "waiting for the group to share out the state" if partitions is None else None
        self._status.waiting(MERGE, reason)

    def restored(self, alerts: Sequence[Transition]) -> None:
        """Pass on which alerts stand here, to those that are sent from here."""
        steps = (alert_step(self._plan, step, self._privacy) for step in alerts)
        self._fleet.restored(dict(steps))

    def frames_lag(self, partition: int, frames: int) -> None:
        """Note how many frames are not merged yet."""
        self._stats.frames_lag[partition] = frames

    def missed(self, topic: str, partition: int, records: int) -> None:
        """Count frames that were gone before they were merged."""
        self._stats.records_missed[topic, partition] += records
        if records:
            self._stats.records_missed_ms = time.time_ns() // 1_000_000

    def merging(self, frames: int, seconds: float) -> None:
        """Note that so many frames wait, or what they brought is not published, for so long."""
        if not seconds:
            self._stats.last_merge_ms = time.time_ns() // 1_000_000
        if seconds < STALLED_SECONDS:
            self._status.recovered(MERGE, STALLED_MERGE)
        else:
            details = f": for {seconds:.0f} s {frames} frames wait and no round was done"
            self._status.stalled(MERGE, STALLED_MERGE, details)

    def frame_failed(self, partition: int, offset: int, error: Exception) -> None:
        """Count a frame that was skipped, and say so for a while."""
        self._failed_at = time.monotonic()
        self._status.failed(
            MERGE,
            f"the frame at offset {offset} of state partition {partition} was skipped: {error!r}; "
            "please report it",
        )

    def round(self, frames: int, rows: int, published: Sequence[Emitted], seconds: float) -> None:
        """Count a round of stage 2, and pass on what it published."""
        stats = self._stats
        stats.frames_applied += frames
        stats.late_partials += sum(one.late for one in published)
        stats.frames_ignored += sum(one.stale for one in published)
        stats.dropped_series.update(kpi for one in published for kpi in one.full)
        if published:
            stats.close_seconds.observe(seconds)
            transitions = [step for one in published for step in one.transitions]
            steps = dict(alert_step(self._plan, step, self._privacy) for step in transitions)
            self._fleet.emitted(steps)
            self._board.note_alerts({key: row for key, (_, row) in steps.items()})
        if self._failed_at and time.monotonic() - self._failed_at > FAILURE_SHOWN_SECONDS:
            self._failed_at = None
            self._status.waiting(MERGE, None)

    def backfill(self, kpi: str, records: int, ratio: float) -> None:
        """Note how far the reading of a KPI's past has got."""
        if records or ratio < 1:
            self._stats.backfill_records[kpi] = records
        self._stats.backfill_ratio[kpi] = ratio
