"""The lines of an event: an array of objects in it that has numbers to measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.core.model.paths import Elements, Path
from agent.init.fields import FieldDraft, fields_of
from agent.init.measures import KpiDraft, measures_of
from agent.init.naming import snake
from agent.init.places import name_of, written
from agent.init.sample import Occurrence, Seen, flat, objects_in, without_long

DEEPEST = 2
"""Arrays in arrays."""


def lines_of(events: Sequence[Occurrence]) -> list[Path]:
    """The arrays whose elements have a number that is worth a KPI; of one in another, the inner
    one where the outer has none."""
    arrays = (_measured(events, path, DEEPEST) for path in objects_in(events))
    return [path for path in arrays if path is not None]


def _measured(events: Sequence[Occurrence], path: Path, deepest: int) -> Path | None:
    """An array that has a number to measure: this one, or one in it."""
    seen = profile_of(events, path)
    measures, _ = measures_of("x", fields_of(seen, ())[0], seen)
    if measures and written((*path, Elements())) is not None:
        return path
    inner = next((at for at, part in seen.items() if part.kinds["objects"]), None)
    return _measured(events, inner, deepest - 1) if inner is not None and deepest > 1 else None


def profile_of(events: Sequence[Occurrence], path: Path) -> dict[Path, Seen]:
    """Every field of the elements of an array, by its path from the event on."""
    seen: dict[Path, Seen] = {}
    for event in events:
        for element in _elements(event.value, path):
            for at, value in flat(element, (*path, Elements())):
                seen.setdefault(at, Seen(at)).add(value)
    return without_long(seen)


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
    """The KPIs of the lines' own numbers: those of the event would count once for each line."""
    return measures_of(snake(event), fields, seen)


def event_name(event: str, path: Path) -> str:
    """What the contract of an event's lines is called."""
    return f"{event}.{name_of(path)}"
