"""What can be read of an entry that holds mistakes: one must not hide the others.

A misspelt key is read as the key that it is nearest to. What has no good value is left out, or
something stands in for it where the model needs a value; its place is a *hole*, and nothing more is
said of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agent.language.error_text import explain, fields_at, place_of
from agent.language.problems import nearest
from agent.language.source import On, Place

KEY = "[key]"
"""The last part of a hole that is left by an entry of a mapping whose name is wrong."""

NOBODY = "\0"
"""The name of what is not known: none that is declared can hold it."""

_ROUNDS = 5
"""Taking out one mistake may bring out another, mostly once: an empty mapping where all were bad.
"""

_STAND_INS: Mapping[Place, Any] = {
    ("topic",): "unknown",
    ("time",): "unknown time",
    ("fields", "*"): {"type": "string"},
    ("fields", "*", "type"): "string",
    ("lookup", "*"): {"column": f"{NOBODY}.{NOBODY}"},
    ("lookup", "*", "column"): f"{NOBODY}.{NOBODY}",
    ("key",): NOBODY,
    ("columns",): {},
    ("columns", "*"): "string",
    ("from",): NOBODY,
    ("from", "*"): NOBODY,
    ("value",): "count(*)",
    ("by", "*"): NOBODY,
    ("overrides", "*"): {"match": {NOBODY: ""}, "target": {"at_least": 0}},
    ("overrides", "*", "match"): {NOBODY: ""},
    ("overrides", "*", "target"): {"at_least": 0},
    ("kpi",): NOBODY,
    ("kpis",): {},
    ("kpis", "*"): 1,
    # of rule tests
    ("events", "*", "type"): NOBODY,
    ("expect",): {},
    ("expect", "alerts_at", "*", "*", "alert"): NOBODY,
}
"""What stands where a value cannot be left out; `*` is any name or number."""

Mistake = tuple[Place, On, str, str | None]
"""A mistake: where it is written, at the key or the value, what is wrong, what would be right."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was read (`model` is None where nothing could be), and the mistakes in it.

    `keys` has the key that is written at a place where the model has another.
    """

    model: Any
    mistakes: tuple[Mistake, ...] = ()
    holes: frozenset[Place] = frozenset()
    keys: Mapping[Place, str] | None = None


def recover(model: type[BaseModel], data: Any) -> Recovered:
    """The model of some data, or of what is right in it."""
    read, error = _read(model, data)
    if error is None:
        return Recovered(read)
    data = deepcopy(data)
    keys: dict[Place, str] = {}
    mistakes: dict[Mistake, None] = {}
    for _ in range(_ROUNDS):
        mistakes |= dict.fromkeys(
            t for t in _mistakes_of(model, error, keys) if _unknown(t, error, keys)
        )
        renamed = dict(_misspelt(model, error, data))
        for place, wrong in renamed.items():
            held = _at(data, place[:-1])
            held[place[-1]] = held.pop(wrong)
        keys |= renamed
        read, error = _read(model, data)
        if error is None:
            return Recovered(read, tuple(mistakes), frozenset(), keys)
        if not renamed:
            break
    mistakes |= dict.fromkeys(_mistakes_of(model, error, keys))
    read, holes = _without_mistakes(model, data, error)
    return Recovered(read, tuple(mistakes), holes, keys)


def _without_mistakes(
    model: type[BaseModel], data: Any, error: ValidationError
) -> tuple[Any, frozenset[Place]]:
    """The model of what is left when the mistakes are cut out, and the holes."""
    holes: set[Place] = set()
    for _ in range(_ROUNDS):
        holes.update(h for d in error.errors(include_url=False) if (h := _cut(data, d)) is not None)
        read, again = _read(model, data)
        if again is None:
            return read, frozenset(holes)
        error = again
    return None, frozenset(holes)


def written(place: Place, keys: Mapping[Place, str] | None) -> Place:
    """A place of the model as it is written in the file."""
    if not keys:
        return place
    return tuple(keys.get(place[: i + 1], part) for i, part in enumerate(place))


def _read(model: type[BaseModel], data: Any) -> tuple[Any, ValidationError | None]:
    try:
        return model.model_validate(data), None
    except ValidationError as error:
        return None, error


def _mistakes_of(
    model: type[BaseModel], error: ValidationError, keys: Mapping[Place, str]
) -> Iterator[Mistake]:
    for place, on, message, hint in explain(error, model, ()):
        yield written(place, keys), on, message, hint


def _unknown(mistake: Mistake, error: ValidationError, keys: Mapping[Place, str]) -> bool:
    """Whether a mistake is that a key is unknown."""
    return any(
        detail["type"] == "extra_forbidden"
        and (written(place_of(detail)[0], keys), "key") == mistake[:2]
        for detail in error.errors(include_url=False)
    )


def _misspelt(
    model: type[BaseModel], error: ValidationError, data: Any
) -> Iterator[tuple[Place, str]]:
    """The places that misspelt keys are meant for, each once, with the key that is written."""
    used: set[Place] = set()
    for detail in error.errors(include_url=False):
        place, _ = place_of(detail)
        held = _at(data, place[:-1])
        if detail["type"] != "extra_forbidden" or held.get(place[-1]) is None:
            continue
        right = nearest(str(place[-1]), fields_at(model, place[:-1]))
        if right is not None and right not in held and (*place[:-1], right) not in used:
            used.add((*place[:-1], right))
            yield (*place[:-1], right), str(place[-1])


def _cut(data: Any, detail: ErrorDetails) -> Place | None:
    """Take a mistake out of the data; the hole that it leaves, None for what is only too much."""
    place, on = place_of(detail)
    if on == "key" and detail["type"] != "missing":
        _at(data, place[:-1]).pop(place[-1], None)
        return None if detail["type"] == "extra_forbidden" else (*place[:-1], KEY)
    while place:
        held = _at(data, place[:-1])
        stand_in = _stand_in(place)
        if isinstance(held, dict) and stand_in is None:
            held.pop(place[-1], None)
            return place
        if stand_in is not None and not isinstance(held, str):
            held[place[-1]] = deepcopy(stand_in)
            return place
        place = place[:-1]
    return None


def _stand_in(place: Place) -> Any:
    if len(place) == 2 and place[0] == "kpis" and isinstance(place[1], int):
        return NOBODY  # the KPIs of a maintenance are a list, those of an objective have weights
    for pattern, value in _STAND_INS.items():
        if len(pattern) == len(place) and all(
            p in ("*", part) for p, part in zip(pattern, place, strict=True)
        ):
            return value
    return None


def _at(data: Any, place: Place) -> Any:
    """What is at a place; an empty mapping where nothing is."""
    for part in place:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return {}
    return data
