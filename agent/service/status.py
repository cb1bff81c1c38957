"""The status of the stages, as they report it: for /-/ready, metrics, the log and the board."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from agent import clock
from agent.core.fold.folder import FoldResult
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, Transition
from agent.core.output.privacy import Privacy
from agent.export.metrics.agent_metrics import AgentMetrics
from agent.kafka.board_topic import BoardWriter, alert_update
from agent.service.fleet_view import FleetView

log = logging.getLogger(__name__)

FAILURE_SHOWN_SECONDS = 300.0
SILENT_SECONDS = 5.0
STALLED_SECONDS = 60.0
"""How long a stage may have work without progress until it is reported: longer than a rebalance, a
slow broker or a round over very many series takes."""

SILENT_BROKER = "the brokers have acknowledged nothing"
LATER_COMMIT = "another version of the agent committed last (docs/upgrading.md)"
STALLED_INGEST = "nothing was flushed"
STALLED_MERGE = "results do not come out"

INGEST, MERGE, TOPICS, BROKER, BOARD = "ingest", "merge", "topics", "broker", "board"
COMPONENTS = (BROKER, TOPICS, INGEST, MERGE, BOARD)
REMOTE_WRITE = "remote-write"
"""Not on /-/ready: a worker does its work without it."""
SCHEMAS = "schemas"
"""On /-/ready only while they are waited for: most agents need none."""


class StatusReporter:
    """What each component waits for (`ready`), and how many errors it had."""

    def __init__(self, metrics: AgentMetrics) -> None:
        self.ready: dict[str, str | None] = {}
        self._errors = metrics.errors
        for component in COMPONENTS:
            self._errors.labels(component)
        self.starting()

    def starting(self) -> None:
        """Nothing is ready yet."""
        for component in COMPONENTS:
            self.ready[component] = "starting"

    def reason(self, component: str) -> str:
        """What a component waits for; "": it is ready."""
        return self.ready.get(component) or ""

    def waiting(self, component: str, reason: str | None) -> None:
        """What a component waits for; None: it is ready. A new reason is logged once."""
        if reason and self.ready.get(component) != reason:
            level = logging.WARNING if component in (BROKER, TOPICS, SCHEMAS) else logging.INFO
            log.log(level, "%s: %s", component, reason)
        self.ready[component] = reason

    def stalled(self, component: str, stall: str, details: str) -> None:
        """A component that was ready makes no progress; its reason is `stall` and the details."""
        known = self.reason(component)
        if not known:
            log.error("%s: %s%s", component, stall, details)
        if not known or known.startswith(stall):
            self.ready[component] = f"{stall}{details}"

    def recovered(self, component: str, *stalls: str) -> None:
        """A component that had one of these reasons works again."""
        if self.reason(component).startswith(stalls):
            log.info("%s: works again", component)
            self.waiting(component, None)

    def failed(self, component: str, reason: str) -> None:
        """Count an error, and report it on /-/ready."""
        self._errors.labels(component).inc()
        self.ready[component] = reason


class IngestReporter:
    """Receives the reports of stage 1 (`IngestProgress`)."""

    def __init__(self, plan: Plan, metrics: AgentMetrics, status: StatusReporter) -> None:
        self._plan = plan
        self._metrics = metrics
        self._status = status
        self._missing: tuple[str, ...] = ()
        self._shortened: dict[tuple[str, str], int] = {}
        self._flushed_at: float | None = None  # None: no source partition is read here

    def check_flushes(self, flush_every_seconds: float) -> None:
        """Report a stall if source partitions are read here and nothing was flushed for long."""
        if self._flushed_at is None:
            return
        seconds = time.monotonic() - self._flushed_at
        if seconds > STALLED_SECONDS + flush_every_seconds:
            self._status.stalled(INGEST, STALLED_INGEST, f" for {seconds:.0f} s")

    def folded(self, topic: str, added: FoldResult, seconds: float) -> None:
        """Count a batch by outcome."""
        metrics = self._metrics
        metrics.fold_seconds.observe(seconds)
        for (outcome, contract, reason), number in added.counts.items():
            key = (topic, outcome.value, reason.value if reason else "", contract or "")
            metrics.records.labels(*key).inc(number)
        records: Counter[str] = Counter()
        for (_, contract, _), number in added.counts.items():
            records[contract or ""] += number
        rejects = (reject for _, reject in added.rejects)
        metrics.arrivals.note(topic, records, rejects, clock.now_ms())
        for kpi, number in added.late_rows.items():
            metrics.late_rows.labels(kpi).inc(number)
        for contract, counts in added.fields.items():
            for counter, numbers in (
                (metrics.field_nulls, counts.nulls),
                (metrics.field_wrong_types, counts.wrong_types),
                (metrics.field_failed_casts, counts.failed_casts),
                (metrics.lookup_misses, counts.misses),
            ):
                for name, number in numbers.items():
                    counter.labels(topic, contract, name).inc(number)

    def flushed(self, frames: int, seconds: float) -> None:
        """Count acknowledged frames."""
        self._metrics.frames_sent.inc(frames)
        self._metrics.flush_seconds.observe(seconds)
        self._flushed_at = time.monotonic()
        self._status.recovered(INGEST, SILENT_BROKER, STALLED_INGEST)

    def unacknowledged(self, seconds: float) -> None:
        """Report that the broker has not acknowledged anything for longer than SILENT_SECONDS."""
        if seconds > SILENT_SECONDS:
            self._status.stalled(INGEST, SILENT_BROKER, f" for {seconds:.0f} s")

    def watermark(self, topic: str, partition: int, watermark_ms: int | None) -> None:
        """Set the watermark of a source partition."""
        if watermark_ms is not None:
            self._metrics.watermark.labels(topic, str(partition)).set(watermark_ms / 1000)

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Set how many records of a source partition are not read yet."""
        self._metrics.lag.labels(topic, str(partition)).set(records)

    def missed(self, topic: str, partition: int, records: int) -> None:
        """Count records that were deleted before they were read."""
        self._metrics.note_missed(topic, partition, records, clock.now_ms())

    def cut(self, topic: str) -> None:
        """Count a dead letter or late record that was too large to be sent whole."""
        self._metrics.records_truncated.labels(topic).inc()

    def shortened(self, topic: str, series: Mapping[str, int]) -> None:
        """Count series with a dimension value that was too long."""
        for kpi, number in series.items():
            known = self._shortened.get((topic, kpi), 0)
            # After a restart, the stage counts from zero.
            added = number - known if number >= known else number
            self._metrics.shortened_series.labels(kpi).inc(added)
            self._shortened[topic, kpi] = number

    def source_topics(self, topics: Sequence[str], missing: Sequence[str]) -> None:
        """Set the source topics, and report those that do not exist yet."""
        self._metrics.declare_source_topics(self._plan, topics)
        if self._missing and not missing:
            log.info("all source topics exist")
        self._missing = tuple(missing)
        many = "topics do" if len(missing) > 1 else "topic does"
        reason = f"source {many} not exist yet: {', '.join(missing)}" if missing else None
        self._status.waiting(TOPICS, reason)

    def schemas(self, reason: str | None) -> None:
        """Report why the schemas of records can't be fetched; None: they can."""
        if reason or self._status.reason(SCHEMAS):
            self._status.waiting(SCHEMAS, reason)

    def lookups(self, unreadable: Mapping[str, int]) -> None:
        """Set the number of record keys without a readable row, by lookup."""
        for lookup, keys in unreadable.items():
            self._metrics.lookup_unreadable_keys.labels(lookup).set(keys)

    def assigned(self, partitions: int, paused: Sequence[tuple[str, int]] = ()) -> None:
        """Set the number of source partitions that are read, and those in `paused` as not ready."""
        self._flushed_at = time.monotonic() if partitions else None
        self._metrics.paused_partitions.set(len(paused))
        names = ", ".join(f"{topic} {partition}" for topic, partition in paused)
        reason = f"{LATER_COMMIT}: source partitions not read: {names}" if paused else None
        self._status.waiting(INGEST, reason)

    def forget(self, topic: str, partition: int) -> None:
        """Drop the gauges of a partition that is not ours any more."""
        for gauge in (self._metrics.lag, self._metrics.watermark):
            gauge.remove(topic, str(partition))

    def forget_all(self) -> None:
        """Drop the gauges of all partitions."""
        self._flushed_at = None
        self._metrics.paused_partitions.set(0)
        self._metrics.lag.clear()
        self._metrics.watermark.clear()


class MergeReporter:
    """Receives the reports of one run of stage 2 (`MergeProgress`), and passes on what it
    published: to the board, and to the alerts for Alertmanager."""

    def __init__(
        self,
        plan: Plan,
        metrics: AgentMetrics,
        status: StatusReporter,
        fleet: FleetView,
        board: BoardWriter,
        privacy: Privacy,
    ) -> None:
        self._plan = plan
        self._metrics = metrics
        self._status = status
        self._fleet = fleet
        self._board = board
        self._privacy = privacy
        self._failed_at: float | None = None

    def held(self, partitions: frozenset[int] | None) -> None:
        """Report whether the group has assigned state partitions (None: not yet)."""
        self._metrics.frames_lag.clear()
        reason = "waiting for the group to share out the state" if partitions is None else None
        self._status.waiting(MERGE, reason)

    def restored(self, alerts: Sequence[Transition]) -> None:
        """Pass the alerts of the restored state partitions on, for delivery to Alertmanager."""
        updates = (alert_update(self._plan, alert, self._privacy) for alert in alerts)
        self._fleet.restored(dict(updates))

    def frames_lag(self, partition: int, frames: int) -> None:
        """Set how many frames of a state partition are not merged yet."""
        self._metrics.frames_lag.labels(str(partition)).set(frames)

    def missed(self, topic: str, partition: int, records: int) -> None:
        """Count frames that were deleted before they were merged."""
        self._metrics.note_missed(topic, partition, records, clock.now_ms())

    def merging(self, frames: int, seconds: float) -> None:
        """Report a stall if frames have not been merged and published for STALLED_SECONDS."""
        if not seconds:
            self._metrics.last_merge.set_to_current_time()
        if seconds < STALLED_SECONDS:
            self._status.recovered(MERGE, STALLED_MERGE)
        else:
            details = f": for {seconds:.0f} s {frames} frames wait and no round was done"
            self._status.stalled(MERGE, STALLED_MERGE, details)

    def frame_failed(self, partition: int, offset: int, error: Exception) -> None:
        """Count a frame that was skipped, and report it for FAILURE_SHOWN_SECONDS."""
        self._failed_at = time.monotonic()
        self._status.failed(
            MERGE,
            f"the frame at offset {offset} of state partition {partition} was skipped: {error!r}; "
            "please report it",
        )

    def round(self, frames: int, rows: int, published: Sequence[Emitted], seconds: float) -> None:
        """Count a round of stage 2, and pass on what it published."""
        metrics = self._metrics
        metrics.frames_applied.inc(frames)
        metrics.late_partials.inc(sum(emitted.late for emitted in published))
        metrics.frames_ignored.inc(sum(emitted.stale for emitted in published))
        for kpi in (kpi for emitted in published for kpi in emitted.full):
            metrics.dropped_series.labels(kpi).inc()
        if published:
            metrics.close_seconds.observe(seconds)
            transitions = [t for emitted in published for t in emitted.transitions]
            updates = dict(alert_update(self._plan, t, self._privacy) for t in transitions)
            self._fleet.emitted(updates)
            self._board.note_alerts({key: row for key, (_, row) in updates.items()})
        if self._failed_at and time.monotonic() - self._failed_at > FAILURE_SHOWN_SECONDS:
            self._failed_at = None
            self._status.waiting(MERGE, None)

    def backfill(self, kpi: str, records: int, ratio: float) -> None:
        """Set how many records a KPI's backfill has read, and the share of it that is done."""
        of_kpi = self._metrics.backfill_records.labels(kpi)
        if records or ratio < 1:
            of_kpi.set(records)
        self._metrics.backfill_ratio.labels(kpi).set(ratio)
