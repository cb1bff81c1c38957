"""Closed windows as OpenMetrics text with timestamps, to be loaded as Prometheus history.

`promtool tsdb create-blocks-from openmetrics FILE DIR` makes blocks of it. A sample's time is the
end of its window: what a scrape would have seen from then on. Metrics have the names and labels of
`/metrics`. Each series is written in one piece, in the order of time, as the format demands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from agent.core.model import metrics
from agent.core.model.kpis import Dimensions, Kpi, metric_name
from agent.core.model.plan import Plan
from agent.core.model.results import (
    ALERT_PHASE_NUMBER,
    Emitted,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.model.rules import Rule, is_whole
from agent.core.output.alert_labels import severities
from agent.core.output.messages import label
from agent.export.metrics.closed_samples import WindowSample, target_samples, window_samples
from agent.export.metrics.label_cache import LabelCache
from agent.export.metrics.spool import Sample, Spool
from agent.export.metrics.text_format import Family, labels_text, render

SeriesKey = tuple[str, Dimensions | None]
"""A series; without dimensions, what is watched of the KPI as a whole."""

_ABOUT = {
    metrics.TARGET_STATE: "Target state of closed windows: 0 no data, 1 met, 2 at risk, 3 missed.",
    metrics.ATTAINMENT: "How far closed windows reach their target.",
    metrics.RULE_STATE: "State of a rule's alert: 0 inactive, 1 pending, 2 firing.",
    metrics.WINDOW_EVENTS: "Events in closed windows.",
    metrics.MAINTENANCE: "1 for closed windows that were in maintenance.",
}


@dataclass(slots=True)
class _SeriesSamples:
    """What a scrape would see of a series, by sample series, and up to when that is written;
    `states` are the sample series of its alerts."""

    upto_ms: int
    samples: dict[int, float | int] = field(default_factory=dict)
    states: list[int] | None = None


class History:
    """Collects what closes, batch by batch, and writes it as text in the end.

    `every_ms`: a value is repeated that often, at multiples of it, until the next window of its
    series closes; None: each window is one sample. `external`: labels that every sample has.
    Use it as a context manager: until the end, the samples are in a temporary file.
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
        """Add what closed next, each series in the order of time. KPIs and rules that are not in
        the plan, and values that are not finite, are left out."""
        steps: list[tuple[int, int, Transition | TargetStatus | WindowValue]] = []
        steps += ((step.at_ms, 0, step) for step in emitted.transitions)
        steps += ((window.end_ms, 1, window) for window in emitted.windows)
        steps += ((status.window.end_ms, 2, status) for status in emitted.targets)
        for _, _, step in sorted(steps, key=lambda item: item[:2]):
            if isinstance(step, Transition):
                self._add_step(step)
            elif isinstance(step, WindowValue):
                self._add_window(step)
            else:
                self._add_status(step)

    def chunks(self) -> Iterator[bytes]:
        """All of it as OpenMetrics text, ending in `# EOF`."""
        yield from render(self._families(), openmetrics=True, external=self._external)
        yield b"# EOF\n"

    def __enter__(self) -> History:
        self._spool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._spool.__exit__(*error)

    # --- samples -------------------------------------------------------------------------------

    def _add_window(self, window: WindowValue) -> None:
        """Value and events of a closed window, and where its alerts stand."""
        kpi = self._plan.kpis.get(window.kpi)
        if kpi is None or window.open:
            return
        dimensions, at_ms = window.dimensions, window.end_ms
        key = (kpi.name, dimensions)
        labels = self._labels[kpi.name][dimensions]
        self._stand(kpi, dimensions, at_ms)
        if kpi.by:
            self._stand(kpi, None, at_ms)
        self._keep_all(key, labels, at_ms, window_samples(kpi, window))

    def _stand(self, kpi: Kpi, dimensions: Dimensions | None, at_ms: int) -> None:
        """Add the states of a series' alerts when a window closes, and forget the window before.
        `dimensions` None: the alerts of the KPI as a whole, once for all its series."""
        key = (kpi.name, dimensions)
        before = self._series.get(key)
        if dimensions is None and before is not None and before.upto_ms >= at_ms - 1:
            return
        self._carry(key, at_ms)
        shown = self._series[key]
        if shown.states is None:
            shown.states = [
                self._state_series(rule, severity, kpi, dimensions)
                for rule in self._plan.rules_of(kpi.name)
                if _is_of_whole(kpi, rule) == (dimensions is None)
                for severity in severities(rule)
            ]
        shown.samples = {series: shown.samples.get(series, 0) for series in shown.states}
        for series, value in shown.samples.items():
            self._spool.add(series, at_ms, value)

    def _add_status(self, status: TargetStatus) -> None:
        """State, attainment and bounds of a closed window."""
        window = status.window
        kpi = self._plan.kpis.get(window.kpi)
        if kpi is None or window.open:
            return
        key, at_ms = (kpi.name, window.dimensions), window.end_ms
        labels = self._labels[kpi.name][window.dimensions]
        self._keep_all(key, labels, at_ms, target_samples(kpi, status))

    def _add_step(self, step: Transition) -> None:
        """Where an alert stands from now on."""
        kpi, rule = self._plan.subject(step.kpi), self._plan.rules.get(step.rule)
        if kpi is None or rule is None or step.severity not in severities(rule):
            return
        key = step.kpi, None if _is_of_whole(kpi, rule) else step.dimensions
        self._carry(key, step.at_ms)
        series = self._state_series(rule, step.severity, kpi, key[1])
        self._keep(key, series, step.at_ms, ALERT_PHASE_NUMBER[step.state])

    def _state_series(
        self, rule: Rule, severity: str, kpi: Kpi, dimensions: Dimensions | None
    ) -> int:
        about = [("kpi", kpi.name)] if kpi.name else []  # a composite rule is about no single one
        named = labels_text([("rule", rule.name), ("severity", severity), *about])
        labels = labels_text(zip(kpi.by, map(label, dimensions), strict=True)) if dimensions else ""
        return self._spool.series(metrics.RULE_STATE, f"{named},{labels}" if labels else named)

    def _keep_all(
        self, key: SeriesKey, labels: str, at_ms: int, samples: Iterable[WindowSample]
    ) -> None:
        for name, own, value in samples:
            text = ",".join(filter(None, (labels_text(own), labels)))
            self._keep(key, self._spool.series(name, text), at_ms, value)

    def _keep(self, key: SeriesKey, series: int, at_ms: int, value: float | int) -> None:
        self._spool.add(series, at_ms, value)
        self._series[key].samples[series] = value

    def _carry(self, key: SeriesKey, at_ms: int) -> None:
        """Repeat what a series shows until an instant."""
        shown = self._series.setdefault(key, _SeriesSamples(at_ms - 1))
        if self._every_ms is not None:
            first = shown.upto_ms - shown.upto_ms % self._every_ms + self._every_ms
            for at in range(first, at_ms, self._every_ms):
                for series, value in shown.samples.items():
                    self._spool.add(series, at, value)
        shown.upto_ms = at_ms - 1

    # --- text ----------------------------------------------------------------------------------

    def _families(self) -> Iterator[Family]:
        """All metrics, by name."""
        units = {metrics.ATTAINMENT: "ratio"}
        abouts = dict(_ABOUT)
        for kpi in self._plan.kpis.values():
            target = metric_name(kpi.name, kpi.unit, "target")
            abouts[kpi.metric] = f"{kpi.title}: closed windows."
            abouts[target] = f"{kpi.title}: the bounds that hold, by band."
            if kpi.unit:
                units[kpi.metric] = units[target] = kpi.unit
        for name, series in self._spool.read():
            yield Family(name, abouts[name], _lines(name, series), units.get(name))


def _is_of_whole(kpi: Kpi, rule: Rule) -> bool:
    """Whether a rule's alerts are beside those of the KPI's series."""
    return is_whole(rule) and bool(kpi.by)


def _lines(name: str, series: Iterable[tuple[str, Iterable[Sample]]]) -> Iterator[str]:
    for labels, samples in series:
        start = f"{name}{{{labels}}}" if labels else name
        for at_ms, value in samples:
            yield f"{start} {value!r} {_seconds(at_ms)}\n"


def _seconds(at_ms: int) -> str:
    whole, rest = divmod(at_ms, 1000)
    return f"{whole}.{rest:03}" if rest else str(whole)
