"""Compiles the SQL of all KPIs and rules; reports problems at their characters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, get_args

import polars as pl
from sqlglot import exp

from agent.core.model.events import FieldType
from agent.core.model.kpis import Cast, Partial, PartialKind
from agent.language.compile.conditions import RuleSql, compile_rule
from agent.language.compile.fields import columns_of, may_have_more, read_columns_of
from agent.language.compile.shapes import UNKNOWN, Shape
from agent.language.declared import Declared, Entry, zone_of
from agent.language.models.events import EventSpec
from agent.language.models.kpis import KpiSpec
from agent.language.recovery import UNKNOWN_NAME
from agent.language.sql.compiler import (
    casts_in,
    compile_column,
    compile_computed,
    compile_derived,
    compile_value,
    compile_where,
)
from agent.language.sql.roll_up import compile_roll_up
from agent.language.sql.types import SqlType, Typed, sql_type


@dataclass(frozen=True, slots=True)
class KpiSql:
    """The compiled expressions of a KPI. `partials` is empty for a KPI over KPIs; `whole`: its
    values are whole numbers; the last `people` of the partials count people."""

    where: pl.Expr | None
    partials: tuple[Partial, ...]
    value: pl.Expr
    whole: bool
    casts: tuple[Cast, ...] = ()
    people: int = 0


@dataclass(slots=True)
class Statements:
    """The compiled statements; those with errors are missing. `computed`: the fields with `as`, by
    event; `columns`: the fields computed from others."""

    computed: dict[str, dict[str, pl.Expr]] = field(default_factory=dict)
    columns: dict[str, dict[str, Typed]] = field(default_factory=dict)
    kpis: dict[str, KpiSql] = field(default_factory=dict)
    rules: dict[str, RuleSql] = field(default_factory=dict)


class _OpenColumns(dict[str, SqlType]):
    """Columns of an event that may have others, too: these have one assumed type."""

    def __init__(self, known: Mapping[str, SqlType], other: SqlType) -> None:
        super().__init__(known)
        self.other = other

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> SqlType:
        return self.other


def _possible_columns(
    declared: Declared,
    event: Entry[EventSpec] | None,
    columns: Mapping[str, SqlType | None] | None = None,
) -> list[Mapping[str, SqlType]]:
    """The columns that SQL over an event may name, with their types; `columns`: those of which
    they are, not all.

    Where an error in the event leaves types unknown, one mapping for each type: a statement is
    reported only if it is wrong with all of them.
    """
    types = [sql_type(type_) for type_ in get_args(FieldType)]
    if event is None:
        return [_OpenColumns({}, type_) for type_ in types]
    columns = columns_of(declared, event) if columns is None else columns
    known = {name: type_ for name, type_ in columns.items() if type_ is not None}
    if may_have_more(event):
        return [_OpenColumns(known, type_) for type_ in types]
    if len(known) == len(columns):
        return [known]
    return [dict.fromkeys(columns, type_) | known for type_ in types]


def compile_all(declared: Declared, shapes: Mapping[str, Shape]) -> Statements:
    """Compile every statement; reports what is wrong. `shapes` has the inputs of a KPI first."""
    events = declared.events.values()
    statements = Statements({e.name: _computed(declared, e) for e in events})
    statements.columns = {e.name: _columns(declared, e) for e in events}
    for name in shapes:
        kpi = declared.kpis[name]
        sql = (
            _derived(declared, kpi, shapes, statements.kpis)
            if isinstance(kpi.model.from_, list)
            else _base(declared, kpi)
        )
        if sql is not None:
            statements.kpis[name] = sql
    for name, rule in declared.rules.items():
        if rule.model.kpi is None:
            continue  # over other rules: see `agent.language.compile.links`
        conditions = compile_rule(declared, rule, shapes.get(rule.model.kpi, UNKNOWN))
        if conditions is not None:
            statements.rules[name] = conditions
    return statements


def _computed(declared: Declared, entry: Entry[EventSpec]) -> dict[str, pl.Expr]:
    """The compiled `as` of an event's fields."""
    computed = {}
    zone = zone_of(declared, entry.model.timezone)
    columns = columns_of(declared, entry)
    for name, spec in entry.model.fields.items():
        type_ = columns[name]
        if spec.as_ is None or type_ is None:
            continue
        way = partial(compile_computed, type_=type_, timezone=zone)
        expr = declared.compile_first(entry, ("fields", name, "as"), spec.as_, [way])
        if expr is not None:
            computed[name] = expr
    return computed


def _columns(declared: Declared, entry: Entry[EventSpec]) -> dict[str, Typed]:
    """The compiled fields of an event that are computed from others."""
    computed = {}
    zone = zone_of(declared, entry.model.timezone)
    possible = _possible_columns(declared, entry, read_columns_of(declared, entry))
    for name, text in entry.model.computed.items():
        ways = [partial(compile_column, fields=fields, timezone=zone) for fields in possible]
        typed = declared.compile_first(entry, ("computed", name), text, ways)
        if typed is not None:
            computed[name] = typed
    return computed


def _base(declared: Declared, entry: Entry[KpiSpec]) -> KpiSql | None:
    model, event = entry.model, str(entry.model.from_)
    if event in declared.names["kpis"] and event not in declared.names["events"]:
        return None  # reported already; the SQL is over KPIs
    entry_of = declared.events.get(event)
    possible = _possible_columns(declared, entry_of)
    zone = zone_of(declared, None if entry_of is None else entry_of.model.timezone)
    where = None
    if model.where is not None:
        ways = [partial(compile_where, fields=fields, timezone=zone) for fields in possible]
        where = declared.compile_first(entry, ("where",), model.where, ways)
    value_ways: list[Callable[[str], Any]] = [
        partial(compile_value, fields=fields, timezone=zone) for fields in possible
    ]
    if entry.has_hole("from"):
        value_ways.append(partial(compile_derived, inputs=list(declared.names["kpis"])))
    value = declared.compile_first(entry, ("value",), model.value, value_ways)
    if not isinstance(value, tuple) or (model.where is not None and where is None):
        return None
    partials, number = value
    casts = _casts(model, where, possible[0], zone) if len(possible) == 1 else ()
    people = _people(model, partials, possible[0], zone)
    return KpiSql(
        where, (*partials, *people), number.expr, number.type != "float", casts, len(people)
    )


_COUNTS = (PartialKind.COUNT, PartialKind.DISTINCT)


def _people(
    model: KpiSpec, partials: Sequence[Partial], fields: Mapping[str, SqlType], zone: str
) -> list[Partial]:
    """The partials that count the people of a public KPI: of all rows, and of the rows that pass
    the FILTER of each aggregate of values, which may be of one person."""
    if model.person is None or model.visibility == "private" or model.minimum_people == 1:
        return []
    if model.person not in fields:
        return []  # reported by `agent.language.checks.privacy`
    column = exp.column(model.person, quoted=True).sql("duckdb")
    (_, people), _ = compile_value(f"count(DISTINCT {column})", fields, zone)
    filters = [p.filter for p in partials if p.kind not in _COUNTS and p.filter is not None]
    apart = [f for n, f in enumerate(filters) if not any(f.meta.eq(g) for g in filters[:n])]
    return [people, *(replace(people, filter=condition) for condition in apart)]


def _casts(
    model: KpiSpec, where: pl.Expr | None, fields: Mapping[str, SqlType], zone: str
) -> tuple[Cast, ...]:
    """The casts that may fail. Those in `value` only apply to rows that pass `where`."""
    in_where = () if model.where is None else casts_in(model.where, fields, zone)
    in_value = casts_in(model.value, fields, zone)
    if where is not None:
        in_value = [replace(cast, failed=cast.failed & where) for cast in in_value]
    return (*in_where, *in_value)


def _derived(
    declared: Declared,
    entry: Entry[KpiSpec],
    shapes: Mapping[str, Shape],
    compiled: Mapping[str, KpiSql],
) -> KpiSql | None:
    inputs = list(entry.model.from_)
    unknown = [name for name in inputs if name not in declared.names["kpis"]]
    if any(name in declared.names["events"] for name in unknown):
        return None  # reported already; the SQL is over events
    if unknown:
        # Any KPI may be meant.
        inputs = [name for name in inputs if name != UNKNOWN_NAME] + list(declared.names["kpis"])
    first, by = shapes.get(inputs[0]), entry.model.by
    ways: list[Callable[..., Typed]] = [compile_derived]
    if by is not None and first is not None and set(by) != set(first.by):
        # With other dimensions than the inputs', it may be either.
        ways = [compile_roll_up] if set(by) < set(first.by) else [compile_derived, compile_roll_up]
    whole = [name for name in inputs if name in compiled and compiled[name].whole]
    with_inputs = [partial(way, inputs=inputs, whole=whole) for way in ways]
    value = declared.compile_first(entry, ("value",), entry.model.value, with_inputs)
    return None if value is None else KpiSql(None, (), value.expr, value.type != "float")
