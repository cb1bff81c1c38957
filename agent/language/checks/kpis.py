"""KPIs: their dimensions, targets and overrides; metric names that are unique, and none of the
agent's own; series that are not too large."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from agent.core.model.events import FieldType, Scalar
from agent.core.model.kpis import Kpi, PartialKind, metric_name
from agent.core.model.metrics import AGENT_PREFIX, SHARED_METRICS
from agent.core.model.plan import Plan
from agent.core.model.windows import DAY_MS, FixedWindow
from agent.core.output.labels import RESERVED_LABELS
from agent.language.checks import targets
from agent.language.compile.shapes import MANY_HOPS, Shape
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models import durations
from agent.language.models.kpis import KpiSpec
from agent.language.problems import suggest
from agent.language.source import Place

_SCALARS: dict[FieldType, tuple[type, str]] = {
    "string": (str, "text"),
    "integer": (int, "a whole number"),
    "boolean": (bool, "true or false"),
}


def check(declared: Declared, shapes: dict[str, Shape]) -> None:
    """Check every KPI, as far as it could be read."""
    for name, entry in declared.kpis.items():
        shape = shapes[name]
        model = entry.model
        for i, dimension in enumerate(model.by or []):
            _label(declared, entry, ("by", i), dimension)
        if model.target is not None:
            targets.check(declared, entry, ("target",), model.target, shape)
        for i, override in enumerate(model.overrides):
            targets.check(declared, entry, ("overrides", i, "target"), override.target, shape)
            check_match(
                declared, entry, ("overrides", i, "match"), override.match, entry.name, shape
            )
        _days_of_utc(declared, entry)
        _expiry(declared, entry, shape)
        if model.backfill is not None and isinstance(model.from_, list):
            message = "a KPI over KPIs has no events to read again"
            hint = f"give `backfill` to {', '.join(model.from_)}"
            declared.report(entry, ("backfill",), message, hint, on="key")
    _metrics(declared)


def has_target(entry: Entry[KpiSpec]) -> bool:
    """Whether any series of a KPI has a target, or may have one once its errors are fixed."""
    return entry.is_written("target") or bool(entry.model.overrides) or entry.has_hole("overrides")


def _label(declared: Declared, entry: Entry[KpiSpec], at: Place, dimension: str) -> None:
    if dimension in RESERVED_LABELS:
        message = f"'{dimension}' cannot be a dimension: {RESERVED_LABELS[dimension]}"
        hint = f"give the field another name: `{dimension}_name: {{path: {dimension}, …}}`"
        declared.report(entry, at, message, hint)


def can_equal(shape: Shape, dimension: str, value: Scalar) -> bool:
    """Whether a dimension can have a value, as far as its type is known."""
    if value is None or dimension not in shape.types:
        return True
    wanted, _ = _SCALARS[shape.types[dimension]]
    # A bool is an int in Python, and not in JSON.
    return isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)


def check_match(
    declared: Declared,
    entry: Entry[Any],
    at: Place,
    match: Mapping[str, Scalar],
    kpi: str,
    shape: Shape,
) -> None:
    """Check that a `match` names dimensions of a KPI, with values that they can have."""
    for dimension, value in match.items():
        here: Place = (*at, dimension)
        if dimension not in shape.by and "by" in shape.unsure:
            continue
        if dimension not in shape.by:
            hint = suggest(dimension, shape.by, "dimensions") if shape.by else "add it to `by`"
            message = f"'{dimension}' is not a dimension of '{kpi}'"
            declared.report(entry, here, message, hint, on="key")
            continue
        if not can_equal(shape, dimension, value):
            wanted, word = _SCALARS[shape.types[dimension]]
            shown = f"'{value}'" if isinstance(value, str) else str(value).lower()
            message = f"{shown} cannot equal '{dimension}', which is {word}"
            hint = f'put it in quotes: "{shown}"' if wanted is str else f"write {word}"
            declared.report(entry, here, message, hint)


def _days_of_utc(declared: Declared, entry: Entry[KpiSpec]) -> None:
    """Warn of windows of whole days in UTC where another time zone is declared."""
    window = entry.model.window
    if (
        window is None
        or window.unit is not None
        or window.hop_ms % DAY_MS
        or entry.has_hole("timezone")
    ):
        return
    zone = zone_of(declared, entry.model.timezone)
    if all(not ZoneInfo(zone).utcoffset(datetime(2025, month, 1)) for month in range(1, 13)):
        return
    message = f"`{window}` begins at midnight of UTC, not of {zone}"
    unit = "week" if window.size_ms == 7 * DAY_MS else "day"
    hint = f"write `{unit}`, which follows the clocks of {zone}"
    if window.size_ms not in (DAY_MS, 7 * DAY_MS) or window.hop_ms != window.size_ms:
        hint = f"`day`, `week` and `month` go by the clocks of {zone}"
    declared.report(entry, ("window",), message, hint, severity="warning")


def _expiry(declared: Declared, entry: Entry[KpiSpec], shape: Shape) -> None:
    expire_after = entry.model.expire_after
    if "window" in shape.unsure:
        return
    if expire_after is not None and expire_after < shape.window.span_ms:
        message = "a series would expire before its window closes"
        hint = f"at least {durations.show(shape.window.span_ms)}, the longest window"
        declared.report(entry, ("expire_after",), message, hint)


ODD_ENDINGS = ("_total", "_bucket", "_count", "_sum", "_gcount", "_gsum", "_created", "_info")
"""Endings that OpenMetrics reserves for counters, histograms and info metrics (its specification,
section "MetricFamily"); `promtool check metrics` warns of them."""

_VARIANTS = {
    "": "the closed value",
    "current": "the current value",
    "target": "the target",
}


def _metrics(declared: Declared) -> None:
    """Check the metric names of every KPI against the agent's, and against each other's."""
    owners: dict[str, tuple[Entry[KpiSpec], str]] = {}
    for entry in declared.kpis.values():
        if entry.has_hole("unit"):
            continue
        for middle, what in _VARIANTS.items():
            metric = metric_name(entry.name, entry.model.unit, middle)
            if metric in SHARED_METRICS or metric.startswith(AGENT_PREFIX):
                message = f"its metric {metric} ({what}) would be one of the agent's own"
                declared.report(entry, (), message, "rename the KPI", on="key")
                break
            other = owners.setdefault(metric, (entry, what))
            if other[0] is not entry:
                message = (
                    f"its metric {metric} ({what}) is also that of '{other[0].name}' ({other[1]})"
                )
                hint = "rename one, or give it another unit"
                declared.report(entry, (), message, hint, on="key")
                break
        _ending(declared, entry)


def _ending(declared: Declared, entry: Entry[KpiSpec]) -> None:
    metric = metric_name(entry.name, entry.model.unit)
    ending = next((e for e in ODD_ENDINGS if metric.endswith(e)), None)
    if ending is not None:
        message = f"its metric {metric} ends in {ending}, which Prometheus keeps for other types"
        hint = "a KPI is a gauge: give it another unit or name"
        at = ("unit",) if entry.model.unit else ()
        declared.report(entry, at, message, hint, on="value" if at else "key", severity="warning")


LARGE_BYTES = 1_000_000
"""The size from which a series is reported: a thousand of them are a gigabyte."""

SKETCH_BYTES = {
    PartialKind.DISTINCT: 65_536,  # 8192 hashes of 8 bytes
    PartialKind.RETENTION: 65_536,
    PartialKind.QUANTILE: 16_384,  # buckets over some ten powers of ten
    PartialKind.QUANTILE_CONT: 16_384,
    PartialKind.MODE: 65_552,  # 4097 values with their counts
    PartialKind.SUM_DISTINCT: 65_552,
    PartialKind.MEAN_DISTINCT: 65_552,
}
NUMBER_BYTES = 20
"""Of the other partials: two numbers, written as nine bytes each."""


def check_state_size(declared: Declared, plan: Plan) -> None:
    """Warn of KPIs whose series may be large."""
    for name, kpi in plan.kpis.items():
        panes = _panes(kpi)
        size = panes * sum(SKETCH_BYTES.get(p.kind, NUMBER_BYTES) for p in kpi.partials)
        # Very many panes have a warning of their own.
        if kpi.contract is not None and size > LARGE_BYTES and panes <= MANY_HOPS:
            message = (
                f"the state of one series may take {size / 1e6:.1f} MB: {panes} panes of "
                f"{size // panes:,} bytes at most"
            )
            hint = "a longer hop makes fewer panes; max_state_bytes limits the state of all series"
            entry = declared.kpis[name]
            declared.report(entry, ("window",), message, hint, severity="warning")


def _panes(kpi: Kpi) -> int:
    """How many panes a series keeps."""
    windows = 2 if kpi.has_retention else 1
    if not isinstance(kpi.window, FixedWindow):
        return windows
    return windows * kpi.window.size_ms // math.gcd(kpi.window.size_ms, kpi.window.hop_ms)
