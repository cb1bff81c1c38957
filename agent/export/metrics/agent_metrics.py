"""The agent's own metrics, `kpi_agent_*`, from its `Stats` through prometheus_client.

Every counter is there from the start, at zero, with all labels that it can have: an increase from
nothing to one would be seen by no rule.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.core.model import metrics
from agent.core.model.plan import Plan
from agent.core.model.results import Outcome, Reason
from agent.export.agent_state import AgentState

RecordKey = tuple[str, str, str, str]


class AgentCollector(Collector):
    """The `kpi_agent_*` metrics of one agent."""

    def __init__(self, state: AgentState) -> None:
        self._state = state
        self._zeros_of: tuple[Plan, tuple[str, ...]] | None = None
        self._zeros: dict[RecordKey, int] = {}

    def describe(self) -> list[Metric]:
        """Nothing: names are ours alone, and describing must not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families; those without a sample yet are left out."""
        parts = (
            self._about(), self._records(), self._stages(), self._backfills(), self._reloads(),
            self._delivery(),
        )  # fmt: skip
        for family in chain.from_iterable(parts):
            if family.samples:
                yield family

    def _about(self) -> Iterator[Metric]:
        state = self._state
        info = GaugeMetricFamily(
            metrics.BUILD_INFO,
            "The agent's version and the rules it runs; always 1.",
            labels=["version", "config_hash", "python", "group"],
        )
        python = platform.python_version()
        info.add_metric([state.version, state.plan.config_hash, python, state.group], 1)
        yield info
        yield _gauge(metrics.START, "When it started.", state.started_at_ms / 1000)
        yield _gauge(metrics.LEADER, "1 at the worker that exports objectives.", state.leader)
        yield _gauge(metrics.SERIES, "KPI series that this worker holds.", len(state.views()))
        ready = GaugeMetricFamily(
            metrics.READY, "1 when the component is ready.", labels=["component"]
        )
        for component, reason in sorted(state.ready.items()):
            ready.add_metric([component], int(reason is None))
        yield ready

    def _records(self) -> Iterator[Metric]:
        stats = self._state.stats
        records = CounterMetricFamily(
            metrics.RECORDS,
            "Consumed records by what became of them; every record has one outcome.",
            labels=["topic", "outcome", "reason", "contract"],
        )
        for key, count in sorted({**self._zero_records(), **stats.records}.items()):
            records.add_metric(key, count)
        yield records
        yield from self._fields()
        lag = GaugeMetricFamily(metrics.LAG, "Records not read yet.", labels=["topic", "partition"])
        for (topic, partition), behind in sorted(stats.lag.items()):
            lag.add_metric([topic, str(partition)], behind)
        yield lag
        yield _gauge(
            metrics.PAUSED_PARTITIONS,
            "Source partitions that this worker does not read: another version committed them.",
            stats.paused_partitions,
        )
        missed = CounterMetricFamily(
            metrics.RECORDS_MISSED,
            "Records (and frames) that were gone before they were read, at most.",
            labels=["topic", "partition"],
        )
        for (topic, partition), count in sorted(stats.records_missed.items()):
            missed.add_metric([topic, str(partition)], count)
        yield missed
        truncated = CounterMetricFamily(
            metrics.RECORDS_TRUNCATED,
            "Dead letters and late records that were too large to be sent whole, by their topic.",
            labels=["topic"],
        )
        for topic, count in sorted(stats.records_truncated.items()):
            truncated.add_metric([topic], count)
        yield truncated
        watermark = GaugeMetricFamily(
            metrics.WATERMARK,
            "How far event time has got.",
            labels=["topic", "partition"],
        )
        for (topic, partition), at_ms in sorted(stats.watermark_ms.items()):
            watermark.add_metric([topic, str(partition)], at_ms / 1000)
        yield watermark

    def _zero_records(self) -> Mapping[RecordKey, int]:
        """Every outcome that a record of the declared topics can have, at zero: an increase from
        nothing to one would be seen by no rule."""
        plan, topics = self._state.plan, self._topics()
        if self._zeros_of is None or self._zeros_of[0] is not plan or self._zeros_of[1] != topics:
            self._zeros_of = plan, topics
            self._zeros = dict.fromkeys(record_keys(plan, topics), 0)
        return self._zeros

    def _topics(self) -> tuple[str, ...]:
        """The topics that are named, and those that are read because they match a pattern."""
        return tuple(sorted({*self._state.plan.topics, *self._state.stats.source_topics}))

    def _stages(self) -> Iterator[Metric]:
        stats = self._state.stats
        for histogram in (stats.fold_seconds, stats.flush_seconds, stats.close_seconds):
            yield from histogram.collect()
        waiting = GaugeMetricFamily(
            metrics.FRAMES_LAG, "Frames not merged yet.", labels=["state_partition"]
        )
        for partition, behind in sorted(stats.frames_lag.items()):
            waiting.add_metric([str(partition)], behind)
        yield waiting
        yield _gauge(
            metrics.LAST_MERGE,
            "When frames were last merged and their results published, or none waited.",
            stats.last_merge_ms / 1000,
        )
        yield _counter(metrics.FRAMES_SENT, "Frames sent.", stats.frames_sent)
        yield _counter(metrics.FRAMES_APPLIED, "Frames merged.", stats.frames_applied)
        yield _counter(
            metrics.FRAMES_IGNORED,
            "Frames that cover less than one merged before.",
            stats.frames_ignored,
        )
        yield _counter(
            metrics.LATE_PARTIALS,
            "Partial aggregates that came after their slice was sealed.",
            stats.late_partials,
        )
        yield _gauge(
            metrics.TABLE_ROWS,
            "Rows of state that this worker holds.",
            len(self._state.views()),
        )
        late = CounterMetricFamily(
            metrics.LATE_ROWS,
            "Events that came too late for a window of the KPI; they may count in other KPIs.",
            labels=["kpi"],
        )
        zeros = dict.fromkeys(self._state.plan.kpis, 0)
        for kpi, count in sorted({**zeros, **stats.late_rows}.items()):
            late.add_metric([kpi], count)
        yield late
        shortened = CounterMetricFamily(
            metrics.SHORTENED_SERIES,
            "New series with a dimension value that was too long and was cut.",
            labels=["kpi"],
        )
        for kpi, count in sorted({**zeros, **stats.shortened_series}.items()):
            shortened.add_metric([kpi], count)
        yield shortened
        dropped = CounterMetricFamily(
            metrics.DROPPED_SERIES,
            "Series folded into __other__ because their KPI has max_series.",
            labels=["kpi"],
        )
        for kpi, count in sorted({**zeros, **stats.dropped_series}.items()):
            dropped.add_metric([kpi], count)
        yield dropped

    def _fields(self) -> Iterator[Metric]:
        """From the start for every field, so that the first wrong type is an increase."""
        stats = self._state.stats
        contracts = [(t, c) for t in self._topics() for c in self._state.plan.contracts_of(t)]
        keys = [(topic, c.name, f.name) for topic, c in contracts for f in c.fields]
        for name, about, counts in (
            (
                metrics.FIELD_NULLS,
                "Events of a contract in which an optional field is null.",
                stats.field_nulls,
            ),
            (
                metrics.FIELD_WRONG_TYPES,
                "Those in which it is null because its value has another type.",
                stats.field_wrong_types,
            ),
            (
                metrics.FIELD_FAILED_CASTS,
                "Events in which a cast of the field in the SQL of some KPI gave no value.",
                stats.field_failed_casts,
            ),
        ):
            family = CounterMetricFamily(name, about, labels=["topic", "contract", "field"])
            for key in sorted(keys):
                family.add_metric(key, counts[key])
            yield family
        misses = CounterMetricFamily(
            metrics.LOOKUP_MISSES,
            "Events of a contract whose key has no row in a lookup.",
            labels=["topic", "contract", "lookup"],
        )
        for key in sorted({(t, c.name, f.lookup) for t, c in contracts for f in c.lookups}):
            misses.add_metric(key, stats.lookup_misses[key])
        yield misses

    def _backfills(self) -> Iterator[Metric]:
        stats = self._state.stats
        records = GaugeMetricFamily(
            metrics.BACKFILL_RECORDS,
            "Records of a KPI's past that its backfill has read here.",
            labels=["kpi"],
        )
        ratio = GaugeMetricFamily(
            metrics.BACKFILL_RATIO,
            "How much of a KPI's past is read; 1 once the KPI goes on from there.",
            labels=["kpi"],
        )
        for kpi in sorted(self._state.plan.kpis.keys() & stats.backfill_ratio.keys()):
            records.add_metric([kpi], stats.backfill_records.get(kpi, 0))
            ratio.add_metric([kpi], stats.backfill_ratio[kpi])
        yield records
        yield ratio

    def _reloads(self) -> Iterator[Metric]:
        stats = self._state.stats
        reloads = CounterMetricFamily(
            metrics.RELOADS, "Reloads of the rules by result.", labels=["result"]
        )
        reloads.add_metric(["ok"], stats.reloads_ok)
        reloads.add_metric(["failed"], stats.reloads_failed)
        yield reloads
        if stats.last_reload_ms is not None:
            yield _gauge(
                metrics.LAST_RELOAD,
                "When the rules in use were loaded.",
                stats.last_reload_ms / 1000,
            )
        errors = CounterMetricFamily(
            metrics.ERRORS, "Exceptions caught and survived.", labels=["component"]
        )
        for component, count in sorted(stats.errors.items()):
            errors.add_metric([component], count)
        yield errors

    def _delivery(self) -> Iterator[Metric]:
        stats = self._state.stats
        for name, about, counts in (
            (
                metrics.ALERTS_DELIVERED,
                "Alerts that an Alertmanager has acknowledged.",
                stats.alerts_delivered,
            ),
            (
                metrics.ALERT_FAILURES,
                "Requests with alerts that failed, and are made again.",
                stats.alert_failures,
            ),
        ):
            family = CounterMetricFamily(name, about, labels=["alertmanager"])
            for url, count in sorted(counts.items()):
                family.add_metric([url], count)
            yield family
        if stats.alerts_reach is not None:
            yield _gauge(
                metrics.ALERT_DELIVERY_UP,
                "1 when an Alertmanager took this worker's last alerts.",
                stats.alerts_reach,
            )


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


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=float(value))


def _counter(name: str, about: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, about, value=float(value))
