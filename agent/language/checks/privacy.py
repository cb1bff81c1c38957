"""Privacy: a private KPI names its person, and no public KPI shows single people."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlglot import exp

from agent.core.model.events import Topics
from agent.core.model.paths import Path
from agent.language.compile.contracts import make_topics
from agent.language.compile.fields import columns_of, columns_read_by, make_field, may_have_more
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry
from agent.language.models.kpis import KpiSpec
from agent.language.problems import suggest
from agent.language.sql.compiler import parsed
from agent.language.sql.expressions import SqlProblem

_COMPARISONS = (exp.Predicate, exp.StartsWith, exp.EndsWith, exp.Contains, exp.Nullif)


@dataclass(frozen=True)
class _FieldSource:
    """Where a field is read from: its topics, and its path in their events."""

    topics: Topics
    path: Path

    def overlaps(self, other: _FieldSource) -> bool:
        """Whether both read the same value in the events of some topic."""
        return self.path == other.path and self.topics.shared_with(other.topics) is not None


@dataclass(frozen=True)
class _People:
    """The fields that name people, each with its private KPI: by name, and by topic and path."""

    fields: dict[str, str]
    sources: list[tuple[_FieldSource, str]]

    @classmethod
    def of(cls, declared: Declared, private: Mapping[str, Entry[KpiSpec]]) -> _People:
        """The people of all private KPIs."""
        fields: dict[str, str] = {}
        sources: list[tuple[_FieldSource, str]] = []
        for name, entry in private.items():
            person = entry.model.person
            if person is None:
                continue
            fields.setdefault(person, name)
            if (source := _source(declared, entry, person)) is not None:
                sources.append((source, name))
        return cls(fields, sources)

    def private_kpi(self, declared: Declared, entry: Entry[KpiSpec], field: str) -> str | None:
        """The private KPI whose people a field of a KPI's events names; None: it names none."""
        event = declared.events.get(str(entry.model.from_))
        read = [field] if event is None else columns_read_by(declared, event, field)
        names = (self._private_kpi(declared, entry, column) for column in (field, *read))
        return next((name for name in names if name is not None), None)

    def _private_kpi(self, declared: Declared, entry: Entry[KpiSpec], field: str) -> str | None:
        source = _source(declared, entry, field)
        same = (name for other, name in self.sources if source and source.overlaps(other))
        return self.fields.get(field) or next(same, None)


def _source(declared: Declared, entry: Entry[KpiSpec], field: str) -> _FieldSource | None:
    """Where a field of a KPI's events is read from; None: of a KPI over KPIs, or unknown."""
    event = declared.events.get(entry.model.from_) if isinstance(entry.model.from_, str) else None
    spec = event.model.fields.get(field) if event is not None else None
    if event is None or spec is None:
        return None
    return _FieldSource(make_topics(event.model), make_field(field, spec).path)


def check(declared: Declared, shapes: dict[str, Shape]) -> None:
    """Check every KPI."""
    private = {n: e for n, e in declared.kpis.items() if e.model.visibility == "private"}
    people = _People.of(declared, private)
    hides: list[str] = []
    for name, entry in declared.kpis.items():
        if entry.has_hole("visibility"):
            continue
        if name in private:
            _person(declared, entry, shapes[name])
            _person_again(declared, entry)
        else:
            if _hides(entry, private):
                hides.append(name)
            _group(declared, entry, shapes[name], private)
            _computed(declared, entry, shapes[name], private)
            _dimensions(declared, entry, people)
            _filters(declared, entry, people)
    _derivable(declared, shapes, hides)


def _hides(entry: Entry[KpiSpec], private: Collection[str]) -> bool:
    """Whether windows of few people are hidden."""
    inputs = entry.model.from_
    of_people = entry.model.person is not None or (
        isinstance(inputs, list) and any(name in private for name in inputs)
    )
    return of_people and entry.model.minimum_people != 1


def _person(declared: Declared, entry: Entry[KpiSpec], shape: Shape) -> None:
    if not entry.is_written("person"):
        message = "a private KPI that does not say who its people are"
        hint = f"name the dimension: `person: {shape.by[0] if shape.by else 'employee'}`"
        declared.report(entry, ("visibility",), message, hint)
        return
    if entry.is_written("minimum_people"):
        message = "`minimum_people` has no effect in a private KPI, whose series are of one person"
        declared.report(entry, ("minimum_people",), message, "take it out", on="key")
    person = entry.model.person
    if person is not None and "by" not in shape.unsure and person not in shape.by:
        hint = suggest(person, shape.by, "dimensions") if shape.by else "add it to `by`"
        declared.report(entry, ("person",), f"'{person}' is not a dimension of the KPI", hint)


def _group(
    declared: Declared, entry: Entry[KpiSpec], shape: Shape, private: Mapping[str, Entry[KpiSpec]]
) -> None:
    """Check that a public KPI shows people in groups only."""
    model = entry.model
    if entry.is_written("export"):
        message = "`export` has no effect in a KPI that everybody sees"
        declared.report(entry, ("export",), message, "add `visibility: private`", on="key")
    over_kpis = isinstance(model.from_, list)
    if model.person is not None and over_kpis:
        message = "`person` has no effect in a KPI over KPIs that everybody sees"
        hint = "a roll-up of a private KPI knows its people: take it out"
        declared.report(entry, ("person",), message, hint, on="key")
    elif model.person is not None and model.person in shape.by:
        message = f"'{model.person}' is a dimension: each series shows one person to everybody"
        hint = "add `visibility: private`, or take it out of `by`"
        declared.report(entry, ("person",), message, hint)
    elif model.person is not None:
        event = declared.events.get(str(model.from_))
        fields = [] if event is None else list(columns_of(declared, event))
        if event is not None and model.person not in fields and not may_have_more(event):
            hint = suggest(model.person, fields, "fields")
            message = f"'{model.person}' is not a field of '{model.from_}'"
            declared.report(entry, ("person",), message, hint)
    elif entry.is_written("minimum_people"):
        inputs = model.from_ if isinstance(model.from_, list) else []
        if not any(name in private for name in inputs):
            message = "`minimum_people` has no effect in a KPI that does not say who its people are"
            hint = "name the field of the event: `person: employee`"
            declared.report(entry, ("minimum_people",), message, hint, on="key")


def _derivable(declared: Declared, shapes: Mapping[str, Shape], hides: Collection[str]) -> None:
    """Warn of KPIs from which hidden groups can be derived: totals, from which the visible groups
    can be subtracted, and the same value by the same or smaller groups."""
    for name, entry in declared.kpis.items():
        for other in hides if entry.model.visibility != "private" else ():
            by, theirs = set(shapes[name].by), set(shapes[other].by)
            is_total = by < theirs
            if (is_total or (by >= theirs and name not in hides)) and _same_value(
                declared, shapes, name, other
            ):
                message = f"it gives away the groups that '{other}' hides"
                hint = f"roll up what is shown: `from: [{other}]`"
                if not is_total:
                    hint = "name the people here, too: `person`"
                declared.report(entry, ("value",), message, hint, severity="warning")


def _same_value(declared: Declared, shapes: Mapping[str, Shape], a: str, b: str) -> bool:
    """Whether two KPIs are the same but for their dimensions."""
    first, second = declared.kpis[a].model, declared.kpis[b].model
    return shapes[a].window == shapes[b].window and (first.from_, first.where, first.value) == (
        second.from_, second.where, second.value,
    )  # fmt: skip


def _computed(
    declared: Declared,
    entry: Entry[KpiSpec],
    shape: Shape,
    private: dict[str, Entry[KpiSpec]],
) -> None:
    """Report a public KPI over private ones that keeps their person as a dimension."""
    inputs = entry.model.from_
    for i, name in enumerate(inputs if isinstance(inputs, list) else ()):
        if name in private and private[name].model.person in shape.by:
            message = f"it is computed from '{name}', which is private, and shows the same people"
            person = private[name].model.person or "…"
            hint = f"add `visibility: private` and `person: {person}`, or sum up without it in `by`"
            declared.report(entry, ("from", i), message, hint)


def _person_again(declared: Declared, entry: Entry[KpiSpec]) -> None:
    """Report other dimensions that name the person: only `person` is hashed."""
    person = entry.model.person
    source = _source(declared, entry, person) if person is not None else None
    for i, dimension in enumerate(entry.model.by or ()):
        if dimension != person and source and _source(declared, entry, dimension) == source:
            message = f"'{dimension}' is read from the same place as '{person}': it names people"
            declared.report(entry, ("by", i), message, "remove it: only `person` is hashed")


def _dimensions(declared: Declared, entry: Entry[KpiSpec], people: _People) -> None:
    """Warn of dimensions that name people of a private KPI."""
    for i, dimension in enumerate(entry.model.by or ()):
        if (private := people.private_kpi(declared, entry, dimension)) is not None:
            message = f"'{dimension}' names the people of '{private}', which is private"
            hint = "add `visibility: private` here too, unless everybody may see them"
            declared.report(entry, ("by", i), message, hint, severity="warning")


def _filters(declared: Declared, entry: Entry[KpiSpec], people: _People) -> None:
    """Report filters for single people, which would show a value of theirs to everybody."""
    for key in ("where", "value"):
        sql = getattr(entry.model, key)
        for field in _compared(sql) if people.fields and sql else ():
            if (private := people.private_kpi(declared, entry, field)) is not None:
                message = f"it selects people by '{field}', who are private in '{private}'"
                hint = "count everybody, or make this KPI `visibility: private` with a `person`"
                declared.report(entry, (key,), message, hint)


def _compared(sql: str) -> list[str]:
    """The columns that an expression compares with texts or numbers, outside aggregates of them."""
    try:
        tree = parsed(sql)
    except SqlProblem:
        return []  # reported where it is compiled
    comparisons = [(node, node) for node in tree.find_all(*_COMPARISONS)]
    # `case mechanic when '4711' then …`
    comparisons += [(case, case.this) for case in tree.find_all(exp.Case) if case.this is not None]
    return list(
        dict.fromkeys(
            column.name
            for comparison, compared in comparisons
            if comparison.find(exp.Literal) is not None
            for column in compared.walk(prune=lambda node: isinstance(node, exp.AggFunc))
            if isinstance(column, exp.Column)
        )
    )
