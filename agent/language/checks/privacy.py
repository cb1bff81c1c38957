"""Numbers of single people: a private KPI names its person, and nobody else shows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlglot import exp

from agent.core.model.events import Topics
from agent.core.model.paths import Path
from agent.language.compile.columns import columns_of, may_have_more
from agent.language.compile.contracts import make_topics
from agent.language.compile.fields import make_field
from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry
from agent.language.models.kpis import KpiSpec
from agent.language.problems import suggest
from agent.language.sql.compiler import parsed
from agent.language.sql.expressions import SqlProblem


@dataclass(frozen=True)
class _Place:
    """Where a field stands: its topics, and its path in their events."""

    topics: Topics
    path: Path

    def may_be(self, other: _Place) -> bool:
        """Whether it is the same place in the events of some topic."""
        return self.path == other.path and self.topics.shared_with(other.topics) is not None


@dataclass(frozen=True)
class _People:
    """Where people are named: by field, the private KPI that says so; and by topic and path."""

    fields: dict[str, str]
    paths: list[tuple[_Place, str]]

    @classmethod
    def of(cls, declared: Declared, private: Mapping[str, Entry[KpiSpec]]) -> _People:
        """The people of all private KPIs."""
        fields: dict[str, str] = {}
        paths: list[tuple[_Place, str]] = []
        for name, entry in private.items():
            person = entry.model.person
            if person is None:
                continue
            fields.setdefault(person, name)
            if (place := _place(declared, entry, person)) is not None:
                paths.append((place, name))
        return cls(fields, paths)

    def private_kpi(self, declared: Declared, entry: Entry[KpiSpec], field: str) -> str | None:
        """The private KPI whose people a field of a KPI's events names; None: it names none."""
        place = _place(declared, entry, field)
        same = (name for other, name in self.paths if place and place.may_be(other))
        return self.fields.get(field) or next(same, None)


def _place(declared: Declared, entry: Entry[KpiSpec], field: str) -> _Place | None:
    """Where a field of a KPI's events stands; None: of a KPI over KPIs, or unknown."""
    event = declared.events.get(entry.model.from_) if isinstance(entry.model.from_, str) else None
    spec = event.model.fields.get(field) if event is not None else None
    if event is None or spec is None:
        return None
    return _Place(make_topics(event.model), make_field(field, spec).path)


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
            _said_twice(declared, entry)
        else:
            if _hides(entry, private):
                hides.append(name)
            _group(declared, entry, shapes[name], private)
            _computed(declared, entry, shapes[name], private)
            _shown(declared, entry, people)
            _picked(declared, entry, people)
    _subtracted(declared, shapes, hides)


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
    """A KPI that everybody sees shows people in groups only."""
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


def _subtracted(declared: Declared, shapes: Mapping[str, Shape], hides: Collection[str]) -> None:
    """A total less the groups that are shown is the group that is not; and the same value by the
    same or smaller groups hides nothing."""
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
                    hint = "say here too who the people are: `person`"
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
    """A KPI over KPIs has their people, unless it sums them up by fewer dimensions."""
    inputs = entry.model.from_
    for i, name in enumerate(inputs if isinstance(inputs, list) else ()):
        if name in private and private[name].model.person in shape.by:
            message = f"it is computed from '{name}', which is private, and shows the same people"
            person = private[name].model.person or "…"
            hint = f"add `visibility: private` and `person: {person}`, or sum up without it in `by`"
            declared.report(entry, ("from", i), message, hint)


def _said_twice(declared: Declared, entry: Entry[KpiSpec]) -> None:
    """Only the person's own dimension is hashed."""
    person = entry.model.person
    place = _place(declared, entry, person) if person is not None else None
    for i, dimension in enumerate(entry.model.by or ()):
        if dimension != person and place and _place(declared, entry, dimension) == place:
            message = f"'{dimension}' is read from the same place as '{person}': it names people"
            declared.report(entry, ("by", i), message, "remove it: only `person` is hashed")


def _shown(declared: Declared, entry: Entry[KpiSpec], people: _People) -> None:
    for i, dimension in enumerate(entry.model.by or ()):
        if (private := people.private_kpi(declared, entry, dimension)) is not None:
            message = f"'{dimension}' names the people of '{private}', which is private"
            hint = "add `visibility: private` here too, unless everybody may see them"
            declared.report(entry, ("by", i), message, hint, severity="warning")


def _picked(declared: Declared, entry: Entry[KpiSpec], people: _People) -> None:
    """A filter for single people gives a figure of theirs to everybody, with their names in the
    rule."""
    for key in ("where", "value"):
        sql = getattr(entry.model, key)
        for field in _compared(sql) if people.fields and sql else ():
            if (private := people.private_kpi(declared, entry, field)) is not None:
                message = f"it selects people by '{field}', who are private in '{private}'"
                hint = "count everybody, or make this KPI `visibility: private` with a `person`"
                declared.report(entry, (key,), message, hint)


def _compared(sql: str) -> list[str]:
    """The columns that an expression compares with texts or numbers."""
    try:
        comparisons = parsed(sql).find_all(exp.EQ, exp.In, exp.Like, exp.ILike, exp.NEQ)
    except SqlProblem:
        return []  # what is wrong with it is said elsewhere
    return list(
        dict.fromkeys(
            column.name
            for comparison in comparisons
            if comparison.find(exp.Literal) is not None
            for column in comparison.find_all(exp.Column)
        )
    )
