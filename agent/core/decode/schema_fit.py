"""Compares a schema with a contract: finds fields that it lacks or that have another type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.core.decode.envelopes import opener
from agent.core.decode.schema_shape import ANYTHING, ANYTHING_KINDS, Shape
from agent.core.model.events import Contract, Field
from agent.core.model.field_types import BooleanFormat, NumberFormat
from agent.core.model.paths import Elements, Path, Root, Selector, Step, path_text

_SCALARS = frozenset({"string", "integer", "number", "boolean"})
_TIMES = frozenset({"string", "integer", "number"})
_TAKEN: dict[str, frozenset[str]] = {
    "string": frozenset({"string"}),
    "integer": frozenset({"integer"}),
    "float": frozenset({"integer", "number"}),
    "boolean": frozenset({"boolean"}),
    "decimal": frozenset({"string", "integer", "number"}),
    "timestamp": _TIMES,
    "date": _TIMES,
}


@dataclass(frozen=True, slots=True)
class Misfit:
    """A part of a contract that a schema does not match: its path in the rules, below the event,
    and what is wrong."""

    part: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a contract reads at a path: the kinds that it takes, and whether it may be absent.
    `alternative`: the index among several times, of which the first that is there counts."""

    part: tuple[str, ...]
    path: Path
    kinds: frozenset[str]
    values: tuple[str, ...] = ()
    is_required: bool = False
    items: frozenset[str] | None = None
    alternative: int | None = None


def misfits(contract: Contract, shape: Shape, *, is_key: bool = False) -> list[Misfit]:
    """The parts of a contract that records (or keys) of a shape do not match. Headers, and values
    in strings that the contract decodes, are not checked."""
    wrong: list[Misfit] = []
    lacking: dict[int, Misfit] = {}
    for wanted in _wanted(contract):
        if isinstance(wanted.path[0], Root) and wanted.path[0].part == "key":
            paths = [wanted.path[1:]] if is_key else []
        else:
            paths = [] if is_key else list(_paths(contract, wanted.path))
        problems = [_problem(shape, path, wanted) for path in paths]
        if problems and None not in problems:
            misfit = Misfit(wanted.part, problems[0] or "")
            if wanted.alternative is None or any(_reaches(shape, path) for path in paths):
                wrong.append(misfit)
            else:
                lacking.setdefault(wanted.alternative, misfit)
    return wrong if len(lacking) < len(contract.times) else [*wrong, *list(lacking.values())[:1]]


def _paths(contract: Contract, path: Path) -> Iterator[Path]:
    """The possible paths in a record of a path of the contract, according to its envelope."""
    if any(path[: len(inner.path)] == inner.path for inner in contract.decode):
        return
    views = opener(contract.envelope).views
    if not views and not isinstance(path[0], Root):
        yield (Elements(), *path)
    for view in views:
        at = view.path(path)
        if at is not None and not (at and isinstance(at[0], Root)):
            yield at


def _wanted(contract: Contract) -> Iterator[_Wanted]:
    if contract.type_path is not None:
        yield _Wanted(("type_field",), contract.type_path, _SCALARS, is_required=True)
    for i, source in enumerate(contract.times):
        several = len(contract.times) > 1
        for path, kinds in zip(source.paths, (_TIMES, _TAKEN["string"]), strict=False):
            yield _Wanted(
                ("time",), path, kinds, is_required=not several, alternative=i if several else None
            )
    for path in contract.ids:
        yield _Wanted(("id",), path, _SCALARS)
    for field in contract.fields:
        yield _of_field(field)


def _of_field(field: Field) -> _Wanted:
    part = ("fields", field.name)
    element, _, is_list = field.type.partition("[")
    if is_list:
        kinds = frozenset({"array"})
        return _Wanted(part, field.path, kinds, (), field.required, _TAKEN[element])
    kinds = _TAKEN[field.type]
    if isinstance(field.format, NumberFormat):
        kinds = _TIMES
    elif isinstance(field.format, BooleanFormat):
        kinds = _SCALARS
    rule = field.text if field.as_sql is None else None
    values = rule.values if rule is not None and not rule.ignore_case else ()
    return _Wanted(part, field.path, kinds, values, field.required)


def _problem(shape: Shape, path: Path, wanted: _Wanted) -> str | None:
    """Why the schema does not match at a path; None: it does."""
    at, may_lack = shape, False
    for depth, step in enumerate(path):
        below = _below(at, step)
        if below is None:
            return _lacking(at, path, depth)
        at = below
        may_lack |= at.may_lack or isinstance(step, int | Selector)
    if at.kinds >= ANYTHING_KINDS:
        return None
    wrong = _wrong_values(at, wanted)
    if wrong is None and wanted.is_required and may_lack:
        wrong = "may be null or absent in the schema, and it is required"
    return None if wrong is None else f"{path_text(path)} {wrong}"


def _wrong_values(at: Shape, wanted: _Wanted) -> str | None:
    """Which values of the schema the contract does not accept; None: it accepts all."""
    if wrong := at.kinds - wanted.kinds:
        odd = f", found {_words(wrong)}" if len(at.kinds) > 1 else ""
        return f"is {_words(at.kinds)} in the schema: expected {_words(wanted.kinds)}{odd}"
    if wanted.items is not None and at.items is not None and at.items.kinds - wanted.items:
        return f"holds {_words(at.items.kinds)} in the schema: expected {_words(wanted.items)}"
    if wanted.values and (others := [v for v in at.values if v not in wanted.values]):
        return f"may be {', '.join(others)} in the schema, which `enum` does not list"
    return None


def _below(shape: Shape, step: Step | Root) -> Shape | None:
    """The shape one step further; None: there is none."""
    if shape.kinds >= ANYTHING_KINDS and not shape.members:
        return ANYTHING
    if isinstance(step, str):
        return shape.members.get(step, shape.rest) if "object" in shape.kinds else None
    return (shape.items or ANYTHING) if "array" in shape.kinds else None


def _reaches(shape: Shape, path: Path) -> bool:
    """Whether a schema has anything at a path."""
    at: Shape | None = shape
    for step in path:
        at = None if at is None else _below(at, step)
    return at is not None


def _lacking(shape: Shape, path: Path, depth: int) -> str:
    name, step = path_text(path[: depth + 1]), path[depth]
    expected = "object" if isinstance(step, str) else "array"
    if expected not in shape.kinds:
        above = path_text(path[:depth]) or "the record"
        return f"{above} is {_words(shape.kinds)} in the schema: expected {_words({expected})}"
    known = ", ".join(list(shape.members)[:12])
    return f"the schema has no {name}" + (f"; it has {known}" if known else "")


def _words(kinds: frozenset[str] | set[str]) -> str:
    if kinds >= ANYTHING_KINDS:
        return "anything"
    names = {"integer": "an integer", "object": "an object", "array": "an array"}
    return " or ".join(names.get(kind, f"a {kind}") for kind in sorted(kinds)) or "nothing"
