"""Resolves names in tests to KPIs, series, rules and alerts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import get_args

from agent.core.model.events import FieldType, Scalar
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase
from agent.core.model.rules import Rule, Severity, dependencies, is_whole, variant_for
from agent.core.output.labels import severities
from agent.language.problems import suggest
from agent.ruletests.cases import Alert
from agent.ruletests.notation import NotationError, ParsedName, Word, read_name

_SEVERITIES: tuple[str, ...] = get_args(Severity)
_PHASES = tuple(phase.value for phase in AlertPhase)


def series_of(plan: Plan, text: str) -> tuple[Kpi, Dimensions]:
    """The KPI and series that a text names. Raises NotationError."""
    named = read_name(text)
    for word in named.words:
        raise NotationError(f"'{word.text}' after the name", "leave it out", word.chars)
    kpi = plan.kpis.get(named.name.text)
    if kpi is None:
        hint = suggest(named.name.text, plan.kpis, "KPIs")
        raise NotationError(f"unknown KPI '{named.name.text}'", hint, named.name.chars)
    return kpi, _dimensions(named, kpi.by, _types(plan, kpi.name), kpi.name)


def alert_of(plan: Plan, text: str) -> tuple[Alert, AlertPhase | None]:
    """The alert that a text names, and its phase if the text has one. Raises NotationError."""
    named = read_name(text)
    rule = plan.rules.get(named.name.text)
    if rule is None:
        hint = suggest(named.name.text, plan.rules, "rules")
        raise NotationError(f"unknown rule '{named.name.text}'", hint, named.name.chars)
    by = () if is_whole(rule) else plan.by_of(rule.kpi) or ()
    dimensions = _dimensions(named, by, _types(plan, rule.kpi), rule.name)
    severity: str | None = None
    phase: AlertPhase | None = None
    for word in named.words:
        if word.text in _SEVERITIES and severity is None:
            severity = word.text
            _check_severity(rule, word)
        elif word.text in _PHASES and phase is None:
            phase = AlertPhase(word.text)
        else:
            hint = suggest(word.text, [*severities(rule), *_PHASES], "severities and phases")
            message = f"'{word.text}' is neither a severity nor a phase"
            raise NotationError(message, hint, word.chars)
    if severity is None:
        variant: Rule = variant_for(rule, by, dimensions) or rule
        own = tuple(level.severity for level in variant.levels)
        if len(own) > 1:
            message = f"which severity of '{rule.name}'? It has {', '.join(own)}"
            hint = f"for example: {text.strip()} {own[0]}"
            raise NotationError(message, hint, named.name.chars)
        severity = own[0]
    return Alert(rule.name, severity, dimensions), phase  # type: ignore[arg-type]


def show_series(plan: Plan, subject: str, dimensions: Dimensions) -> str:
    """The name of a series in tests; `subject` is its KPI."""
    return f"{subject}{_braces(plan.by_of(subject) or (), dimensions)}"


def show_alert(plan: Plan, alert: Alert) -> str:
    """The name of an alert in tests; with the severity if the rule has several."""
    rule = plan.rules[alert.rule]
    severity = f" {alert.severity}" if len(severities(rule)) > 1 else ""
    return f"{alert.rule}{_braces(plan.by_of(rule.kpi) or (), alert.dimensions)}{severity}"


def _braces(by: tuple[str, ...], dimensions: Dimensions) -> str:
    pairs = zip(by, dimensions, strict=False)
    inside = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in pairs)
    return f"{{{inside}}}" if inside else ""


def _check_severity(rule: Rule, word: Word) -> None:
    own = severities(rule)
    if word.text not in own:
        message = f"'{rule.name}' has no severity {word.text}"
        raise NotationError(message, f"it has {', '.join(own)}", word.chars)


def _dimensions(
    named: ParsedName, by: tuple[str, ...], types: Mapping[str, FieldType], owner: str
) -> Dimensions:
    for key, (word, _) in named.dimensions.items():
        if key not in by:
            hint = suggest(key, by, f"dimensions of {owner}") if by else "leave the braces out"
            at = word.start - 1 - len(key)
            raise NotationError(f"'{key}' is not a dimension of {owner}", hint, (at, at + len(key)))
    missing = [name for name in by if name not in named.dimensions]
    if missing:
        pairs = ", ".join(f'{name}="…"' for name in by)
        message = f"which {' and '.join(missing)}? A test names one series"
        raise NotationError(message, f"{named.name.text}{{{pairs}}}", named.name.chars)
    return tuple(_scalar(*named.dimensions[name], types[name]) for name in by)


def _scalar(word: Word, quoted: bool, type_: FieldType) -> Scalar:
    text = word.text
    if text == "null" and not quoted:
        return None
    if type_ == "boolean":
        if text in ("true", "false"):
            return text == "true"
        raise NotationError(f"'{text}' is not true or false", None, word.chars)
    if type_ == "integer":
        try:
            return int(text)
        except ValueError:
            raise NotationError(f"'{text}' is not a whole number", None, word.chars) from None
    return text


def _types(plan: Plan, subject: str) -> Mapping[str, FieldType]:
    """The types of the dimensions of a KPI, or of a composite rule."""
    kpi = plan.kpis.get(subject)
    if kpi is not None and kpi.contract is not None:
        return plan.contracts[kpi.contract].types
    below = (
        kpi.inputs if kpi else [h.subject for r in plan.rules_of(subject) for h in dependencies(r)]
    )
    return {name: type_ for dependency in below for name, type_ in _types(plan, dependency).items()}
