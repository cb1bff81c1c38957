"""Rules with a `pace` or an `objective` (SLO): both must fit the KPI, and each other."""

from __future__ import annotations

import math
import re

from agent.core.history.burn_rate import PUBLISHED
from agent.core.model.windows import CalendarWindow, FixedWindow
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry
from agent.language.models import durations
from agent.language.models.rules import PaceSpec, RuleSpec
from agent.language.models.values import Slo
from agent.language.source import Place

_NOT_ADDITIVE = re.compile(
    r"\b(avg|min|max|stddev|quantile|retention|first|last)\s*\(|\bdistinct\b|/", re.IGNORECASE
)


def check(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> None:
    """Check one rule."""
    model = entry.model
    if model.pace is not None and model.objective is not None and model.when is None:
        message = "both `pace` and `objective`, and no `when` that says which one is evaluated"
        declared.report(entry, ("objective",), message, "write two rules", on="key")
    if model.pace is not None:
        _pace(declared, entry, shape)
    for i, override in enumerate(model.overrides):
        if override.pace is not None:
            _period_of_pace(declared, entry, ("overrides", i, "pace"), override.pace, shape)
    if model.objective is not None:
        _objective(declared, entry, shape)
    for i, override in enumerate(model.overrides):
        has_severity_only = override.severity is not None and override.when is None
        if has_severity_only and model.objective is not None and model.when is None:
            _one_severity(declared, entry, ("overrides", i, "severity"))
        if override.objective is not None and override.when is None:
            at: Place = ("overrides", i, "objective")
            _period(declared, entry, at, override.objective)
            if model.when is None:
                _can_fire(declared, entry, at, override.objective)


def _period_of_pace(
    declared: Declared, entry: Entry[RuleSpec], at: Place, pace: PaceSpec, shape: Shape
) -> None:
    """Report a period that is shorter than the KPI's windows."""
    if "window" in shape.unsure:
        return
    period, window = CalendarWindow(pace.period, "UTC"), shape.window
    longer = window.step_ms > period.step_ms or (
        isinstance(window, FixedWindow) and window.size_ms > period.step_ms
    )
    if longer:
        message = f"a {pace.period} is shorter than a window of '{entry.model.kpi}'"
        hint = "use a longer period, or a KPI with shorter windows"
        declared.report(entry, (*at, "period"), message, hint)


def _pace(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> None:
    """Report a pace of a KPI whose windows don't add up."""
    watched = declared.kpis.get(entry.model.kpi or "")
    if watched is None:
        return
    not_additive = _NOT_ADDITIVE.search(watched.model.value)
    if isinstance(watched.model.from_, list) or not_additive is not None:
        message = f"a pace adds up the windows of '{entry.model.kpi}', which don't add up"
        hint = "watch a KPI that is a count or a sum"
        declared.report(entry, ("pace",), message, hint, on="key")
    elif entry.model.pace is not None:
        _period_of_pace(declared, entry, ("pace",), entry.model.pace, shape)


def _objective(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> None:
    model = entry.model
    watched = declared.kpis.get(model.kpi or "")
    unit = watched.model.unit if watched is not None else None
    if unit not in (None, "ratio"):
        message = f"an objective is a share from 0 to 1, but '{model.kpi}' is in {unit}"
        hint = "watch a KPI with `unit: ratio`"
        declared.report(entry, ("objective",), message, hint)
    if model.when is None and model.severity is not None:
        _one_severity(declared, entry, ("severity",))
    shortest = min(row.long_ms for row in PUBLISHED)
    if model.when is not None or "window" in shape.unsure or model.objective is None:
        return
    if shape.window.span_ms > shortest:
        message = (
            f"burn rates are evaluated over {durations.show(shortest)} first, and the windows of "
            f"'{model.kpi}' are longer"
        )
        hint = "give the KPI shorter windows, or write `when: burn_rate('3d') > 1`"
        declared.report(entry, ("objective",), message, hint)
    _period(declared, entry, ("objective",), model.objective)
    _can_fire(declared, entry, ("objective",), model.objective)


def _one_severity(declared: Declared, entry: Entry[RuleSpec], at: Place) -> None:
    message = "`severity`, but an `objective` alerts with two of them"
    declared.report(entry, at, message, "leave `severity` out, or write `when`", on="key")


def _can_fire(declared: Declared, entry: Entry[RuleSpec], at: Place, slo: Slo) -> None:
    """Report severities whose burn rate is out of reach: with only bad events it is 1 / (1 -
    share)."""
    for severity in dict.fromkeys(row.severity for row in PUBLISHED):
        rates = [
            row.budget * slo.period_ms / row.long_ms
            for row in PUBLISHED
            if row.severity == severity
        ]
        most = round(1 / (1 - slo.share), 9)
        if most <= min(rates):
            message = (
                f"its {severity} alert could never fire: it needs a burn rate above "
                f"{min(rates):.4g}, but even if every event is bad, it is {most:.4g}"
            )
            least = math.ceil(10_000 * (1 - 1 / min(rates)) + 1e-6) / 100
            hint = f"set an objective of {least:g}% or more, or write `when: burn_rate('3d') > 1`"
            declared.report(entry, at, message, hint)


def _period(declared: Declared, entry: Entry[RuleSpec], at: Place, slo: Slo) -> None:
    """Report a period shorter than the published windows, where no `when` names others."""
    longest = max(row.long_ms for row in PUBLISHED)
    if entry.model.when is None and slo.period_ms < longest:
        message = f"a period shorter than {durations.show(longest)}, the longest window evaluated"
        hint = "use a longer period, such as 30d, or write `when`"
        declared.report(entry, at, message, hint)
