"""SQL that a comma has cut: in `{…}`, `value: quantile(x, 0.9), window: 1h` is three entries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from agent.language.source import Place

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
