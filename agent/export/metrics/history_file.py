"""Closed windows as OpenMetrics text with timestamps, to be loaded as Prometheus history.

`promtool tsdb create-blocks-from openmetrics FILE DIR` makes blocks of it. A sample's timestamp is
the end of its window, from when on a scrape would have had it. Metrics have the names and labels of
`/metrics`. Each series is written contiguously, in the order of time, as the format requires.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from agent.core.model import metrics
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import (
    ALERT_PHASE_NUMBER,
    Emitted,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.model.rules import Rule, is_whole
from agent.core.output.labels import severities
from agent.core.output.messages import label
from agent.export.metrics.closed_samples import WindowSample, target_samples, window_samples
from agent.export.metrics.label_cache import LabelCache
from agent.export.metrics.spool import Sample, Spool
from agent.export.metrics.text_format import Family, labels_text, render

SeriesKey = tuple[str, Dimensions | None]
"""A series; with `dimensions` None, the KPI as a whole, on which rules may be, too."""

_ABOUT = {
    metrics.TARGET_STATE: "Target state of closed windows: 0 no data, 1 met, 2 at risk, 3 missed.",
    metrics.ATTAINMENT: "How far closed windows reach their target.",
    metrics.RULE_STATE: "State of a rule's alert: 0 inactive, 1 pending, 2 firing.",
    metrics.WINDOW_EVENTS: "Events in closed windows.",
    metrics.MAINTENANCE: "1 for closed windows that were in maintenance.",
}


@dataclass(slots=True)
class _SeriesSamples:
    """The samples that a scrape would have of a series, by number of the Prometheus series, and
    until when they are written. `states`: the Prometheus series of its alerts."""

    upto_ms: int
    samples: dict[int, float | int] = field(default_factory=dict)
    states: list[int] | None = None


class History:
    """Collects results batch by batch, and in the end writes them as text.

    `every_ms`: a value is repeated at multiples of it until the next window of its series closes,
    as scrapes would; None: each window is one sample. `external`: labels of all samples. Use it as
    a context manager: until the end, the samples are in a temporary file.
    """

    def __init__(
        self, plan: Plan, every_ms: int | None = None, external: Mapping[str, str] | None = None
    ) -> None:
        self._plan = plan
        self._every_ms = every_ms
        self._external = external
        self._spool = Spool()
        self._series: dict[SeriesKey, _SeriesSamples] = {}
        cache = LabelCache()
        self._labels = {kpi.name: cache.of(kpi) for kpi in plan.kpis.values()}

    def add(self, emitted: Emitted) -> None:
        """Add the next results, each series in the order of time. KPIs and rules that are not in
        the plan, and values that are not finite, are left out."""
        results: list[tuple[int, int, Transition | TargetStatus | WindowValue]] = []
        results += ((transition.at_ms, 0, transition) for transition in emitted.transitions)
        results += ((window.end_ms, 1, window) for window in emitted.windows)
        results += ((status.window.end_ms, 2, status) for status in emitted.targets)
        for _, _, result in sorted(results, key=lambda item: item[:2]):
            if isinstance(result, Transition):
                self._add_transition(result)
            elif isinstance(result, WindowValue):
                self._add_window(result)
            else:
                self._add_status(result)

    def chunks(self) -> Iterator[bytes]:
        """All samples as OpenMetrics text, ending in `# EOF`."""
        yield from render(self._families(), openmetrics=True, external=self._external)
        yield b"# EOF\n"

    def __enter__(self) -> History:
        self._spool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._spool.__exit__(*error)

    # --- samples -------------------------------------------------------------------------------

    def _add_window(self, window: WindowValue) -> None:
        """Add the samples of a closed window, and the states of its series' alerts."""
        kpi = self._plan.kpis.get(window.kpi)
        if kpi is None or window.open:
            return
        dimensions, at_ms = window.dimensions, window.end_ms
        key = (kpi.name, dimensions)
        labels = self._labels[kpi.name][dimensions]
        self._add_alert_states(kpi, dimensions, at_ms)
        if kpi.by:
            self._add_alert_states(kpi, None, at_ms)
        self._add_samples(key, labels, at_ms, window_samples(kpi, window))

    def _add_alert_states(self, kpi: Kpi, dimensions: Dimensions | None, at_ms: int) -> None:
        """Add the states of a series' alerts when a window closes, and drop the samples of the
        window before. `dimensions` None: the alerts of the KPI as a whole, once for all series."""
        key = (kpi.name, dimensions)
        before = self._series.get(key)
        if dimensions is None and before is not None and before.upto_ms >= at_ms - 1:
            return
        self._repeat_until(key, at_ms)
        current = self._series[key]
        if current.states is None:
            current.states = [
                self._state_series(rule, severity, kpi, dimensions)
                for rule in self._plan.rules_of(kpi.name)
                if _is_of_whole(kpi, rule) == (dimensions is None)
                for severity in severities(rule)
            ]
        current.samples = {series: current.samples.get(series, 0) for series in current.states}
        for series, value in current.samples.items():
            self._spool.add(series, at_ms, value)

    def _add_status(self, status: TargetStatus) -> None:
        """Add the target state, attainment and bounds of a closed window."""
        window = status.window
        kpi = self._plan.kpis.get(window.kpi)
        if kpi is None or window.open:
            return
        key, at_ms = (kpi.name, window.dimensions), window.end_ms
        labels = self._labels[kpi.name][window.dimensions]
        self._add_samples(key, labels, at_ms, target_samples(kpi, status))

    def _add_transition(self, transition: Transition) -> None:
        """Add the new state of an alert."""
        kpi, rule = self._plan.subject(transition.kpi), self._plan.rules.get(transition.rule)
        if kpi is None or rule is None or transition.severity not in severities(rule):
            return
        key = transition.kpi, None if _is_of_whole(kpi, rule) else transition.dimensions
        self._repeat_until(key, transition.at_ms)
        series = self._state_series(rule, transition.severity, kpi, key[1])
        self._add_sample(key, series, transition.at_ms, ALERT_PHASE_NUMBER[transition.state])

    def _state_series(
        self, rule: Rule, severity: str, kpi: Kpi, dimensions: Dimensions | None
    ) -> int:
        of_kpi = [("kpi", kpi.name)] if kpi.name else []  # composite rules have no KPI
        rule_labels = labels_text([("rule", rule.name), ("severity", severity), *of_kpi])
        labels = labels_text(zip(kpi.by, map(label, dimensions), strict=True)) if dimensions else ""
        return self._spool.series(
            metrics.RULE_STATE, f"{rule_labels},{labels}" if labels else rule_labels
        )

    def _add_samples(
        self, key: SeriesKey, labels: str, at_ms: int, samples: Iterable[WindowSample]
    ) -> None:
        for name, own, value in samples:
            text = ",".join(filter(None, (labels_text(own), labels)))
            self._add_sample(key, self._spool.series(name, text), at_ms, value)

    def _add_sample(self, key: SeriesKey, series: int, at_ms: int, value: float | int) -> None:
        self._spool.add(series, at_ms, value)
        self._series[key].samples[series] = value

    def _repeat_until(self, key: SeriesKey, at_ms: int) -> None:
        """Repeat the current samples of a series until an instant."""
        current = self._series.setdefault(key, _SeriesSamples(at_ms - 1))
        if self._every_ms is not None:
            first = current.upto_ms - current.upto_ms % self._every_ms + self._every_ms
            for at in range(first, at_ms, self._every_ms):
                for series, value in current.samples.items():
                    self._spool.add(series, at, value)
        current.upto_ms = at_ms - 1

    # --- text ----------------------------------------------------------------------------------

    def _families(self) -> Iterator[Family]:
        """All metrics, by name."""
        units = {metrics.ATTAINMENT: "ratio"}
        abouts = dict(_ABOUT)
        for kpi in self._plan.kpis.values():
            target = kpi.target_metric
            abouts[kpi.metric] = f"{kpi.title}: closed windows."
            abouts[target] = f"{kpi.title}: the bounds that hold, by band."
            if kpi.unit:
                units[kpi.metric] = units[target] = kpi.unit
        for name, series in self._spool.read():
            yield Family(name, abouts[name], _lines(name, series), units.get(name))


def _is_of_whole(kpi: Kpi, rule: Rule) -> bool:
    """Whether a rule's alerts are of the KPI as a whole, besides those of its series."""
    return is_whole(rule) and bool(kpi.by)


def _lines(name: str, series: Iterable[tuple[str, Iterable[Sample]]]) -> Iterator[str]:
    for labels, samples in series:
        start = f"{name}{{{labels}}}" if labels else name
        for at_ms, value in samples:
            yield f"{start} {value!r} {_seconds(at_ms)}\n"


def _seconds(at_ms: int) -> str:
    whole, rest = divmod(at_ms, 1000)
    return f"{whole}.{rest:03}" if rest else str(whole)
