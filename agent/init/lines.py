"""The lines of an event: an array of objects in it that has numbers to measure, or times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.core.model.paths import Elements, Path
from agent.init.fields import FieldDraft, fields_of
from agent.init.measures import KpiDraft, measures_of
from agent.init.naming import snake
from agent.init.places import at, name_of, written
from agent.init.sample import Occurrence, Seen, flat, objects_in, without_long
from agent.init.times import time_of

DEEPEST = 3
"""Levels of arrays in arrays."""


def lines_of(events: Sequence[Occurrence], *, timed: bool) -> list[Path]:
    """The arrays whose elements have a number that is worth a KPI, or a time (`timed`); of nested
    ones, the inner one if the outer has none."""
    arrays = (_measured(events, path, DEEPEST, timed) for path in objects_in(events))
    return [path for path in arrays if path is not None]


def _measured(events: Sequence[Occurrence], path: Path, deepest: int, timed: bool) -> Path | None:
    """The array with numbers to measure, or times: this one, or one in it."""
    seen = profile_of(events, path)
    if timed:
        is_one = time_of_lines(seen) is not None
    else:
        is_one = bool(measures_of("x", fields_of(seen, ())[0], seen)[0])
    if is_one and written((*path, Elements())) is not None:
        return path
    inner = next((inside for inside, part in seen.items() if part.kinds["objects"]), None)
    if inner is None or deepest == 1:
        return None
    return _measured(events, inner, deepest - 1, timed)


def time_of_lines(seen: Mapping[Path, Seen]) -> Path | None:
    """The field with the time of every line."""
    return time_of(seen, max((part.count for part in seen.values()), default=0))


def values_in(events: Sequence[Occurrence], path: Path, field: Path) -> list[Any]:
    """The values of a field of the lines, in their order."""
    steps = field[len(path) + 1 :]
    return [at(element, steps) for event in events for element in _elements(event.value, path)]


def profile_of(events: Sequence[Occurrence], path: Path) -> dict[Path, Seen]:
    """Every field of the elements of an array, by its path in the event."""
    seen: dict[Path, Seen] = {}
    for event in events:
        for element in _elements(event.value, path):
            for where, value in flat(element, (*path, Elements())):
                seen.setdefault(where, Seen(where)).add(value)
    return without_long(seen)


def around_of(events: Sequence[Occurrence], path: Path) -> dict[Path, Seen]:
    """The texts and truths of the elements that lines are in, of nested arrays, by their path in
    the event; each counts once for each line."""
    seen: dict[Path, Seen] = {}
    for event in events:
        for around in _around(event.value, path, (), []):
            for where, value in around:
                seen.setdefault(where, Seen(where)).add(value)
    texts = {where: part for where, part in seen.items() if part.type in ("string", "boolean")}
    return {where: part for where, part in texts.items() if 0 not in where}


def _around(
    tree: Any, path: Path, begin: Path, above: list[tuple[Path, Any]]
) -> Iterator[list[tuple[Path, Any]]]:
    """The fields around each line."""
    cut = path.index(Elements()) if Elements() in path else len(path)
    outer, inner = path[:cut], path[cut + 1 :]
    where = (*begin, *outer, Elements())
    array = at(tree, outer)
    for element in array if isinstance(array, list) else ():
        if inner:
            first = inner.index(Elements()) if Elements() in inner else len(inner)
            lines = (*where, *inner[:first])
            own = [(p, v) for p, v in flat(element, where) if p[: len(lines)] != lines]
            yield from _around(element, inner, where, [*above, *own])
        elif isinstance(element, dict):
            yield above


def _elements(tree: Any, path: Path) -> Iterator[Any]:
    cut = path.index(Elements()) if Elements() in path else len(path)
    outer, inner = path[:cut], path[cut + 1 :]
    array = Occurrence(tree).at(outer)
    for element in array if isinstance(array, list) else ():
        if inner:
            yield from _elements(element, inner)
        elif isinstance(element, dict):
            yield element


def kpis_of_lines(
    event: str, fields: Sequence[FieldDraft], seen: Mapping[Path, Seen]
) -> tuple[list[KpiDraft], dict[Path, str]]:
    """The KPIs of the lines' own numbers; the event's would count once for each line."""
    return measures_of(snake(event), fields, seen)


def event_name(event: str, path: Path) -> str:
    """The name of the contract of an event's lines."""
    return f"{event}.{name_of(path)}"
