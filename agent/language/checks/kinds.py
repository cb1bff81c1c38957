"""Kinds of rules, and the fields that do not apply to them.

A field that has no effect for a kind is refused, with a reason. `docs/rules.md` shows the same as a
table; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from agent.language.declared import Declared, Entry
from agent.language.models.rules import RuleOverrideSpec, RuleSpec
from agent.language.source import Place

Kind = Literal["value", "absence", "composite"]
"""What a rule evaluates: the values of a KPI, its silence, or the alerts of other rules."""

_THEIR_OWN = "leave it out: the combined rules have their own"
_OVER_THE_KPI = "write it in a rule over the KPI, and name that rule here"
REFUSED: Mapping[Kind, Mapping[str, str]] = {
    "value": {
        "no_data_for": "write two rules: one for values, one for missing data",
        "per": "leave it out: each series is evaluated separately",
    },
    "absence": {
        "when": "write two rules: one for values, one for missing data",
        "pace": "write two rules: one for values, one for missing data",
        "objective": "write two rules: one for values, one for missing data",
        "clear": "leave it out: the alert resolves with the next event, or `keep_firing_for` later",
        "on": "leave it out: absence is evaluated in event time, not by window",
        "for": "write the whole time as `no_data_for`",
        "min_events": "to alert on few events, write `when: events < 5`",
        "on_no_data": "leave it out: the rule fires on missing data",
    },
    "composite": {
        "on": _THEIR_OWN,
        "min_events": _THEIR_OWN,
        "min_history": _THEIR_OWN,
        "on_no_data": _THEIR_OWN,
        "pace": _OVER_THE_KPI,
        "objective": _OVER_THE_KPI,
        "no_data_for": _OVER_THE_KPI,
        "per": _OVER_THE_KPI,
    },
}
"""By kind, the fields that do not apply to it, and what to do instead."""

_CALLED: Mapping[Kind, str] = {
    "value": "a rule with `when`",
    "absence": "a rule with `no_data_for`",
    "composite": "a rule without `kpi`",
}
_ATTRIBUTES = {"for": "for_"}


def kind_of(entry: Entry[RuleSpec]) -> Kind:
    """The kind of a rule, by its fields; a rule with conditions and `no_data_for` is a value
    rule."""
    if entry.model.kpi is None and not entry.has_hole("kpi"):
        return "composite"
    conditions = any(entry.is_written(key) for key in ("when", "pace", "objective"))
    return "absence" if entry.is_written("no_data_for") and not conditions else "value"


def refuse(
    declared: Declared,
    entry: Entry[RuleSpec],
    kind: Kind,
    override: int | None = None,
) -> None:
    """Report each field of a rule, or of one of its overrides, that does not apply to its kind."""
    at: Place = () if override is None else ("overrides", override)
    model: RuleSpec | RuleOverrideSpec = entry.model
    if override is not None:
        model = entry.model.overrides[override]
    for key, hint in REFUSED[kind].items():
        attribute = _ATTRIBUTES.get(key, key)
        is_given = (
            entry.is_written(key)
            if override is None
            else getattr(model, attribute, None) is not None
        )
        if is_given:
            message = f"`{key}` has no effect in {_CALLED[kind]}"
            declared.report(entry, (*at, key), message, hint, on="key")
