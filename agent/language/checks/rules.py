"""Rules: one kind each, durations that the windows can distinguish, templates that render,
overrides that have an effect on series that can exist."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.core.model.rules import Severity
from agent.core.output import templates
from agent.core.output.labels import RESERVED_LABELS
from agent.core.output.messages import VARIABLES
from agent.language.checks import kinds, slo
from agent.language.checks.kpis import check_match
from agent.language.compile.links import Links
from agent.language.compile.shapes import ANY_WINDOW, UNKNOWN, Shape, expire_after_ms, slices
from agent.language.declared import Declared, Entry
from agent.language.models import durations
from agent.language.models.rules import ConditionSpec, RuleSpec
from agent.language.problems import suggest
from agent.language.source import Place

Texts = str | dict[Severity, str]


def check(declared: Declared, shapes: dict[str, Shape], links: Links) -> None:
    """Check every rule, as far as possible even where its KPI is unknown."""
    slices_ms = slices(declared, shapes)
    for entry in declared.rules.values():
        kpi = entry.model.kpi
        if kpi is None:
            seen = [shapes[name].types for name in links.input_kpis(entry.name) if name in shapes]
            types = {name: type_ for types in seen for name, type_ in types.items()}
            shape = Shape(links.by(entry.name), ANY_WINDOW, types)
            shape = UNKNOWN if entry.has_hole("kpi") else shape
        else:
            declared.check_reference(entry, ("kpi",), "kpis", kpi)
            shape = shapes.get(kpi, UNKNOWN)
            _kind(declared, entry)
            _over_kpis(declared, entry, kpi)
        _overrides(declared, entry, kinds.kind_of(entry), shape, links.is_whole(entry.name))
        _severities(declared, entry)
        _labels(declared, entry, shape)
        if kpi is not None:
            slo.check(declared, entry, shape)
        if kpi is not None and "window" not in shape.unsure:
            _spans(declared, entry, shape, slices_ms[kpi])
            _expires(declared, entry, shape)
        for key in ("summary", "description"):
            text = getattr(entry.model, key)
            if text is not None:
                _template(declared, entry, key, text, shape)


def _kind(declared: Declared, entry: Entry[RuleSpec]) -> None:
    condition = any(entry.is_written(key) for key in ("when", "pace", "objective"))
    silence = entry.is_written("no_data_for")
    if not condition and not silence:
        hint = "add `when: value > …`, or `no_data_for: 15m`"
        declared.report(entry, (), "neither `when` nor `no_data_for`", hint, on="key")
    elif condition and silence:
        hint = "write two rules"
        message = "both `when` and `no_data_for`"
        declared.report(entry, ("no_data_for",), message, hint, on="key")
    else:
        kinds.refuse(declared, entry, kinds.kind_of(entry))


def _over_kpis(declared: Declared, entry: Entry[RuleSpec], name: str) -> None:
    """Report rules that need events or open windows of a KPI over KPIs, which has none."""
    watched = declared.kpis.get(name)
    if watched is None or not isinstance(watched.model.from_, list):
        return
    hint = f"watch one of its inputs, for example `kpi: {next(iter(watched.model.from_), '…')}`"
    if entry.model.on == "current":
        message = f"'{name}' is computed from closed windows: it has no current value"
        declared.report(entry, ("on",), message, f"leave `on` out, or {hint}")
    if entry.model.no_data_for is not None:
        message = f"'{name}' has no events of its own, so absence cannot be detected"
        declared.report(entry, ("kpi",), message, hint)


def _severities(declared: Declared, entry: Entry[RuleSpec]) -> None:
    """Check that severities are given in one place, and `clear` in the form of `when`."""
    model = entry.model
    for at, own in model.placed():
        when = own.when if own.when is not None else model.when
        silence = own.no_data_for if own.no_data_for is not None else model.no_data_for
        for key, given, each in (
            ("when", when, "condition"),
            ("no_data_for", silence, "duration"),
        ):
            if isinstance(given, dict) and own.severity is not None:
                message = f"`severity` and a `{key}` by severity"
                hint = f"leave `severity` out: each {each} has its own"
                declared.report(entry, (*at, "severity"), message, hint, on="key")
        _clears(declared, entry, at, when, own.clear)


def _clears(
    declared: Declared, entry: Entry[RuleSpec], at: Place, when: Texts | None, clear: Texts | None
) -> None:
    if not isinstance(clear, dict) or when is None:
        return
    if not isinstance(when, dict):
        hint = "write `clear: …` in one line, or `when` by severity too"
        message = "`clear` by severity, but one `when`"
        declared.report(entry, (*at, "clear"), message, hint, on="key")
        return
    for level in clear:
        if level not in when and not entry.has_hole(*at, "when", level):
            message = f"`clear` for '{level}', which `when` does not have"
            hint = suggest(level, when, "severities of `when`")
            declared.report(entry, (*at, "clear", level), message, hint, on="key")


def _labels(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> None:
    for label in entry.model.labels:
        reserved = RESERVED_LABELS.get(label)
        if label in shape.by:
            reserved = "it is a dimension of the KPI"
        if reserved is not None:
            message = f"'{label}' cannot be a label: {reserved}"
            declared.report(entry, ("labels", label), message, "choose another name", on="key")


def _spans(declared: Declared, entry: Entry[RuleSpec], shape: Shape, slice_ms: int) -> None:
    """Check durations against the steps of the windows and slices."""
    for at, spec in entry.model.placed():
        _for(declared, entry, at, spec.for_, shape)
        _flaps(declared, entry, at, spec, shape)
        _silence(declared, entry, at, spec.no_data_for, slice_ms)


def _for(
    declared: Declared, entry: Entry[RuleSpec], at: Place, held: int | None, shape: Shape
) -> None:
    step_ms = shape.window.step_ms
    if entry.model.on == "current" or not held or held >= step_ms:
        return
    message = (
        f"`for: {durations.show(held)}` is shorter than the {durations.show(step_ms)} between two "
        "windows: it would fire at the first window"
    )
    hint = f"0s to fire at once, or at least {durations.show(step_ms)}"
    declared.report(entry, (*at, "for"), message, hint)


def _flaps(
    declared: Declared, entry: Entry[RuleSpec], at: Place, spec: ConditionSpec, shape: Shape
) -> None:
    """Report `flapping` that no alert can reach: it fires again two windows later at the
    earliest."""
    model = entry.model
    if spec.flapping is None or model.on == "current" or kinds.kind_of(entry) != "value":
        return
    step_ms = shape.window.step_ms
    held = spec.for_ if spec.for_ is not None else model.for_ or 0
    kept = spec.keep_firing_for if spec.keep_firing_for is not None else model.keep_firing_for or 0
    least = (spec.flapping.times - 1) * (2 * step_ms + held + kept)
    if spec.flapping.within_ms < least:
        message = (
            f"it can't fire {spec.flapping.times} times in "
            f"{durations.show(spec.flapping.within_ms)}: with these windows, that takes "
            f"{durations.show(least)}"
        )
        hint = f"a time of {durations.show(least)} or more, or fewer times"
        declared.report(entry, (*at, "flapping"), message, hint)


def _expires(declared: Declared, entry: Entry[RuleSpec], shape: Shape) -> None:
    """Report a `no_data_for` that is longer than series are kept."""
    watched = declared.kpis.get(entry.model.kpi or "")
    if watched is None or watched.has_hole("expire_after") or "by" in shape.unsure:
        return
    if not shape.by or entry.model.per == "kpi":
        return  # the KPI as a whole never expires
    expiry = expire_after_ms(watched.model, shape)
    for at, spec in entry.model.placed():
        for place, least in _silences_of(spec.no_data_for):
            if least >= expiry:
                message = (
                    f"it would never fire: a series of '{watched.name}' expires after "
                    f"{durations.show(expiry)} without events"
                )
                hint = (
                    f"give the KPI a longer `expire_after`, for example {durations.show(2 * least)}"
                )
                declared.report(entry, (*at, *place), message, hint)


def _silence(
    declared: Declared,
    entry: Entry[RuleSpec],
    at: Place,
    silence: int | dict[Severity, int] | None,
    slice_ms: int,
) -> None:
    """Report a `no_data_for` shorter than a slice: the last event is known by its slice only."""
    for place, least in _silences_of(silence):
        if least < slice_ms:
            message = (
                f"`no_data_for: {durations.show(least)}` is shorter than the slices of "
                f"{durations.show(slice_ms)} in which the events of '{entry.model.kpi}' are counted"
            )
            hint = f"the shortest is {durations.show(slice_ms)}"
            declared.report(entry, (*at, *place), message, hint)


def _silences_of(silence: int | dict[Severity, int] | None) -> list[tuple[Place, int]]:
    """Each duration of a `no_data_for`, with its place."""
    if isinstance(silence, dict):
        return [(("no_data_for", severity), least) for severity, least in silence.items()]
    return [] if silence is None else [(("no_data_for",), silence)]


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
    _units(declared, entry, key, text)
    _shadowed(declared, entry, key, text, used & VARIABLES & set(shape.by))
    if "by" in shape.unsure:
        return
    known = VARIABLES | set(shape.by)
    for name in sorted(used - known):
        message = f"unknown variable '{name}'"
        hint = suggest(name, known, "variables")
        declared.report(entry, (key,), message, hint, chars=_find(text, name))


_READS = {
    "humanize_duration": "seconds", "humanize_percentage": "ratio", "humanize_timestamp": "seconds",
}  # fmt: skip
"""By filter, the unit that it reads."""


def _units(declared: Declared, entry: Entry[RuleSpec], key: str, text: str) -> None:
    """Report filters that read another unit than the KPI has."""
    watched = declared.kpis.get(entry.model.kpi or "")
    unit = watched.model.unit if watched is not None else None
    if unit is None:
        return
    for name in dict.fromkeys(templates.filters_of(text, "value")):
        reads = _READS.get(name, unit)
        if unit != reads:
            read = "a ratio" if reads == "ratio" else reads
            message = f"`{name}` reads {read}, but '{entry.model.kpi}' is in {unit}"
            hint = "write {{ value | with_unit }}"
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
    """The span of a name within the braces of a template."""
    for braces in re.finditer(r"\{[{%].*?[%}]\}", text, re.DOTALL):
        match = re.search(rf"\b{re.escape(name)}\b", braces[0])
        if match is not None:
            return braces.start() + match.start(), braces.start() + match.end()
    return 0, len(text)


_EXAMPLES: dict[kinds.Kind, str] = {
    "value": "when: value > 900",
    "absence": "no_data_for: 2h",
    "composite": "for: 1h",
}


def _overrides(
    declared: Declared, entry: Entry[RuleSpec], kind: kinds.Kind, shape: Shape, whole: bool
) -> None:
    """Check the overrides of one rule. `shape` has the dimensions of its series; `whole`: it
    watches its KPI as a whole, and has no series."""
    model = entry.model
    if whole and model.overrides:
        message = "a KPI that is watched as a whole has no series to override"
        hint = "leave `overrides` out, or watch each series: `per: series`"
        declared.report(entry, ("overrides",), message, hint, on="key")
        return
    for i, override in enumerate(model.overrides):
        at = ("overrides", i)
        check_match(declared, entry, (*at, "match"), override.match, model.kpi or entry.name, shape)
        kinds.refuse(declared, entry, kind, i)
        for key in ("pace", "objective"):
            if getattr(override, key) is not None and not entry.is_written(key) and kind == "value":
                message = f"`{key}` in an override of a rule that has none"
                hint = "give it to the rule, or write the condition as `when`"
                declared.report(entry, (*at, key), message, hint, on="key")
        changes = override.model_fields_set - {"match", "off"}
        if override.off and changes:
            message = "an override that is `off` cannot change the rule, too"
            declared.report(entry, (*at, "off"), message, "leave one of them out")
        elif not override.off and not changes:
            message = "an override that changes nothing"
            hint = f"add what is different, for example `{_EXAMPLES[kind]}`, or `off: true`"
            declared.report(entry, at, message, hint)
