"""`/metrics`: the KPI series and the agent's own metrics, in the text format that is asked for.

Nothing is registered at import or globally: an `Exposition` has its own registry. The agent's own
metrics come from `Stats` through prometheus_client; KPI series are written by `series.py`.
"""

from __future__ import annotations

import asyncio
import platform
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from agent.core.model.plan import Plan, is_whole
from agent.core.model.results import Outcome, Reason, SeriesView
from agent.export.agent_state import AgentState, Histogram
from agent.export.metrics.kpi_series import LabelCache, families, render, wholes, with_labels

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_EOF = b"# EOF\n"
_GZIP_LEVEL = 1  # 100,000 series: a fifth of level 6's time for a few per cent more bytes


RecordKey = tuple[str, str, str, str]


class AgentCollector(Collector):
    """The `kpi_agent_*` metrics of one agent."""

    def __init__(self, state: AgentState) -> None:
        self._state = state
        self._zeros_of: Plan | None = None
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
            "kpi_agent_build_info",
            "The agent's version and the rules it runs; always 1.",
            labels=["version", "config_hash", "python", "group"],
        )
        python = platform.python_version()
        info.add_metric([state.version, state.plan.config_hash, python, state.group], 1)
        yield info
        yield _gauge(
            "kpi_agent_start_timestamp_seconds", "When it started.", state.started_at_ms / 1000
        )
        yield _gauge("kpi_agent_leader", "1 at the worker that exports objectives.", state.leader)
        yield _gauge("kpi_agent_series", "KPI series that this worker holds.", len(state.views()))
        ready = GaugeMetricFamily(
            "kpi_agent_ready", "1 when the component is ready.", labels=["component"]
        )
        for component, reason in sorted(state.ready.items()):
            ready.add_metric([component], int(reason is None))
        yield ready

    def _records(self) -> Iterator[Metric]:
        stats = self._state.stats
        records = CounterMetricFamily(
            "kpi_agent_records",
            "Consumed records by what became of them; every record has one outcome.",
            labels=["topic", "outcome", "reason", "contract"],
        )
        for key, count in sorted({**self._zero_records(), **stats.records}.items()):
            records.add_metric(key, count)
        yield records
        yield from self._fields()
        lag = GaugeMetricFamily(
            "kpi_agent_lag_records", "Records not read yet.", labels=["topic", "partition"]
        )
        for (topic, partition), behind in sorted(stats.lag.items()):
            lag.add_metric([topic, str(partition)], behind)
        yield lag
        missed = CounterMetricFamily(
            "kpi_agent_records_missed",
            "Records (and frames) that were gone before they were read, at most.",
            labels=["topic", "partition"],
        )
        for (topic, partition), count in sorted(stats.records_missed.items()):
            missed.add_metric([topic, str(partition)], count)
        yield missed
        truncated = CounterMetricFamily(
            "kpi_agent_records_truncated",
            "Dead letters and late records that were too large to be sent whole, by their topic.",
            labels=["topic"],
        )
        for topic, count in sorted(stats.records_truncated.items()):
            truncated.add_metric([topic], count)
        yield truncated
        watermark = GaugeMetricFamily(
            "kpi_agent_watermark_timestamp_seconds",
            "How far event time has got.",
            labels=["topic", "partition"],
        )
        for (topic, partition), at_ms in sorted(stats.watermark_ms.items()):
            watermark.add_metric([topic, str(partition)], at_ms / 1000)
        yield watermark

    def _zero_records(self) -> Mapping[RecordKey, int]:
        """Every outcome that a record of the declared topics can have, at zero: an increase from
        nothing to one would be seen by no rule."""
        if self._zeros_of is not self._state.plan:
            self._zeros_of = self._state.plan
            self._zeros = dict.fromkeys(record_keys(self._state.plan), 0)
        return self._zeros

    def _stages(self) -> Iterator[Metric]:
        stats = self._state.stats
        yield _histogram(
            "kpi_agent_fold_seconds", "Decoding and folding a batch.", stats.fold_seconds
        )
        yield _histogram(
            "kpi_agent_flush_seconds",
            "From a flush's start until its frames are acknowledged.",
            stats.flush_seconds,
        )
        yield _histogram(
            "kpi_agent_close_seconds",
            "From a frame's arrival until what it closed is told.",
            stats.close_seconds,
        )
        waiting = GaugeMetricFamily(
            "kpi_agent_lag_frames", "Frames not merged yet.", labels=["state_partition"]
        )
        for partition, behind in sorted(stats.frames_lag.items()):
            waiting.add_metric([str(partition)], behind)
        yield waiting
        yield _gauge(
            "kpi_agent_last_merge_timestamp_seconds",
            "When frames were last merged and their results published, or none waited.",
            stats.last_merge_ms / 1000,
        )
        yield _counter("kpi_agent_frames_sent", "Frames sent.", stats.frames_sent)
        yield _counter("kpi_agent_frames_applied", "Frames merged.", stats.frames_applied)
        yield _counter(
            "kpi_agent_frames_ignored",
            "Frames that cover less than one merged before.",
            stats.frames_ignored,
        )
        yield _counter(
            "kpi_agent_late_partials",
            "Partial aggregates that came after their slice was sealed.",
            stats.late_partials,
        )
        yield _gauge(
            "kpi_agent_table_rows",
            "Rows of state that this worker holds.",
            len(self._state.views()),
        )
        late = CounterMetricFamily(
            "kpi_agent_late_rows",
            "Events that came too late for a window of the KPI; they may count in other KPIs.",
            labels=["kpi"],
        )
        zeros = dict.fromkeys(self._state.plan.kpis, 0)
        for kpi, count in sorted({**zeros, **stats.late_rows}.items()):
            late.add_metric([kpi], count)
        yield late
        shortened = CounterMetricFamily(
            "kpi_agent_shortened_series",
            "New series with a dimension value that was too long and was cut.",
            labels=["kpi"],
        )
        for kpi, count in sorted({**zeros, **stats.shortened_series}.items()):
            shortened.add_metric([kpi], count)
        yield shortened
        dropped = CounterMetricFamily(
            "kpi_agent_dropped_series",
            "Series folded into __other__ because their KPI has max_series.",
            labels=["kpi"],
        )
        for kpi, count in sorted({**zeros, **stats.dropped_series}.items()):
            dropped.add_metric([kpi], count)
        yield dropped

    def _fields(self) -> Iterator[Metric]:
        """From the start for every field, so that the first wrong type is an increase."""
        stats = self._state.stats
        contracts = self._state.plan.contracts.values()
        keys = [(c.topic, c.name, f.name) for c in contracts for f in c.fields]
        for name, about, counts in (
            (
                "kpi_agent_field_nulls",
                "Events of a contract in which an optional field is null.",
                stats.field_nulls,
            ),
            (
                "kpi_agent_field_wrong_types",
                "Those in which it is null because a value of another type stands there.",
                stats.field_wrong_types,
            ),
        ):
            family = CounterMetricFamily(name, about, labels=["topic", "contract", "field"])
            for key in sorted(keys):
                family.add_metric(key, counts[key])
            yield family

    def _backfills(self) -> Iterator[Metric]:
        stats = self._state.stats
        records = GaugeMetricFamily(
            "kpi_agent_backfill_records",
            "Records of a KPI's past that its backfill has read here.",
            labels=["kpi"],
        )
        ratio = GaugeMetricFamily(
            "kpi_agent_backfill_ratio",
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
            "kpi_agent_reloads", "Reloads of the rules by result.", labels=["result"]
        )
        reloads.add_metric(["ok"], stats.reloads_ok)
        reloads.add_metric(["failed"], stats.reloads_failed)
        yield reloads
        if stats.last_reload_ms is not None:
            yield _gauge(
                "kpi_agent_last_reload_timestamp_seconds",
                "When the rules in use were loaded.",
                stats.last_reload_ms / 1000,
            )
        errors = CounterMetricFamily(
            "kpi_agent_errors", "Exceptions caught and survived.", labels=["component"]
        )
        for component, count in sorted(stats.errors.items()):
            errors.add_metric([component], count)
        yield errors

    def _delivery(self) -> Iterator[Metric]:
        stats = self._state.stats
        for name, about, counts in (
            (
                "kpi_agent_alerts_delivered",
                "Alerts that an Alertmanager has acknowledged.",
                stats.alerts_delivered,
            ),
            (
                "kpi_agent_alert_delivery_failures",
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
                "kpi_agent_alert_delivery_up",
                "1 when an Alertmanager took this worker's last alerts.",
                stats.alerts_reach,
            )


def record_keys(plan: Plan) -> Iterator[RecordKey]:
    """The labels of `kpi_agent_records_total` that records of the declared topics can have:
    topic, outcome, reason, contract."""
    for topic in plan.topics:
        contracts = [c.name for c in plan.contracts.values() if c.topic == topic]
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


def _histogram(name: str, about: str, seen: Histogram) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, about)
    total, buckets = 0, []
    for bound, count in zip((*map(str, seen.bounds), "+Inf"), seen.counts, strict=True):
        total += count
        buckets.append((bound, total))
    family.add_metric([], buckets, seen.sum_seconds)
    return family


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer: its chunks, whether they are gzip, and the content type."""

    chunks: Sequence[bytes]
    content_type: str
    gzipped: bool


class Exposition:
    """The exposition of one agent. One scrape is rendered at a time, in a thread."""

    def __init__(self, state: AgentState) -> None:
        self._state = state
        self._cache = LabelCache()
        self._busy = asyncio.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(AgentCollector(state))
        ProcessCollector(registry=self._registry)

    async def scrape(self, accept: str, accept_encoding: str) -> Scrape:
        """The answer to a scrape with these two request headers."""
        openmetrics = prefers_openmetrics(accept)
        gzipped = accepts_gzip(accept_encoding)
        async with self._busy:
            chunks = await self._render(openmetrics, gzipped)
        return Scrape(chunks, OPENMETRICS if openmetrics else TEXT, gzipped)

    async def _render(self, openmetrics: bool, gzipped: bool) -> list[bytes]:
        # What can change is read here, on the loop; a thread makes the text of it.
        state = self._state
        views = state.privacy.views(state.plan, state.views())
        speaks_for_all = state.leader and state.company_is_complete()
        whole = self._wholes() if speaks_for_all else None
        scores = dict(state.objective_scores()) if speaks_for_all else {}
        if openmetrics:
            # The library leaves this one function without types.
            own = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
            own = own.removesuffix(_EOF)
        else:
            own = generate_text(self._registry)
        found = families(state.plan, views, whole, scores, self._cache)
        external = dict(state.external_labels)

        def work() -> list[bytes]:
            series = render(found, openmetrics=openmetrics, external=external)
            plain = _chunks(_labeled(own, external), series, openmetrics)
            return list(compressed(plain)) if gzipped else list(plain)

        return await asyncio.to_thread(work)

    def _wholes(self) -> Mapping[str, SeriesView]:
        """What is watched of KPIs as a whole; nobody looks through all series where nothing is."""
        state = self._state
        asked = any(is_whole(rule) for rule in state.plan.rules.values())
        return wholes(state.plan, state.company()) if asked else {}


def _labeled(text: bytes, external: Mapping[str, str]) -> bytes:
    """What prometheus_client has written, every sample with labels more."""
    if not external:
        return text
    lines = text.decode().splitlines(keepends=True)
    found = (
        line if line.startswith("#") else next(with_labels([line], external)) for line in lines
    )
    return "".join(found).encode()


def _chunks(own: bytes, series: Iterator[bytes], openmetrics: bool) -> Iterator[bytes]:
    yield own
    yield from series
    if openmetrics:
        yield _EOF


def compressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks as one gzip stream."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip."""
    weights = _weights(accept_encoding)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def prefers_openmetrics(accept: str) -> bool:
    """Whether an Accept header puts OpenMetrics text before the old text format."""
    weights = _weights(accept)
    openmetrics = weights.get("application/openmetrics-text", 0.0)
    text = max(weights.get("text/plain", 0.0), weights.get("text/*", 0.0))
    return openmetrics > 0 and openmetrics >= text


def _weights(header: str) -> dict[str, float]:
    """The highest weight of each token of an Accept-like header (RFC 9110, 12.4.2)."""
    found: dict[str, float] = {}
    for part in header.split(","):
        token, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if token:
            found[token] = max(found.get(token, 0.0), weight)
    return found
