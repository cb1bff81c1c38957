"""The values of a derived KPI's inputs for each of its windows.

For a series that an input never had, it has the value of an empty window: 0 for a count. Unknown is
not 0, however, so it has no value if

- it has folded series into `__other__` with events in the window: the series may be among them;
- the series is `__other__`, which in another input collects other series;
- it had the series, but the series has expired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from agent.core.model.kpis import OTHER, Dimensions
from agent.core.model.results import Number

WindowKey = tuple[int, Dimensions]
"""A window of the derived KPI: its end (ms), and the series."""
InputValue = tuple[Number, int]
"""A window's value and number of events."""
InputRows = Sequence[Sequence[InputValue]]
"""A row for each series of the inputs in a window, with a column for each input."""
Had = Callable[[Dimensions], int]
"""Maps a series of the inputs to the inputs (as bits) that had it before."""


class HasEmptyValue(Protocol):
    """An input."""

    def empty_value(self) -> Number:
        """The value of a window without events."""


class InputWindows:
    """Collects the inputs' values by window and series."""

    def __init__(self, inputs: Sequence[HasEmptyValue]) -> None:
        self._empties: list[InputValue] = [(state.empty_value(), 0) for state in inputs]
        self._rows: dict[WindowKey, dict[Dimensions, dict[int, InputValue]]] = {}
        self._overflow: set[tuple[int, int]] = set()  # ends of windows, and inputs

    def put(self, key: WindowKey, theirs: Dimensions, index: int, closed: InputValue) -> None:
        """Add the window of one series of one input. `theirs`: its dimensions in common order
        (`InputDimensions`)."""
        self._rows.setdefault(key, {}).setdefault(theirs, {})[index] = closed
        if closed[1] and is_other(theirs):
            self._overflow.add((key[0], index))

    def in_order(self) -> list[WindowKey]:
        """The windows in the order of their ends."""
        return sorted(self._rows, key=lambda key: key[0])

    def rows(self, key: WindowKey, had: Had) -> InputRows:
        """The rows of a window, in a deterministic order, because sums of floats depend on it."""
        return [
            [
                row[index] if index in row else self._missing(key[0], theirs, index, had(theirs))
                for index in range(len(self._empties))
            ]
            for theirs, row in sorted(self._rows[key].items(), key=lambda item: repr(item[0]))
        ]

    def _missing(self, end_ms: int, theirs: Dimensions, index: int, had: int) -> InputValue:
        """The window of a series that an input does not have."""
        unknown = (end_ms, index) in self._overflow or is_other(theirs) or had >> index & 1
        return (None, 0) if unknown else self._empties[index]

    def known(self, key: WindowKey) -> Iterator[tuple[Dimensions, int]]:
        """The inputs' series in a window, each with the inputs (as bits) that have it."""
        for theirs, row in self._rows[key].items():
            yield theirs, sum(1 << index for index in row)

    def series_with_events(self, key: WindowKey) -> Iterator[Dimensions]:
        """The inputs' series with events in a window."""
        for theirs, row in self._rows[key].items():
            if any(events for _, events in row.values()):
                yield theirs

    def inputs(self, key: WindowKey) -> int:
        """The inputs (as bits) that have any series in a window."""
        known = 0
        for row in self._rows[key].values():
            for index in row:
                known |= 1 << index
        return known

    def overflows(self, end_ms: int) -> bool:
        """Whether the `__other__` of any input has events in the windows with this end."""
        return any((end_ms, index) in self._overflow for index in range(len(self._empties)))


def is_other(dimensions: Dimensions) -> bool:
    """Whether this is the series that collects what exceeds a KPI's `max_series`."""
    return bool(dimensions) and all(value == OTHER for value in dimensions)


def events_of(rows: InputRows) -> int:
    """The number of events in the rows of a window."""
    return sum(events for row in rows for _, events in row)
