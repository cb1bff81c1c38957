"""Rules over rules: names that exist, no cycles, conditions that need an alert to become true."""

from __future__ import annotations

import re
from typing import Literal

from agent.language.checks import kinds
from agent.language.checks.kpis import has_target
from agent.language.compile.links import (
    Links,
    Name,
    compile_composite,
    conditions,
    is_composite,
    severities_of,
    texts,
)
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry
from agent.language.models.rules import RuleSpec
from agent.language.problems import suggest
from agent.language.source import Place
from agent.language.sql.expressions import SqlProblem

_OF_VALUES = {"value", "events", "target"}


def check(declared: Declared, shapes: dict[str, Shape]) -> Links:
    """Check the references between rules; returns them, resolved."""
    links = Links(declared, shapes)
    shown: set[str] = set()
    for name, entry in declared.rules.items():
        if is_composite(entry.model) and not entry.has_hole("kpi"):
            _composite(declared, entry, links)
        for i, dependency in enumerate(entry.model.depends_on or ()):
            _dependency(declared, entry, links, i, dependency)
        cycle = links.cycle(name)
        if cycle is not None and name not in shown:
            shown.update(cycle)
            message = f"a cycle of rules: {' → '.join(cycle)}"
            key = (
                "when"
                if cycle[1] in {link.rule for link in links.dependencies[name]}
                else "depends_on"
            )
            declared.report(
                entry, (key,), message, "a rule cannot depend on itself, directly or not"
            )
        else:
            _types(declared, entry, links, shapes)
    return links


def _composite(declared: Declared, entry: Entry[RuleSpec], links: Links) -> None:
    model = entry.model
    named = {*declared.names["rules"], *declared.names["kpis"]}
    words = {word for text in texts(model.when).values() for word in re.findall(r"\w+", text)}
    if (model.when is None and not entry.has_hole("when")) or (words & _OF_VALUES) - named:
        hint = "add `kpi: orders`; only conditions over other rules have no KPI"
        declared.report(entry, (), "'kpi' is missing", hint, on="key")
        return
    kinds.refuse(declared, entry, "composite")
    for at, key, text in conditions(model):
        _condition(declared, entry, links, at, key, text)


def _condition(
    declared: Declared,
    entry: Entry[RuleSpec],
    links: Links,
    at: Place,
    key: Literal["when", "clear"],
    text: str,
) -> None:
    try:
        condition = compile_composite(text)
    except SqlProblem as problem:
        chars = (problem.start, max(problem.end, problem.start + 1))
        declared.report(entry, at, problem.message, problem.hint, chars=chars)
        return
    are_valid = [_name(declared, entry, links, at, name) for name in condition.names]
    if all(are_valid):
        holds = condition.term.holds([False] * len(condition.names))
        _without_alerts(declared, entry, at, key, holds)


def _name(declared: Declared, entry: Entry[RuleSpec], links: Links, at: Place, named: Name) -> bool:
    """Whether a name in a condition is valid; reports it where it is not."""
    rules, kpis = declared.names["rules"], declared.names["kpis"]
    if named.name in rules:
        wrong = _wrong_rule(declared, named)
    elif named.name in kpis:
        wrong = _wrong_kpi(declared, named)
    else:
        others = [name for name in (*rules, *kpis) if name != entry.name]
        hint = suggest(named.name, others, "rules and KPIs")
        wrong = f"unknown rule or KPI '{named.name}'", hint
        if not declared.complete:
            return False
    if wrong is not None:
        declared.report(entry, at, *wrong, chars=(named.start, named.end))
    return wrong is None and links.link(named.name, named.severity) is not None


def _wrong_rule(declared: Declared, named: Name) -> tuple[str, str] | None:
    rule = declared.rules.get(named.name)
    if rule is None or named.severity is None or rule.has_hole("when") or rule.has_hole("severity"):
        return None
    known = severities_of(rule.model)
    if known is None or named.severity in known:
        return None
    message = f"'{named.name}' never fires with severity '{named.severity}'"
    return message, f"its severities: {', '.join(sorted(known))}"


def _wrong_kpi(declared: Declared, named: Name) -> tuple[str, str] | None:
    kpi = declared.kpis.get(named.name)
    if named.severity is not None:
        return f"'{named.name}' is a KPI: only rules have severities", "name a rule over it"
    if kpi is None or has_target(kpi):
        return None
    hint = "give the KPI a `target`, or name a rule over it"
    return f"'{named.name}' has no target to miss", hint


def _without_alerts(
    declared: Declared,
    entry: Entry[RuleSpec],
    at: Place,
    key: Literal["when", "clear"],
    holds: bool,
) -> None:
    """Report a `clear` that is false, or a `when` that is true, while no alert fires (`holds`)."""
    if key == "clear" and not holds:
        message = "it is false while none of these fires: an alert might never resolve"
        hint = "name what must have resolved: `not slow_support`"
        declared.report(entry, at, message, hint)
    elif key == "when" and holds:
        message = "it is true while none of these fires: no alert would ever start it"
        hint = "combine it with a rule that must fire: `orders_dropping and not checkout_down`"
        declared.report(entry, at, message, hint)


def _dependency(
    declared: Declared, entry: Entry[RuleSpec], links: Links, i: int, name: str
) -> None:
    at: Place = ("depends_on", i)
    known = {section: declared.names[section] for section in ("rules", "kpis", "events")}
    if name == entry.name and name in known["rules"]:
        declared.report(entry, at, "a rule cannot depend on itself", "leave it out")
    elif not any(name in names for names in known.values()):
        if declared.complete:
            every = [n for names in known.values() for n in names if n != entry.name]
            hint = suggest(name, every, "rules, KPIs and events")
            declared.report(entry, at, f"unknown rule, KPI or event '{name}'", hint)
    elif name not in known["rules"] and not links.rules_behind(name) and declared.complete:
        whole = "" if name in known["kpis"] else " and `per: kpi`"
        hint = f"add a rule with `no_data_for`{whole} over it, or name a rule"
        message = f"no rule watches for the absence of '{name}'"
        declared.report(entry, at, message, hint)


def _types(
    declared: Declared, entry: Entry[RuleSpec], links: Links, shapes: dict[str, Shape]
) -> None:
    """Report dimensions with the same name and different types: their values are never equal."""
    first: dict[str, tuple[str, str]] = {}
    for kpi in sorted(links.input_kpis(entry.name)):
        shape = shapes.get(kpi)
        for dimension, type_ in (shape.types if shape else {}).items():
            other, known = first.setdefault(dimension, (kpi, type_))
            if known != type_:
                key = "when" if is_composite(entry.model) else "depends_on"
                message = f"'{dimension}' is {known} in '{other}' and {type_} in '{kpi}'"
                hint = "declare the same type in both events, or series cannot be matched"
                declared.report(entry, (key,), message, hint)
                return
