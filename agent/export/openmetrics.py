"""Closed windows as OpenMetrics text with timestamps, to be loaded as Prometheus history.

`promtool tsdb create-blocks-from openmetrics FILE DIR` makes blocks of it. A sample's time is the
end of its window: what a scrape would have seen from then on. Metrics have the names and labels of
`/metrics`. Each series is written in one piece, in the order of time, as the format demands.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

from agent.core.plan import Dimensions, Kpi, Plan, Target, metric_name
from agent.core.results import TARGET_STATE_NUMBER, TargetStatus, WindowValue
from agent.export.series import BANDS, Family, LabelCache, render

Sample = tuple[int, float | int]
"""(time in ms, value)"""

Series = dict[str, list[Sample]]
"""Samples by label text."""


def openmetrics_chunks(
    plan: Plan, windows: Iterable[WindowValue], targets: Iterable[TargetStatus] = ()
) -> Iterator[bytes]:
    """The closed windows and target states of a replay as OpenMetrics text, ending in `# EOF`.

    Open windows, windows without a finite value and KPIs that the plan doesn't have are left out.
    Any order of the input will do; all of it is held in memory to be sorted.
    """
    samples = _Samples(plan)
    for window in windows:
        samples.add_window(window)
    for status in targets:
        samples.add_status(status)
    yield from render(samples.families(), openmetrics=True)
    yield b"# EOF\n"


class _Samples:
    """Samples by metric and labels."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        cache = LabelCache()
        # Nothing is ever forgotten here, so any number of series in use will do.
        self._labels: dict[str, Callable[[Dimensions], str]] = {
            kpi.name: cache.of(kpi, 2**62) for kpi in plan.kpis.values()
        }
        self._found: dict[str, Series] = defaultdict(lambda: defaultdict(list))

    def add_window(self, window: WindowValue) -> None:
        """Value and events of one closed window."""
        kpi = self._plan.kpis.get(window.kpi)
        if kpi is None or window.open:
            return
        labels = self._labels[kpi.name](window.dimensions)
        self._add(kpi.metric, labels, window.end_ms, window.value)
        self._add("kpi_window_events", _with_kpi(kpi, labels), window.end_ms, window.events)

    def add_status(self, status: TargetStatus) -> None:
        """State, attainment and bounds of one closed window."""
        window = status.window
        kpi = self._plan.kpis.get(window.kpi)
        if kpi is None or window.open:
            return
        labels = self._labels[kpi.name](window.dimensions)
        shared, at_ms = _with_kpi(kpi, labels), window.end_ms
        self._add("kpi_target_state", shared, at_ms, TARGET_STATE_NUMBER[status.state])
        self._add("kpi_target_attainment_ratio", shared, at_ms, status.attainment)
        self._add_bounds(kpi, labels, at_ms, status.target)

    def _add_bounds(self, kpi: Kpi, labels: str, at_ms: int, target: Target) -> None:
        name = metric_name(kpi.name, kpi.unit, "target")
        comma = "," if labels else ""
        for band in BANDS:
            self._add(name, f'{labels}{comma}band="{band}"', at_ms, getattr(target, band))

    def _add(self, name: str, labels: str, at_ms: int, value: float | None) -> None:
        if value is not None and math.isfinite(value):
            self._found[name][labels].append((at_ms, value))

    def families(self) -> Iterator[Family]:
        """All metrics, by name."""
        units = {"kpi_target_attainment_ratio": "ratio"}
        for kpi in self._plan.kpis.values():
            if kpi.unit:
                units[kpi.metric] = units[metric_name(kpi.name, kpi.unit, "target")] = kpi.unit
        abouts = {kpi.metric: f"{kpi.title}: closed windows." for kpi in self._plan.kpis.values()}
        for name in sorted(self._found):
            about = abouts.get(name, "Of closed windows.")
            yield Family(name, about, _lines(name, self._found[name]), units.get(name))


def _with_kpi(kpi: Kpi, labels: str) -> str:
    return f'kpi="{kpi.name}"{"," if labels else ""}{labels}'


def _lines(name: str, series: Series) -> Iterator[str]:
    for labels in sorted(series):
        start = f"{name}{{{labels}}}" if labels else name
        for at_ms, value in sorted(series[labels], key=itemgetter(0)):
            yield f"{start} {value!r} {_seconds(at_ms)}\n"


def _seconds(at_ms: int) -> str:
    whole, rest = divmod(at_ms, 1000)
    return f"{whole}.{rest:03}" if rest else str(whole)
