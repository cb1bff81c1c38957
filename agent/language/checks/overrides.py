"""Overrides of rules: series that can exist, and fields that have an effect."""

from __future__ import annotations

from agent.language.checks import kinds
from agent.language.checks.kpis import check_match
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry
from agent.language.models.rules import RuleSpec

_EXAMPLES: dict[kinds.Kind, str] = {
    "value": "when: value > 900",
    "absence": "no_data_for: 2h",
    "composite": "for: 1h",
}


def check(
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
