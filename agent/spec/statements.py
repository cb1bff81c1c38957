"""The SQL of all KPIs and rules, compiled; problems at their place within the text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, get_args

import polars as pl

from agent.core.plan import FieldType, Partial, Severity
from agent.spec.checks.kpis import has_target
from agent.spec.declared import Declared, Entry
from agent.spec.models import EventSpec, KpiSpec, RuleSpec
from agent.spec.salvage import NOBODY
from agent.spec.shapes import type_unknown
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


class _Open(dict[str, FieldType]):
    """Columns that may be more than is known: any other name has one assumed type."""

    def __init__(self, known: Mapping[str, FieldType], other: FieldType) -> None:
        super().__init__(known)
        self.other = other

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> FieldType:
        return self.other


def _readings(event: Entry[EventSpec] | None) -> list[Mapping[str, FieldType]]:
    """The columns that SQL over an event may name, with their types.

    Where a mistake in the event leaves types open, one reading for each type: only what is wrong
    in all of them is wrong by itself.
    """
    types: tuple[FieldType, ...] = get_args(FieldType)
    if event is None:
        return [_Open({}, type_) for type_ in types]
    fields = event.model.fields
    known = {name: spec.type for name, spec in fields.items() if not type_unknown(event, name)}
    if type_unknown(event, NOBODY):
        return [_Open(known, type_) for type_ in types]
    if len(known) == len(fields):
        return [known]
    return [dict.fromkeys(fields, type_) | known for type_ in types]


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
    model, event = entry.model, str(entry.model.from_)
    if event in declared.names["kpis"] and event not in declared.names["events"]:
        return None  # told already, and what is written is SQL over KPIs
    readings = _readings(declared.events.get(event))
    where = None
    if model.where is not None:
        tries = [partial(compile_where, fields=fields) for fields in readings]
        where = _tried(declared, entry, ("where",), model.where, tries)
    wanted: list[Callable[[str], Any]] = [partial(compile_value, fields=f) for f in readings]
    if entry.torn("from"):
        wanted.append(partial(compile_derived, inputs=list(declared.names["kpis"])))
    value = _tried(declared, entry, ("value",), model.value, wanted)
    if not isinstance(value, tuple) or (model.where is not None and where is None):
        return None
    return KpiSql(where, *value)


def _derived(declared: Declared, entry: Entry[KpiSpec]) -> KpiSql | None:
    inputs = list(entry.model.from_)
    unknown = [name for name in inputs if name not in declared.names["kpis"]]
    if any(name in declared.names["events"] for name in unknown):
        return None  # told already, and what is written is SQL over events
    if unknown:
        inputs += declared.names["kpis"]  # any of them may be meant
    tries = [partial(compile_derived, inputs=inputs)]
    value = _tried(declared, entry, ("value",), entry.model.value, tries)
    return None if value is None else KpiSql(None, (), value)


def _conditions(declared: Declared, entry: Entry[RuleSpec]) -> tuple[Condition, ...] | None:
    model = entry.model
    if model.when is None:
        _lone_clears(declared, entry, ())
        return ()
    when = model.when if isinstance(model.when, dict) else {model.severity or "warning": model.when}
    _lone_clears(declared, entry, when)
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


def _lone_clears(declared: Declared, entry: Entry[RuleSpec], when: Collection[Severity]) -> None:
    """What is wrong with a `clear` whose `when` is missing, or could not be read."""
    clear = entry.model.clear
    if isinstance(clear, dict):
        for severity in clear:
            if severity not in when:
                _condition(declared, entry, ("clear", severity), clear[severity])
    elif clear is not None and not when:
        _condition(declared, entry, ("clear",), clear)


def _strip(text: str | None) -> str | None:
    return None if text is None else text.strip()


def _condition(declared: Declared, entry: Entry[RuleSpec], at: Place, text: str) -> pl.Expr | None:
    tries = [partial(compile_condition, columns=CONDITION_COLUMNS)]
    found = _tried(declared, entry, at, text, tries)
    kpi = declared.kpis.get(entry.model.kpi)
    if found is None or kpi is None or has_target(kpi):
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
    tries: Iterable[Callable[[str], T]],
) -> T | None:
    """The text compiled in the first way that works; what is wrong with it in all is noted."""
    problems = []
    for compiler in tries:
        try:
            return compiler(text)
        except SqlProblem as problem:
            problems.append(problem)
    if len({(p.message, p.start, p.end) for p in problems}) == 1:
        # The same text may be compiled for several severities: problems are told once.
        first = problems[0]
        chars = (first.start, max(first.end, first.start + 1))
        declared.report(entry, at, first.message, first.hint, chars=chars)
    return None
