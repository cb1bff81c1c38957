"""The SQL of all KPIs and rules, compiled; problems at their place within the text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import polars as pl

from agent.core.plan import FieldType, Partial, Severity
from agent.spec.declared import Declared, Entry
from agent.spec.models import EventSpec, KpiSpec, RuleSpec
from agent.spec.source import Place
from agent.spec.sql import (
    SqlProblem,
    compile_condition,
    compile_derived,
    compile_value,
    compile_where,
)

T = TypeVar("T")

CONDITION_COLUMNS = ("value", "events", "target")
"""What the conditions of rules may name."""

LEVELS: tuple[Severity, ...] = ("page", "critical", "warning", "info")
"""The severities, the most urgent first: the order of a rule's levels, whatever is written."""


@dataclass(frozen=True, slots=True)
class KpiSql:
    """A KPI's expressions; `partials` is empty for a KPI over KPIs."""

    where: pl.Expr | None
    partials: tuple[Partial, ...]
    value: pl.Expr


@dataclass(frozen=True, slots=True)
class Condition:
    """One severity's expressions and their text."""

    severity: Severity
    when: pl.Expr
    clear: pl.Expr | None
    when_sql: str
    clear_sql: str | None


@dataclass(slots=True)
class Statements:
    """What compiled. A KPI or rule whose SQL is wrong is missing."""

    kpis: dict[str, KpiSql] = field(default_factory=dict)
    rules: dict[str, tuple[Condition, ...]] = field(default_factory=dict)


def fields_of(event: EventSpec) -> dict[str, FieldType]:
    """The columns that SQL over an event may name, with their types."""
    return {name: spec.type for name, spec in event.fields.items()}


def compile_all(declared: Declared) -> Statements:
    """Compile every statement; notes what is wrong."""
    found = Statements()
    for name, kpi in declared.kpis.items():
        made = (
            _derived(declared, kpi) if isinstance(kpi.model.from_, list) else _base(declared, kpi)
        )
        if made is not None:
            found.kpis[name] = made
    for name, rule in declared.rules.items():
        conditions = _conditions(declared, rule)
        if conditions is not None:
            found.rules[name] = conditions
    return found


def _base(declared: Declared, entry: Entry[KpiSpec]) -> KpiSql | None:
    event = declared.events.get(str(entry.model.from_))
    if event is None:
        return None
    fields, model = fields_of(event.model), entry.model
    where = None
    if model.where is not None:
        where = _tried(declared, entry, ("where",), model.where, compile_where, fields)
    value = _tried(declared, entry, ("value",), model.value, compile_value, fields)
    if value is None or (model.where is not None and where is None):
        return None
    return KpiSql(where, *value)


def _derived(declared: Declared, entry: Entry[KpiSpec]) -> KpiSql | None:
    inputs = list(entry.model.from_)
    if any(name in declared.names["events"] for name in inputs):
        return None  # told already, and what is written is SQL over events
    value = _tried(declared, entry, ("value",), entry.model.value, compile_derived, inputs)
    return None if value is None else KpiSql(None, (), value)


def _conditions(declared: Declared, entry: Entry[RuleSpec]) -> tuple[Condition, ...] | None:
    model = entry.model
    if model.when is None:
        return ()
    when = model.when if isinstance(model.when, dict) else {model.severity or "warning": model.when}
    found = []
    for severity in LEVELS:
        if severity not in when:
            continue
        at: Place = ("when", severity) if isinstance(model.when, dict) else ("when",)
        fires = _condition(declared, entry, at, when[severity])
        clear_at: Place = ("clear", severity) if isinstance(model.clear, dict) else ("clear",)
        clear = model.clear.get(severity) if isinstance(model.clear, dict) else model.clear
        clears = None if clear is None else _condition(declared, entry, clear_at, clear)
        if fires is not None and (clear is None or clears is not None):
            found.append(Condition(severity, fires, clears, when[severity].strip(), _strip(clear)))
    return tuple(found) if len(found) == len(when) else None


def _strip(text: str | None) -> str | None:
    return None if text is None else text.strip()


def _condition(declared: Declared, entry: Entry[RuleSpec], at: Place, text: str) -> pl.Expr | None:
    found = _tried(declared, entry, at, text, compile_condition, CONDITION_COLUMNS)
    kpi = declared.kpis.get(entry.model.kpi)
    if found is None or kpi is None or kpi.model.target is not None or kpi.model.overrides:
        return found
    if "target" in found.meta.root_names():
        start = text.lower().find("target")
        message = f"'{entry.model.kpi}' has no target"
        hint = "give the KPI a `target`, or write the number"
        declared.report(entry, at, message, hint, chars=(start, start + len("target")))
    return found


def _tried(
    declared: Declared,
    entry: Entry[Any],
    at: Place,
    text: str,
    compiler: Callable[[str, Any], T],
    names: Any,
) -> T | None:
    try:
        return compiler(text, names)
    except SqlProblem as problem:
        # The same text may be compiled for several severities: problems are told once.
        chars = (problem.start, max(problem.end, problem.start + 1))
        declared.report(entry, at, problem.message, problem.hint, chars=chars)
        return None
