"""KPIs: their dimensions, targets and overrides."""

from __future__ import annotations

import math

from agent.core.plan import FieldType, Scalar
from agent.spec import durations
from agent.spec.declared import Declared, Entry
from agent.spec.models import KpiSpec, TargetSpec
from agent.spec.problems import suggest
from agent.spec.shapes import Shape
from agent.spec.source import Place

RESERVED_LABELS = {
    "le": "Prometheus uses it for the buckets of histograms",
    "quantile": "Prometheus uses it for summaries",
    "instance": "Prometheus sets it to the scraped address",
    "job": "Prometheus sets it to the scrape job",
    "alertname": "Prometheus sets it to the name of an alert",
    "band": "the agent's target metrics have it",
    "kpi": "the agent's metrics have it",
    "rule": "the agent's metrics have it",
    "severity": "the agent's metrics have it",
    "objective": "the agent's metrics have it",
    "owner": "the generated alerts have it",
    "team": "the generated alerts have it",
    "series": "the generated alerts have it",
    "escalation": "the generated alerts have it",
}
"""Label names that a dimension can not have, and why."""

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
            told = len(declared.problems)
            check_target(declared, entry, ("target",), model.target)
            if told == len(declared.problems) and not entry.torn("better"):
                _direction(declared, entry, model.target)
        for i, override in enumerate(model.overrides):
            check_target(declared, entry, ("overrides", i, "target"), override.target)
            _match(declared, entry, i, override.match, shape)
        _expiry(declared, entry, shape)


def has_target(entry: Entry[KpiSpec]) -> bool:
    """Whether any series of a KPI has a target, or may have one when its mistakes are mended."""
    return entry.says("target") or bool(entry.model.overrides) or entry.torn("overrides")


def _label(declared: Declared, entry: Entry[KpiSpec], at: Place, dimension: str) -> None:
    if dimension in RESERVED_LABELS:
        message = f"'{dimension}' can not be a dimension: {RESERVED_LABELS[dimension]}"
        hint = f"give the field another name: `{dimension}_name: {{path: {dimension}, …}}`"
        declared.report(entry, at, message, hint)


def check_target(declared: Declared, entry: Entry[KpiSpec], at: Place, target: TargetSpec) -> None:
    """One bound, or two in order; the warning band inside."""
    given = [
        bound
        for bound in ("at_most", "at_least", "between")
        if getattr(target, bound) is not None or (*at, bound) in entry.holes
    ]
    if not given:
        hint = "give at_most, at_least or between"
        declared.report(entry, at, "a target without a bound", hint, on="key")
        return
    if len(given) > 1:
        hint = "keep one; for two bounds write `between: [low, high]`"
        message = f"both {given[0]} and {given[1]}"
        declared.report(entry, (*at, given[1]), message, hint, on="key")
        return
    kind = given[0]
    if kind == "between":
        _between(declared, entry, at, target)
    elif isinstance(target.warn, list):
        message = f"two warn values with {kind}"
        declared.report(entry, (*at, "warn"), message, "one number: where the warning begins")
    elif target.warn is not None and (*at, kind) not in entry.holes:
        _warn(declared, entry, at, kind, getattr(target, kind), target.warn)


def _warn(
    declared: Declared, entry: Entry[KpiSpec], at: Place, kind: str, bound: float, warn: float
) -> None:
    if (kind == "at_most" and warn > bound) or (kind == "at_least" and warn < bound):
        side, right = ("above", "below") if kind == "at_most" else ("below", "above")
        message = f"warn {warn:g} is {side} {kind} {bound:g}: the target is missed before it warns"
        declared.report(entry, (*at, "warn"), message, f"put warn {right} {bound:g}")


def _between(declared: Declared, entry: Entry[KpiSpec], at: Place, target: TargetSpec) -> None:
    low, high = target.between or (-math.inf, math.inf)
    if low >= high:
        message = f"{low:g} is not below {high:g}"
        declared.report(entry, (*at, "between"), message, "the lower bound comes first")
        return
    if target.warn is None:
        return
    if not isinstance(target.warn, list):
        message = "one warn value with between"
        hint = "two numbers inside the bounds: `warn: [low, high]`"
        declared.report(entry, (*at, "warn"), message, hint)
        return
    warn_low, warn_high = target.warn
    if not low <= warn_low < warn_high <= high:
        message = f"warn [{warn_low:g}, {warn_high:g}] is not inside [{low:g}, {high:g}]"
        hint = "low bound ≤ low warn < high warn ≤ high bound"
        declared.report(entry, (*at, "warn"), message, hint)


def _direction(declared: Declared, entry: Entry[KpiSpec], target: TargetSpec) -> None:
    better = entry.model.better
    wanted = "lower" if target.at_most is not None else "higher"
    one_sided = target.at_most is not None or target.at_least is not None
    if one_sided and better != wanted:
        kind = "at_most" if wanted == "lower" else "at_least"
        written = "" if "better" in entry.model.model_fields_set else ", as it is if not given"
        message = f"the target is {kind}, but better is {better}{written}"
        declared.report(
            entry,
            ("target", kind),
            message,
            f"say `better: {wanted}`",
            on="key",
            severity="warning",
        )


def _match(
    declared: Declared, entry: Entry[KpiSpec], i: int, match: dict[str, Scalar], shape: Shape
) -> None:
    for dimension, value in match.items():
        at: Place = ("overrides", i, "match", dimension)
        if dimension not in shape.by and "by" in shape.unsure:
            continue
        if dimension not in shape.by:
            hint = suggest(dimension, shape.by, "dimensions") if shape.by else "add it to `by`"
            message = f"'{dimension}' is not a dimension of '{entry.name}'"
            declared.report(entry, at, message, hint, on="key")
            continue
        if dimension not in shape.types:
            continue
        wanted, word = _SCALARS[shape.types[dimension]]
        # A bool is an int in Python, and not in JSON.
        fits = isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool)
        if value is not None and not fits:
            shown = f"'{value}'" if isinstance(value, str) else str(value).lower()
            message = f"{shown} can not equal '{dimension}', which is {word}"
            hint = f'put it in quotes: "{shown}"' if wanted is str else f"write {word}"
            declared.report(entry, at, message, hint)


def _expiry(declared: Declared, entry: Entry[KpiSpec], shape: Shape) -> None:
    expire_after = entry.model.expire_after
    if "window" in shape.unsure:
        return
    if expire_after is not None and expire_after < shape.window.span_ms:
        message = "a series would be forgotten before its window closes"
        hint = f"at least {durations.show(shape.window.span_ms)}, the longest window"
        declared.report(entry, ("expire_after",), message, hint)
