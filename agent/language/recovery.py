"""Reads an entry with errors as far as possible, so that one error does not hide the others.

A misspelt key is read as the nearest known key. An invalid value is left out, or replaced by a
placeholder where the model needs one; its place is a *hole*, and nothing more is reported there.
SQL that a comma has cut is put together again: in `{…}`, `value: quantile(x, 0.9), window: 1h` is
three entries.
"""

from __future__ import annotations

import re
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
"""The last part of the hole of a mapping's entry whose name is invalid."""

UNKNOWN_NAME = "\0"
"""A placeholder for an unknown name; no declared name can equal it."""

_ROUNDS = 5
"""Removing one error may reveal another, mostly once: an empty mapping where all were invalid."""

_PLACEHOLDERS: Mapping[Place, Any] = {
    ("topic",): "unknown",
    ("time",): "unknown time",
    ("fields", "*"): {"type": "string"},
    ("fields", "*", "type"): "string",
    ("lookup", "*"): {"column": f"{UNKNOWN_NAME}.{UNKNOWN_NAME}"},
    ("lookup", "*", "column"): f"{UNKNOWN_NAME}.{UNKNOWN_NAME}",
    ("key",): UNKNOWN_NAME,
    ("columns",): {},
    ("columns", "*"): "string",
    ("from",): UNKNOWN_NAME,
    ("from", "*"): UNKNOWN_NAME,
    ("value",): "count(*)",
    ("by", "*"): UNKNOWN_NAME,
    ("overrides", "*"): {"match": {UNKNOWN_NAME: ""}, "target": {"at_least": 0}},
    ("overrides", "*", "match"): {UNKNOWN_NAME: ""},
    ("overrides", "*", "target"): {"at_least": 0},
    ("kpi",): UNKNOWN_NAME,
    ("kpis",): {},
    ("kpis", "*"): 1,
    # of rule tests
    ("events", "*", "type"): UNKNOWN_NAME,
    ("expect",): {},
    ("expect", "alerts_at", "*", "*", "alert"): UNKNOWN_NAME,
}
"""Placeholders for values that cannot be left out; `*` is any name or number."""

Mistake = tuple[Place, On, str, str | None]
"""Where an error is written, at the key or the value, what is wrong, how to fix it."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The model that was read (None: nothing could be read), and the errors in it.

    `keys`: the key as written, at places where the model has another.
    """

    model: Any
    mistakes: tuple[Mistake, ...] = ()
    holes: frozenset[Place] = frozenset()
    keys: Mapping[Place, str] | None = None


def recover(model: type[BaseModel], data: Any) -> Recovered:
    """The model of some data, or of its valid part."""
    read, error = _read(model, data)
    if error is None:
        return Recovered(read)
    data = deepcopy(data)
    keys: dict[Place, str] = {}
    mistakes: dict[Mistake, None] = {}
    for _ in range(_ROUNDS):
        mistakes |= dict.fromkeys(
            m for m in _mistakes_of(model, error, keys) if _is_unknown_key(m, error, keys)
        )
        renamed = dict(_misspelt(model, error, data))
        for place, wrong in renamed.items():
            parent = _at(data, place[:-1])
            parent[place[-1]] = parent.pop(wrong)
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
    """The model of what is left once the errors are removed, and the holes."""
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


def _is_unknown_key(mistake: Mistake, error: ValidationError, keys: Mapping[Place, str]) -> bool:
    """Whether a mistake is that a key is unknown."""
    return any(
        detail["type"] == "extra_forbidden"
        and (written(place_of(detail)[0], keys), "key") == mistake[:2]
        for detail in error.errors(include_url=False)
    )


def _misspelt(
    model: type[BaseModel], error: ValidationError, data: Any
) -> Iterator[tuple[Place, str]]:
    """The places of the keys that misspelt ones mean, each once, with the key as written."""
    used: set[Place] = set()
    for detail in error.errors(include_url=False):
        place, _ = place_of(detail)
        parent = _at(data, place[:-1])
        if detail["type"] != "extra_forbidden" or parent.get(place[-1]) is None:
            continue
        right = nearest(str(place[-1]), fields_at(model, place[:-1]))
        if right is not None and right not in parent and (*place[:-1], right) not in used:
            used.add((*place[:-1], right))
            yield (*place[:-1], right), str(place[-1])


def _cut(data: Any, detail: ErrorDetails) -> Place | None:
    """Remove an error from the data; returns its hole, None for an unknown key."""
    place, on = place_of(detail)
    if on == "key" and detail["type"] != "missing":
        _at(data, place[:-1]).pop(place[-1], None)
        return None if detail["type"] == "extra_forbidden" else (*place[:-1], KEY)
    while place:
        parent = _at(data, place[:-1])
        placeholder = _placeholder(place)
        if isinstance(parent, dict) and placeholder is None:
            parent.pop(place[-1], None)
            return place
        if placeholder is not None and not isinstance(parent, str):
            parent[place[-1]] = deepcopy(placeholder)
            return place
        place = place[:-1]
    return None


def _placeholder(place: Place) -> Any:
    if len(place) == 2 and place[0] == "kpis" and isinstance(place[1], int):
        return (
            UNKNOWN_NAME  # the KPIs of a maintenance are a list, those of an objective have weights
        )
    for pattern, value in _PLACEHOLDERS.items():
        if len(pattern) == len(place) and all(
            p in ("*", part) for p, part in zip(pattern, place, strict=True)
        ):
            return value
    return None


def _at(data: Any, place: Place) -> Any:
    """The data at a place; an empty mapping where there is none."""
    for part in place:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return {}
    return data


_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

Cut = tuple[Place, str]
"""Where a text was cut, and the whole text."""


def mended(data: Any) -> tuple[Any, list[Cut]]:
    """The data with the texts that were cut put together again, and what these are."""
    cuts: list[Cut] = []
    return _mended(data, (), cuts), cuts


def _mended(data: Any, place: Place, cuts: list[Cut]) -> Any:
    if isinstance(data, list):
        return [_mended(item, (*place, index), cuts) for index, item in enumerate(data)]
    if not isinstance(data, dict):
        return data
    whole: dict[Any, Any] = {}
    for key, parts in _entries(data):
        value, *rest = parts
        if rest:
            value = ", ".join(map(str, parts))
            cuts.append(((*place, key), value))
        whole[key] = _mended(value, (*place, key), cuts)
    return whole


def _entries(data: dict[Any, Any]) -> Iterator[tuple[Any, list[Any]]]:
    """The entries of a mapping, each with its value, and the keys that are a part of it, too."""
    entries = list(data.items())
    while entries:
        key, value = entries.pop(0)
        parts, count = [value], 0
        while _is_open(parts) and count < len(entries) and entries[count][1] is None:
            parts.append(entries[count][0])
            count += 1
        if _is_open(parts):
            parts, count = [value], 0  # the text is wrong by itself
        yield key, parts
        del entries[:count]


def _is_open(parts: list[Any]) -> bool:
    """Whether a bracket is open at the end of a text."""
    text = _QUOTED.sub("", ", ".join(map(str, parts)))
    return isinstance(parts[0], str) and text.count("(") > text.count(")")
