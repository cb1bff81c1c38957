"""Numbers of single people: a private KPI names its person, and nobody else shows them."""

from __future__ import annotations

from agent.language.compile.shapes import Shape
from agent.language.declared import Declared, Entry
from agent.language.models.kpis import KpiSpec
from agent.language.problems import suggest


def check(declared: Declared, shapes: dict[str, Shape]) -> None:
    """Check every KPI."""
    private = {n: e for n, e in declared.kpis.items() if e.model.visibility == "private"}
    people = {e.model.person: n for n, e in private.items() if e.model.person is not None}
    for name, entry in declared.kpis.items():
        if entry.has_hole("visibility"):
            continue
        if name in private:
            _person(declared, entry, shapes[name])
        else:
            _nothing_said(declared, entry)
            _computed(declared, entry, shapes[name], private)
            _shown(declared, entry, shapes[name], people)


def _person(declared: Declared, entry: Entry[KpiSpec], shape: Shape) -> None:
    if not entry.is_written("person"):
        message = "a private KPI that does not say who its people are"
        hint = f"name the dimension: `person: {shape.by[0] if shape.by else 'employee'}`"
        declared.report(entry, ("visibility",), message, hint)
        return
    person = entry.model.person
    if person is not None and "by" not in shape.unsure and person not in shape.by:
        hint = suggest(person, shape.by, "dimensions") if shape.by else "add it to `by`"
        declared.report(entry, ("person",), f"'{person}' is not a dimension of the KPI", hint)


def _nothing_said(declared: Declared, entry: Entry[KpiSpec]) -> None:
    for key in ("person", "export"):
        if entry.is_written(key):
            message = f"`{key}` says nothing of a KPI that everybody sees"
            declared.report(entry, (key,), message, "add `visibility: private`", on="key")


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


def _shown(declared: Declared, entry: Entry[KpiSpec], shape: Shape, people: dict[str, str]) -> None:
    for i, dimension in enumerate(entry.model.by or ()):
        if dimension in people:
            message = f"'{dimension}' names the people of '{people[dimension]}', which is private"
            hint = "add `visibility: private` here too, unless everybody may see them"
            declared.report(entry, ("by", i), message, hint, severity="warning")
