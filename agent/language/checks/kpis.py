"""KPIs: their dimensions, targets and overrides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from agent.core.model.events import FieldType, Scalar
from agent.core.model.windows import DAY_MS
from agent.core.output.labels import RESERVED_LABELS
from agent.language.checks import targets
from agent.language.compile.shapes import Shape
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
    hint = f"write `{unit}`, which goes by the clocks of {zone}"
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
