"""The lines of an event: the elements of an array, each of which is a row of the contract's table.

`each: orders[].items` names nested arrays. A path that starts with one of them, as
`orders[].items[].price` and `orders[].customer`, starts in its element; all other paths start in
the event itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent.core.decode.format import WrongPlaceError
from agent.core.decode.tree import describe, value_at
from agent.core.model.paths import Elements, Path, array_paths, path_text

Line = tuple[Any, ...]
"""The event, and the element of each array on the path to the line."""


class Lines:
    """Gets the lines of a contract's events. `each` None: an event is its only line."""

    def __init__(self, each: Path | None) -> None:
        self._arrays: list[Path] = []
        if each is not None:
            self._arrays = list(array_paths((*each, Elements())))[:-1]

    def level(self, path: Path) -> tuple[int, Path]:
        """The index in a `Line` at which a path starts, and its steps from there."""
        level = 0
        for array in self._arrays:
            if path[: len(array) + 1] != (*array, Elements()):
                break
            path, level = path[len(array) + 1 :], level + 1
        return level, path

    def lines_of(self, event: Any) -> Sequence[Line]:
        """The lines of an event; none if an array is absent.

        Raises WrongPlaceError if there is another value instead of an array.
        """
        return list(self._within((event,), 0)) if self._arrays else [(event,)]

    def _within(self, line: Line, level: int) -> Iterator[Line]:
        if level == len(self._arrays):
            yield line
            return
        elements = value_at(line[-1], self._arrays[level])
        if elements is None:
            return
        if not isinstance(elements, list):
            where = path_text(self._arrays[level]) or "the event"
            actual = describe(elements)
            raise WrongPlaceError(f"{where}: expected an array, found {actual}")
        for element in elements:
            yield from self._within((*line, element), level + 1)
