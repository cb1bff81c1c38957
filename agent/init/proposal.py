"""Thresholds from the data: quantiles over the windows that the core closes over the sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.core.model.plan import Plan
from agent.init.drafted import EventDraft
from agent.init.measures import KpiDraft
from agent.replay.runner import Replayed, own_topics, sources, stream

LEAST_WINDOWS = 20
"""The least windows for quantiles."""

_NAMES = {0.01: "1st", 0.1: "10th", 0.25: "25th", 0.75: "75th", 0.9: "90th", 0.99: "99th"}


@dataclass(frozen=True, slots=True)
class Bound:
    """A proposed number, and its origin."""

    value: float
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """The bounds of one KPI. `target` and `warn`: met by most windows; `fire`: exceeded by very
    few; `clear`: usual again."""

    target: Bound
    warn: Bound
    fire: Bound
    clear: Bound


Observed = dict[str, list[float]]
"""The values of the closed windows that had events, by KPI."""


def observe(plan: Plan, files: Sequence[str], clock_ms: int) -> tuple[Observed, Replayed]:
    """Run the drafted contracts and KPIs over the sample, through the core."""
    read = Replayed()
    values: dict[str, list[float]] = {name: [] for name in plan.kpis}
    # The user may have given the topic another name than the sample's records do.
    opened = [
        replace(source, is_named=True)
        if len(plan.topics) == 1 and not own_topics(source.path, source.name) & {*plan.topics}
        else source
        for source in sources(plan, list(files))
    ]
    for emitted in stream(plan, opened, clock_ms, read):
        for window in emitted.windows:
            if window.value is not None and window.events:
                values[window.kpi].append(window.value)
    return values, read


def proposals(drafts: Sequence[EventDraft], observed: Observed) -> dict[str, Proposal]:
    """Bounds for each KPI with enough windows, by its name."""
    by_kpi = {}
    for draft in drafts:
        for kpi in draft.kpis:
            proposal = _propose(kpi, sorted(observed.get(kpi.name, [])))
            if proposal is not None:
                by_kpi[kpi.name] = proposal
    return by_kpi


def silence(times: Sequence[int], least_ms: int = 0) -> Bound | None:
    """Twice the longest silence of the sample (ms), rounded up; at least a slice of the KPI."""
    gaps = [
        later - earlier for earlier, later in zip(sorted(times), sorted(times)[1:], strict=False)
    ]
    if len(gaps) < LEAST_WINDOWS:
        return None
    longest = max(gaps)
    step = next(s for s in (60_000, 300_000, 3_600_000, 86_400_000) if longest < 60 * s or s > 4e7)
    proposed = max(math.ceil(2 * longest / step), 1) * step
    if proposed < least_ms:
        return Bound(least_ms, "the shortest that is seen; no silence of the sample is half of it")
    return Bound(proposed, "twice the longest silence of the sample")


def _propose(kpi: KpiDraft, values: Sequence[float]) -> Proposal | None:
    if len(values) < LEAST_WINDOWS:
        return None
    shares = (0.9, 0.75, 0.99, 0.75) if kpi.better == "lower" else (0.1, 0.25, 0.01, 0.25)
    target, warn, fire, clear = (_quantile(values, share) for share in shares)
    # Where nearly all windows are alike, a rule would ring for the usual.
    apart = fire.value > clear.value if kpi.better == "lower" else fire.value < clear.value
    return Proposal(target, warn, fire, clear) if apart and fire.value != 0 else None


def _quantile(values: Sequence[float], share: float) -> Bound:
    """The value that a share of the windows does not exceed (nearest rank), to three digits."""
    value = values[max(math.ceil(share * len(values)) - 1, 0)]
    return Bound(
        float(f"{value:.3g}"), f"the {_NAMES[share]} percentile of {len(values):,} windows"
    )
