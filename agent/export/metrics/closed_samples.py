"""The samples of a closed window, under the names of `/metrics`.

For outputs with timestamps: the history file and remote write. A sample's timestamp is the end of
its window, from when on a scrape would have had it. Values that are missing or not finite have no
sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from agent.core.model import metrics
from agent.core.model.kpis import Kpi, Target
from agent.core.model.results import TARGET_STATE_NUMBER, Number, TargetStatus, WindowValue

BANDS = ("at_least", "at_most", "warn_at_least", "warn_at_most")

Labels = tuple[tuple[str, str], ...]
WindowSample = tuple[str, Labels, float | int]
"""(metric, labels besides the dimensions, value)"""


def window_samples(kpi: Kpi, window: WindowValue) -> Iterator[WindowSample]:
    """The value, number of events and maintenance of a closed window."""
    of_kpi = ("kpi", kpi.name)
    yield from _sample(kpi.metric, (), window.value)
    yield metrics.WINDOW_EVENTS, (of_kpi,), window.events
    if window.maintenance is not None:
        yield metrics.MAINTENANCE, (of_kpi, ("maintenance", window.maintenance)), 1


def target_samples(kpi: Kpi, status: TargetStatus) -> Iterator[WindowSample]:
    """The target state, attainment and bounds of a closed window."""
    of_kpi = (("kpi", kpi.name),)
    yield metrics.TARGET_STATE, of_kpi, TARGET_STATE_NUMBER[status.state]
    yield from _sample(metrics.ATTAINMENT, of_kpi, status.attainment)
    name = kpi.target_metric
    for band, bound in bounds(status.target).items():
        yield from _sample(name, (("band", band),), bound)


def bounds(target: Target | None) -> dict[str, float]:
    """The bounds of a target, by band; none without a target."""
    by_band = ((band, getattr(target, band, None)) for band in BANDS)
    return {band: bound for band, bound in by_band if bound is not None}


def _sample(name: str, labels: Labels, value: Number) -> Iterator[WindowSample]:
    if value is not None and math.isfinite(value):
        yield name, labels, value
