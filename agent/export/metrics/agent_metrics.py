"""The agent's own metrics, `kpi_agent_*`: prometheus_client's objects in one registry.

Components are given the `AgentMetrics` of their agent, and count there.
Every counter exists from the start, at zero, with all labels that it can have: `increase()` does
not see the first sample of a new series.
"""

from __future__ import annotations

from collections import Counter as Numbers
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from agent.core.model import metrics
from agent.core.model.event_counts import EventCounts, RecordCounts
from agent.core.model.plan import Plan
from agent.core.model.results import Outcome, Reason
from agent.export.arrivals import Arrivals

RecordKey = tuple[str, str, str, str]

BUCKETS_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)  # fmt: skip
"""The upper bounds of the duration histograms: from a small fold to a stall that people notice."""


class AgentRegistry(CollectorRegistry):
    """A registry without `_created` series, and without families that have no sample yet."""

    def collect(self) -> Iterator[Metric]:
        """The families to be exported."""
        for family in super().collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            if family.samples:
                yield family


class AgentMetrics:
    """The metrics of one agent. Counters only ever grow while the process lives; the gauges of a
    partition are removed by the stage that loses it."""

    def __init__(self) -> None:
        self.registry = registry = AgentRegistry()
        ProcessCollector(registry=registry)
        self.missed_at_ms: int | None = None
        """When records were last noticed to be missing, wall clock."""
        self.arrivals = Arrivals()

        def counter(name: str, about: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(name, about, labels, registry=registry)

        def gauge(name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(name, about, labels, registry=registry)

        def seconds(name: str, about: str) -> Histogram:
            return Histogram(name, about, buckets=BUCKETS_SECONDS, registry=registry)

        self.build_info = gauge(
            metrics.BUILD_INFO,
            "The agent's version and the rules it runs; always 1.",
            labels=["version", "config_hash", "python", "group"],
        )
        self.start = gauge(metrics.START, "When the agent started.")
        self.leader = gauge(metrics.LEADER, "1 on the worker that exports objectives.")
        self.series = gauge(metrics.SERIES, "KPI series that this worker holds.")
        self.ready = gauge(metrics.READY, "1 when the component is ready.", labels=["component"])

        self.records = counter(
            metrics.RECORDS,
            "Consumed records by outcome; every record has exactly one.",
            labels=["topic", "outcome", "reason", "contract"],
        )
        self.source_topics: tuple[str, ...] = ()  # those that exist
        self.field_nulls = counter(
            metrics.FIELD_NULLS,
            "Events of a contract in which an optional field is null.",
            labels=["topic", "contract", "field"],
        )
        self.field_wrong_types = counter(
            metrics.FIELD_WRONG_TYPES,
            "Events in which an optional field is null because its value has another type.",
            labels=["topic", "contract", "field"],
        )
        self.field_failed_casts = counter(
            metrics.FIELD_FAILED_CASTS,
            "Events in which a cast of the field in a KPI's SQL failed and gave null.",
            labels=["topic", "contract", "field"],
        )
        self.lookup_misses = counter(
            metrics.LOOKUP_MISSES,
            "Events of a contract whose key has no row in a lookup.",
            labels=["topic", "contract", "lookup"],
        )
        self.lookup_unreadable_keys = gauge(
            metrics.LOOKUP_UNREADABLE_KEYS,
            "Keys of a lookup topic without a row because their last record can't be read.",
            labels=["lookup"],
        )
        self.lag = gauge(metrics.LAG, "Records not read yet.", labels=["topic", "partition"])
        self.paused_partitions = gauge(
            metrics.PAUSED_PARTITIONS,
            "Source partitions not read because another version of the agent committed them.",
        )
        self.records_missed = counter(
            metrics.RECORDS_MISSED,
            "Upper bound of the records (and frames) that were deleted before they were read.",
            labels=["topic", "partition"],
        )
        self.records_truncated = counter(
            metrics.RECORDS_TRUNCATED,
            "Dead letters and late records that were truncated, by their topic.",
            labels=["topic"],
        )
        self.watermark = gauge(
            metrics.WATERMARK, "The newest event time.", labels=["topic", "partition"]
        )

        self.fold_seconds = seconds(metrics.FOLD_SECONDS, "Decoding and folding a batch.")
        self.flush_seconds = seconds(
            metrics.FLUSH_SECONDS, "From the start of a flush until its frames are acknowledged."
        )
        self.close_seconds = seconds(
            metrics.CLOSE_SECONDS,
            "From a frame's arrival until the windows that it closed are published.",
        )
        self.frames_lag = gauge(
            metrics.FRAMES_LAG, "Frames not merged yet.", labels=["state_partition"]
        )
        self.last_merge = gauge(
            metrics.LAST_MERGE,
            "When frames were last merged and their results published, or none were waiting.",
        )
        self.frames_sent = counter(metrics.FRAMES_SENT, "Frames sent.")
        self.frames_applied = counter(metrics.FRAMES_APPLIED, "Frames merged.")
        self.frames_ignored = counter(
            metrics.FRAMES_IGNORED, "Frames that cover less than one merged before."
        )
        self.late_partials = counter(
            metrics.LATE_PARTIALS, "Partial aggregates that arrived after their windows closed."
        )
        self.table_rows = gauge(metrics.TABLE_ROWS, "Rows of state that this worker holds.")
        self.late_rows = counter(
            metrics.LATE_ROWS,
            "Events that were late for a window of the KPI; they may count in other KPIs.",
            labels=["kpi"],
        )
        self.shortened_series = counter(
            metrics.SHORTENED_SERIES,
            "New series with a dimension value that was truncated.",
            labels=["kpi"],
        )
        self.dropped_series = counter(
            metrics.DROPPED_SERIES,
            "Series folded into __other__ because the KPI reached max_series.",
            labels=["kpi"],
        )
        self.backfill_records = gauge(
            metrics.BACKFILL_RECORDS,
            "Records that the KPI's backfill has read on this worker.",
            labels=["kpi"],
        )
        self.backfill_ratio = gauge(
            metrics.BACKFILL_RATIO,
            "Progress of the KPI's backfill; 1 when complete.",
            labels=["kpi"],
        )

        self.reloads = counter(
            metrics.RELOADS, "Reloads of the rules by result.", labels=["result"]
        )
        for result in ("ok", "failed"):
            self.reloads.labels(result)
        self.last_reload = gauge(metrics.LAST_RELOAD, "When the rules in use were loaded.")
        self.errors = counter(metrics.ERRORS, "Exceptions that were caught.", labels=["component"])

    def declare(self, plan: Plan) -> None:
        """Create every series of the declared topics and KPIs, starting at zero, and remove the
        backfill series of undeclared KPIs."""
        self._declare_topics(plan, plan.topics)
        for kpi in plan.kpis:
            for of_kpis in (self.late_rows, self.shortened_series, self.dropped_series):
                of_kpis.labels(kpi)
        for of_backfills in (self.backfill_records, self.backfill_ratio):
            for sample in list(samples(of_backfills)):
                if sample.labels["kpi"] not in plan.kpis:
                    of_backfills.remove(sample.labels["kpi"])

    def declare_source_topics(self, plan: Plan, topics: Sequence[str]) -> None:
        """Create every series of the topics that are read, including matches of patterns."""
        self.source_topics = tuple(topics)
        self._declare_topics(plan, topics)

    def _declare_topics(self, plan: Plan, topics: Sequence[str]) -> None:
        for key in record_keys(plan, topics):
            self.records.labels(*key)
        of_fields = (self.field_nulls, self.field_wrong_types, self.field_failed_casts)
        for topic, contract in ((t, c) for t in topics for c in plan.contracts_of(t)):
            for field, counter in product(contract.fields, of_fields):
                counter.labels(topic, contract.name, field.name)
            for lookup in contract.lookups:
                self.lookup_misses.labels(topic, contract.name, lookup.lookup)

    def note_missed(self, topic: str, partition: int, records: int, now_ms: int) -> None:
        """Count records (or frames) that were deleted before they were read."""
        self.records_missed.labels(topic, str(partition)).inc(records)
        if records:
            self.missed_at_ms = now_ms

    def record_counts(self, now_ms: int) -> RecordCounts:
        """What this worker has counted of each event since it started. `now_ms` is wall clock."""
        outcomes: defaultdict[str, Numbers[str]] = defaultdict(Numbers)
        reasons: defaultdict[str, Numbers[str]] = defaultdict(Numbers)
        unread: defaultdict[str, Numbers[str]] = defaultdict(Numbers)
        for sample in samples(self.records):
            if not sample.value:
                continue
            event, outcome = sample.labels["contract"], sample.labels["outcome"]
            reason, records = sample.labels["reason"], int(sample.value)
            if not event:
                unread[sample.labels["topic"]][reason or outcome] += records
                continue
            outcomes[event][outcome] += records
            if reason:
                reasons[event][reason] += records
        rate, last_rejected = self.arrivals.per_minute, self.arrivals.last_rejected
        events = {
            name: EventCounts(rate(name, now_ms), counts, reasons[name], last_rejected(name))
            for name, counts in outcomes.items()
        }
        return RecordCounts(events, unread)


def samples(metric: Collector) -> Iterator[Sample]:
    """The samples of a metric, for use inside the agent."""
    for family in metric.collect():
        yield from (sample for sample in family.samples if not sample.name.endswith("_created"))


def record_keys(plan: Plan, topics: Iterable[str]) -> Iterator[RecordKey]:
    """The labels of `kpi_agent_records_total` that records of topics can have: topic, outcome,
    reason, contract."""
    for topic in topics:
        contracts = [c.name for c in plan.contracts_of(topic)]
        for outcome in (Outcome.EMPTY, Outcome.IGNORED):
            yield topic, outcome.value, "", ""
        for contract in contracts:
            for outcome in (Outcome.FOLDED, Outcome.LATE, Outcome.DUPLICATE):
                yield topic, outcome.value, "", contract
        for reason in Reason:
            for contract in ("", *contracts):
                yield topic, Outcome.REJECTED.value, reason.value, contract
