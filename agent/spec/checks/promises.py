"""Rules with a `pace`, an `objective` or `overrides`: what must fit the KPI, and each other."""

from __future__ import annotations

import re

from agent.core.features.burn import PUBLISHED
from agent.spec import durations
from agent.spec.checks.kpis import check_match
from agent.spec.declared import Declared, Entry
from agent.spec.models import RuleSpec
from agent.spec.shapes import Shape

_NOT_ADDITIVE = re.compile(
    r"\b(avg|min|max|stddev|quantile|retention|first|last)\s*\(|\bdistinct\b|/", re.IGNORECASE
)


def check(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> None:
    """Check one rule."""
    model = entry.model
    if model.pace is not None and model.objective is not None and model.when is None:
        message = "both `pace` and `objective`, and no `when` that says which one is judged"
        declared.report(entry, ("objective",), message, "make two rules of it", on="key")
    if model.pace is not None:
        _pace(declared, entry)
    if model.objective is not None:
        _objective(declared, entry, shape)
    for i, override in enumerate(model.overrides):
        at = ("overrides", i, "match")
        check_match(declared, entry, at, override.match, model.kpi or "", shape)
        said = override.model_fields_set - {"match", "off"}
        if override.off and said:
            message = "an override that is `off` says more"
            declared.report(entry, ("overrides", i, "off"), message, "leave one of them out")
        elif not override.off and not said:
            message = "an override that changes nothing"
            hint = "add what is different, for example `when: value > 900`, or `off: true`"
            declared.report(entry, ("overrides", i), message, hint)


def _pace(declared: Declared, entry: Entry[RuleSpec]) -> None:
    """A pace adds up windows."""
    watched = declared.kpis.get(entry.model.kpi or "")
    if watched is None:
        return
    found = _NOT_ADDITIVE.search(watched.model.value)
    if isinstance(watched.model.from_, list) or found is not None:
        message = f"a pace adds up the windows of '{entry.model.kpi}', which don't add up"
        hint = "watch a KPI that is a count or a sum"
        declared.report(entry, ("pace",), message, hint, on="key")


def _objective(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> None:
    model = entry.model
    watched = declared.kpis.get(model.kpi or "")
    unit = watched.model.unit if watched is not None else None
    if unit not in (None, "ratio"):
        message = f"an objective is promised of a share from 0 to 1; '{model.kpi}' is in {unit}"
        hint = "watch a KPI with `unit: ratio`"
        declared.report(entry, ("objective",), message, hint)
    if model.when is None and model.severity is not None:
        message = "`severity`, but an `objective` alerts with two of them"
        hint = "leave `severity` out, or write `when`"
        declared.report(entry, ("severity",), message, hint, on="key")
    longest = max(row.long_ms for row in PUBLISHED)
    shortest = min(row.long_ms for row in PUBLISHED)
    if model.when is not None or "window" in shape.unsure or model.objective is None:
        return
    if shape.window.span_ms > shortest:
        message = (
            f"burn rates are judged over {durations.show(shortest)} first, and the windows of "
            f"'{model.kpi}' are longer"
        )
        hint = "give the KPI shorter windows, or write `when: burn_rate('3d') > 1`"
        declared.report(entry, ("objective",), message, hint)
    if model.objective.period_ms < longest:
        message = f"a period shorter than {durations.show(longest)}, the longest window judged"
        hint = "take a longer period, 30d mostly, or write `when`"
        declared.report(entry, ("objective",), message, hint)
