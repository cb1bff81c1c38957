"""Rules: one kind each, times that the windows can tell apart, templates that can be filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.core import templates
from agent.core.encode import VARIABLES
from agent.spec import durations
from agent.spec.checks import promises
from agent.spec.checks.kpis import RESERVED_LABELS
from agent.spec.declared import Declared, Entry
from agent.spec.links import Links
from agent.spec.models import RuleSpec
from agent.spec.problems import suggest
from agent.spec.shapes import ANY_WINDOW, UNKNOWN, Shape, slices

_ONLY_WHEN = (
    *("clear", "on", "for", "min_events", "min_history", "on_no_data", "flapping"),
    *("pace", "objective"),
)


def check(declared: Declared, shapes: dict[str, Shape], links: Links) -> None:
    """Check every rule. What is not about the KPI is checked also when the KPI is unknown."""
    slices_ms = slices(declared, shapes)
    for entry in declared.rules.values():
        kpi = entry.model.kpi
        if kpi is None:
            shape = UNKNOWN if entry.torn("kpi") else Shape(links.by(entry.name), ANY_WINDOW, {})
        else:
            declared.known(entry, ("kpi",), "kpis", kpi)
            shape = shapes.get(kpi, UNKNOWN)
            _kind(declared, entry)
            _over_kpis(declared, entry, kpi)
        _severities(declared, entry)
        _labels(declared, entry, shape)
        if kpi is not None:
            promises.check(declared, entry, shape)
        if kpi is not None and "window" not in shape.unsure:
            _for(declared, entry, shape)
            _silence(declared, entry, slices_ms[kpi])
        for key in ("summary", "description"):
            text = getattr(entry.model, key)
            if text is not None:
                _template(declared, entry, key, text, shape)


def _kind(declared: Declared, entry: Entry[RuleSpec]) -> None:
    condition = any(entry.says(key) for key in ("when", "pace", "objective"))
    silence = entry.says("no_data_for")
    if not condition and not silence:
        hint = "add `when: value > …`, or `no_data_for: 15m`"
        declared.report(entry, (), "neither `when` nor `no_data_for`", hint, on="key")
    elif condition and silence:
        hint = "make two rules of it"
        message = "both `when` and `no_data_for`"
        declared.report(entry, ("no_data_for",), message, hint, on="key")
    elif silence:
        for key in (*_ONLY_WHEN, "overrides"):
            if entry.model.overrides if key == "overrides" else entry.says(key):
                message = f"`{key}` says nothing in a rule with `no_data_for`"
                declared.report(entry, (key,), message, "leave it out", on="key")
    elif entry.says("per"):
        message = "`per` says nothing in a rule with `when`: each series is judged by itself"
        declared.report(entry, ("per",), message, "leave it out", on="key")


def _over_kpis(declared: Declared, entry: Entry[RuleSpec], name: str) -> None:
    """A KPI over KPIs is known by its closed windows only."""
    watched = declared.kpis.get(name)
    if watched is None or not isinstance(watched.model.from_, list):
        return
    hint = f"watch one of its inputs, for example `kpi: {next(iter(watched.model.from_), '…')}`"
    if entry.model.on == "current":
        message = f"'{name}' is made of closed windows: it has no current value to judge"
        declared.report(entry, ("on",), message, f"leave `on` out, or {hint}")
    if entry.model.no_data_for is not None:
        message = f"'{name}' has no events of its own that could stay away"
        declared.report(entry, ("kpi",), message, hint)


def _severities(declared: Declared, entry: Entry[RuleSpec]) -> None:
    model = entry.model
    if isinstance(model.when, dict) and model.severity is not None:
        message = "`severity` and a `when` by severity"
        hint = "leave `severity` out: each condition has its own"
        declared.report(entry, ("severity",), message, hint, on="key")
    if not isinstance(model.clear, dict) or model.when is None:
        return
    if not isinstance(model.when, dict):
        hint = "write `clear: …` in one line, or `when` by severity too"
        declared.report(entry, ("clear",), "`clear` by severity, but one `when`", hint, on="key")
        return
    for severity in model.clear:
        if severity not in model.when and not entry.torn("when", severity):
            message = f"`clear` for '{severity}', which `when` does not have"
            hint = suggest(severity, model.when, "severities of `when`")
            declared.report(entry, ("clear", severity), message, hint, on="key")


def _labels(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> None:
    for label in entry.model.labels:
        taken = RESERVED_LABELS.get(label)
        if label in shape.by:
            taken = "it is a dimension of the KPI"
        if taken is not None:
            message = f"'{label}' can not be a label: {taken}"
            declared.report(entry, ("labels", label), message, "choose another name", on="key")


def _for(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> None:
    held, step_ms = entry.model.for_, shape.window.step_ms
    if entry.model.on == "current" or not held or held >= step_ms:
        return
    message = (
        f"`for: {durations.show(held)}` is shorter than the {durations.show(step_ms)} between two "
        "windows: it would fire at the first"
    )
    hint = f"0s to fire at once, or at least {durations.show(step_ms)}"
    declared.report(entry, ("for",), message, hint)


def _silence(declared: Declared, entry: Entry[RuleSpec], slice_ms: int) -> None:
    """Of a slice is only known that it holds events: no silence shorter than it can be seen."""
    least = entry.model.no_data_for
    if least is not None and least < slice_ms:
        message = (
            f"`no_data_for: {durations.show(least)}` is shorter than the slices of "
            f"{durations.show(slice_ms)} in which the events of '{entry.model.kpi}' are counted"
        )
        hint = f"the shortest is {durations.show(slice_ms)}"
        declared.report(entry, ("no_data_for",), message, hint)


def _template(
    declared: Declared, entry: Entry[RuleSpec], key: str, text: str, shape: Shape
) -> None:
    try:
        used = templates.variables_of(text)
    except templates.BadTemplate as error:
        lines = text.splitlines(keepends=True) or [""]
        start = sum(len(line) for line in lines[: error.line - 1])
        end = start + len(lines[min(error.line, len(lines)) - 1].rstrip())
        filter_name = re.search(r"unknown filter `(\w+)`", str(error))
        hint = "for example {{ value | humanize }}"
        if filter_name is not None:
            start, end = _find(text, filter_name[1])
            hint = suggest(filter_name[1], templates.FILTERS, "filters")
        message = f"unknown filter '{filter_name[1]}'" if filter_name else str(error)
        declared.report(entry, (key,), message, hint, chars=(start, max(end, start + 1)))
        return
    _shadowed(declared, entry, key, text, used & VARIABLES & set(shape.by))
    if "by" in shape.unsure:
        return
    known = VARIABLES | set(shape.by)
    for name in sorted(used - known):
        message = f"unknown variable '{name}'"
        hint = suggest(name, known, "variables")
        declared.report(entry, (key,), message, hint, chars=_find(text, name))


def _shadowed(
    declared: Declared, entry: Entry[RuleSpec], key: str, text: str, names: Iterable[str]
) -> None:
    for name in sorted(names):
        message = f"'{name}' is the alert's own {name} here, not the dimension"
        hint = f"the dimension is {{{{ dimensions.{name} }}}}"
        chars = _find(text, name)
        declared.report(entry, (key,), message, hint, chars=chars, severity="warning")


def _find(text: str, name: str) -> tuple[int, int]:
    """Where a name stands within the braces of a template."""
    for braces in re.finditer(r"\{[{%].*?[%}]\}", text, re.DOTALL):
        found = re.search(rf"\b{re.escape(name)}\b", braces[0])
        if found is not None:
            return braces.start() + found.start(), braces.start() + found.end()
    return 0, len(text)
