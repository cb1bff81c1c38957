"""What the exports read of a running agent: one plain object that `run` fills.

`AgentState` holds callables for what changes with every window, and plain counters for the agent's
own metrics. Anybody who fills it and anybody who reads it live on the same event loop: nothing is
locked.
The exports copy what they need on the loop, and do the long part of the work in a thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Histogram
from prometheus_client.core import Metric

from agent.core.evaluate.objectives import Score
from agent.core.model import metrics
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, SeriesView
from agent.core.model.rules import Severity
from agent.core.output.privacy import Privacy
from agent.errors import RulesError

Views = Callable[[], Sequence[SeriesView]]

FAST_BUCKETS_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""The upper bounds of the duration histograms: from a small fold to a stall that people notice."""


class Durations(Histogram):
    """A histogram of seconds that belongs to no registry, and has no `_created` series."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name, about, buckets=FAST_BUCKETS_SECONDS, registry=None)

    def collect(self) -> Iterable[Metric]:
        """The buckets, the count and the sum."""
        for family in super().collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


def _flush_seconds() -> Durations:
    return Durations(
        metrics.FLUSH_SECONDS, "From a flush's start until its frames are acknowledged."
    )


def _close_seconds() -> Durations:
    return Durations(
        metrics.CLOSE_SECONDS, "From a frame's arrival until what it closed is published."
    )


def _fold_seconds() -> Durations:
    return Durations(metrics.FOLD_SECONDS, "Decoding and folding a batch.")


@dataclass(slots=True)
class Stats:
    """The agent's own counters and gauges, written to by the stages, read by `/metrics`.

    Counters only ever grow while the process lives. Partitions that a worker loses must be removed
    from `lag`, `watermark_ms` and `frames_lag` by the stage that lost them.
    """

    records: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """By (topic, outcome, reason, contract); "" where there is no reason or no contract."""
    field_nulls: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Events in which a field is null, by (topic, contract, field)."""
    field_wrong_types: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Those in which it is null because something of another type stands there."""
    field_failed_casts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Events in which a cast of the field in some KPI's SQL failed, by (topic, contract, field)."""
    lookup_misses: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Events whose key has no row, by (topic, contract, lookup)."""
    source_topics: tuple[str, ...] = ()
    """The source topics that there are, those that match a pattern included."""
    lag: dict[tuple[str, int], int] = field(default_factory=dict)
    """Records not read yet, by (topic, partition)."""
    paused_partitions: int = 0
    """Source partitions of this worker that it does not read: another version of the agent has
    committed them."""
    watermark_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    """How far event time has got, by (topic, partition)."""
    flush_seconds: Durations = field(default_factory=_flush_seconds)
    """From the start of a flush until the broker has acknowledged its frames."""
    close_seconds: Durations = field(default_factory=_close_seconds)
    """From a frame's arrival until what it closed is written and published."""
    fold_seconds: Durations = field(default_factory=_fold_seconds)
    """Decoding and folding one micro-batch."""
    frames_lag: dict[int, int] = field(default_factory=dict)
    """Frames not merged yet, by state partition."""
    last_merge_ms: int = 0
    """When frames were last merged and what they brought was published, or none waited."""
    records_missed: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Records that were gone before they were read, at most, by (topic, partition); of frames,
    too."""
    records_missed_ms: int | None = None
    """When the last of them were found missing, wall clock."""
    records_truncated: Counter[str] = field(default_factory=Counter)
    """Dead letters and late records that were too large to be sent whole, by their topic."""
    frames_sent: int = 0
    frames_applied: int = 0
    frames_ignored: int = 0
    """Frames that cover less than one already applied."""
    late_partials: int = 0
    """Partial aggregates for slices that were sealed already."""
    late_rows: Counter[str] = field(default_factory=Counter)
    """Rows that came too late for a window of a KPI, by KPI."""
    shortened_series: Counter[str] = field(default_factory=Counter)
    """New series with a dimension value that was too long, by KPI."""
    dropped_series: Counter[str] = field(default_factory=Counter)
    """Series folded into `__other__` because their KPI is full, by KPI."""
    backfill_records: dict[str, int] = field(default_factory=dict)
    """Records of a KPI's past that its backfill has read, by KPI."""
    backfill_ratio: dict[str, float] = field(default_factory=dict)
    """How much of its past a KPI with a backfill has been given, by KPI."""
    reloads_ok: int = 0
    reloads_failed: int = 0
    last_reload_ms: int | None = None
    """When the rules in use were loaded, wall clock."""
    errors: Counter[str] = field(default_factory=Counter)
    """Exceptions caught and survived, by component."""
    alerts_delivered: Counter[str] = field(default_factory=Counter)
    """Alerts that an Alertmanager has acknowledged, resent ones too, by its address."""
    alert_failures: Counter[str] = field(default_factory=Counter)
    """Requests that an Alertmanager did not take, by its address."""
    alerts_reach: bool | None = None
    """Whether an Alertmanager took the last alerts; None where this worker sends none itself."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as the board shows it: pending, firing, or resolved a short while ago.

    `since_ms` is the event time at which it entered this phase.
    """

    rule: str
    severity: Severity
    kpi: str
    dimensions: Dimensions
    phase: AlertPhase
    since_ms: int | None = None
    value: float | None = None
    summary: str = ""
    description: str = ""


def _no_scores() -> Mapping[str, Score]:
    return {}


def _yes() -> bool:
    return True


def _no_series() -> Sequence[SeriesView]:
    return ()


def _no_steps() -> Sequence[Mapping[str, Any]]:
    return ()


async def _no_reload() -> tuple[bool, str]:
    return False, "this agent was started without a way to reload its rules"


async def _no_explain(_rule: str, _series: str) -> dict[str, object]:
    raise RulesError("this agent was started without a way to explain its rules")


@dataclass(slots=True)
class AgentState:
    """Everything that `/metrics`, `/-/ready`, `/-/reload` and the board read.

    `views()` gives the series this worker holds, `company()` those of all workers. Both are called
    on the event loop at every scrape and board refresh: keep the list, and replace in it the views
    that change. A view whose dimensions are None, or empty though the KPI has some, stands for the
    KPI as a whole: only its rule phases (`per: kpi` rules) are read.
    `alerts` None: firing alerts are taken from the phases in `company()`, without their summary.
    `ready` says of each component None, or in words why it is not ready.
    `reload()` gives (done, what happened or which problems).
    `explain(rule, series)` gives how a rule stands over the series held here, `series` of them and
    `count` in all; RulesError for what is not known.
    """

    plan: Plan
    views: Views = _no_series
    company: Views = _no_series
    company_is_complete: Callable[[], bool] = _yes
    """Whether `company()` knows the series of all workers: before, a KPI's whole and an objective
    would be evaluated by a part of them."""
    objective_scores: Callable[[], Mapping[str, Score]] = _no_scores
    """How each objective stands."""
    alerts: Callable[[], Sequence[Alert]] | None = None
    alert_log: Callable[[], Sequence[Mapping[str, Any]]] = _no_steps
    """The last steps of all alerts, newest first, as the alerts topic says them."""
    stats: Stats = field(default_factory=Stats)
    ready: dict[str, str | None] = field(default_factory=dict)
    reload: Callable[[], Awaitable[tuple[bool, str]]] = _no_reload
    explain: Callable[[str, str], Awaitable[dict[str, object]]] = _no_explain
    privacy: Privacy = field(default_factory=Privacy)
    """How the people of private KPIs are published outside."""
    external_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of all series and alerts: which environment this agent is of."""
    leader: bool = False
    """The one worker that exports what belongs to no series: objectives and `per: kpi` rules."""
    started_at_ms: int = 0
    version: str = ""
    group: str = ""
    """The consumer group's name, by which installations are published apart."""
    name: str = "KPI agent"
    """The board's heading."""
