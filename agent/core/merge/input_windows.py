"""What the inputs of a derived KPI contribute to each of its windows.

Unknown is not zero. Of a series that it never had, an input has the value of a window without
events: 0 for a count. It has no value where it cannot know:

- its series that exceed `max_series` were folded into `__other__`, which has events in the window;
- of `__other__` itself, where it has none: that of another input is made of other series;
- it had the series, which has expired since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from agent.core.model.kpis import OTHER, Dimensions
from agent.core.model.results import Number

Key = tuple[int, Dimensions]
"""A window's end (ms), and the series."""
Closed = tuple[Number, int]
"""A window's value and number of events."""
Rows = Sequence[Sequence[Closed]]
Had = Callable[[Dimensions], int]
"""The inputs, as bits, that had one of their series before."""


class HasEmptyValue(Protocol):
    """An input, as far as it is asked here."""

    def empty_value(self) -> Number:
        """The value of a window without events."""


class InputWindows:
    """The inputs' values of each window: for each of their series a row, with an index for each
    input."""

    def __init__(self, inputs: Sequence[HasEmptyValue]) -> None:
        self._empties: list[Closed] = [(state.empty_value(), 0) for state in inputs]
        self._rows: dict[Key, dict[Dimensions, dict[int, Closed]]] = {}
        self._overflow: set[tuple[int, int]] = set()  # ends of windows, and inputs

    def put(self, key: Key, theirs: Dimensions, index: int, closed: Closed) -> None:
        """What one input says of one of its series."""
        self._rows.setdefault(key, {}).setdefault(theirs, {})[index] = closed
        if closed[1] and is_other(theirs):
            self._overflow.add((key[0], index))

    def in_order(self) -> list[Key]:
        """The windows in the order of their ends."""
        return sorted(self._rows, key=lambda key: key[0])

    def rows(self, key: Key, had: Had) -> Rows:
        """The rows of a window, in an order that is always the same: sums of floats depend on
        it."""
        return [
            [
                row[index] if index in row else self._missing(key[0], theirs, index, had(theirs))
                for index in range(len(self._empties))
            ]
            for theirs, row in sorted(self._rows[key].items(), key=lambda item: repr(item[0]))
        ]

    def _missing(self, end_ms: int, theirs: Dimensions, index: int, had: int) -> Closed:
        """What an input that does not have a series says of it."""
        unknown = (end_ms, index) in self._overflow or is_other(theirs) or had >> index & 1
        return (None, 0) if unknown else self._empties[index]

    def known(self, key: Key) -> Iterator[tuple[Dimensions, int]]:
        """The series of the inputs that make up a window, each with the inputs, as bits, that have
        it."""
        for theirs, row in self._rows[key].items():
            yield theirs, sum(1 << index for index in row)

    def series_with_events(self, key: Key) -> Iterator[Dimensions]:
        """The series of the inputs that have events in a window."""
        for theirs, row in self._rows[key].items():
            if any(events for _, events in row.values()):
                yield theirs

    def inputs(self, key: Key) -> int:
        """The inputs, as bits, that know a series of the window."""
        known = 0
        for row in self._rows[key].values():
            for index in row:
                known |= 1 << index
        return known

    def overflows(self, end_ms: int) -> bool:
        """Whether an input has folded series into `__other__` that have events in the windows with
        this end."""
        return any((end_ms, index) in self._overflow for index in range(len(self._empties)))


def is_other(dimensions: Dimensions) -> bool:
    """Whether it is the series that takes in what exceeds a KPI's `max_series`."""
    return bool(dimensions) and all(value == OTHER for value in dimensions)


def events_of(rows: Rows) -> int:
    """How many events the rows of a window have."""
    return sum(events for row in rows for _, events in row)
