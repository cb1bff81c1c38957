"""The values of a derived KPI's inputs for each of its windows.

For a series that an input never had, it has the value of an empty window: 0 for a count. Unknown is
not 0, however, so it has no value if

- it has folded series into `__other__` with events in the window: the series may be among them;
- the series is `__other__`, which in another input collects other series;
- it had the series, but the series has expired.

Inputs may have the same dimensions in another order, and more of them than the KPI, which is then a
roll-up. Whether an input never had a series or has lost it is known from

- the inputs' series that closed windows contained, for roll-ups (`Members`);
- the rows of the KPI's own series (`Series.inputs`, `Series.lost_inputs`), after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from agent.core.frame import series_key
from agent.core.model.kpis import OTHER, Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import Number
from agent.core.state.series import Series

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


class InputDimensions:
    """Maps dimensions between a derived KPI and its inputs. `index` is that of an input in
    `Kpi.inputs`."""

    def __init__(self, plan: Plan, kpi: Kpi) -> None:
        first = plan.kpis[kpi.inputs[0]].by
        self._our_orders = _orders(plan, kpi, kpi.by)
        self._common_orders = _orders(plan, kpi, first)
        self.rolls_up = len(kpi.by) < len(first)
        self._people = None if kpi.people is None else first.index(kpi.people)
        self._minimum_people = kpi.minimum_people

    def ours(self, index: int, theirs: Dimensions) -> Dimensions:
        """An input's dimensions in the order of this KPI's `by`, without those that it rolls up."""
        return tuple(theirs[i] for i in self._our_orders[index])

    def in_common_order(self, index: int, theirs: Dimensions) -> Dimensions:
        """An input's dimensions in the order of the first input's."""
        return tuple(theirs[i] for i in self._common_orders[index])

    def hides(self, series: Iterable[Dimensions]) -> bool:
        """Whether a window with events in these series of the inputs (in common order) has fewer
        people than `Kpi.minimum_people`."""
        if self._people is None or self._minimum_people is None:
            return False
        people = {common[self._people] for common in series}
        return bool(people) and len(people - {None}) < self._minimum_people

    def in_input_order(self, index: int, common: Dimensions) -> Dimensions:
        """Dimensions in common order, in the order of an input: the reverse of
        `in_common_order`."""
        order = self._common_orders[index]
        return tuple(common[order.index(place)] for place in range(len(order)))


def _orders(plan: Plan, kpi: Kpi, by: Sequence[str]) -> list[tuple[int, ...]]:
    return [tuple(plan.kpis[name].by.index(dimension) for dimension in by) for name in kpi.inputs]


class Input(Protocol):
    """The series of an input."""

    @property
    def series(self) -> Mapping[Dimensions, Series]:
        """The live series by their dimensions."""

    @property
    def unread_series(self) -> Iterable[Series]:
        """All series that may have unread windows."""


class Members:
    """The inputs (as bits) that have each series that is rolled up. `ours` are the KPI's own
    series, whose rows note what inputs have lost."""

    def __init__(self, dimensions: InputDimensions, ours: Mapping[Dimensions, Series]) -> None:
        self._dimensions = dimensions
        self._ours = ours
        self._members: dict[Dimensions, int] = {}

    def restore(self, inputs: Sequence[Input]) -> None:
        """After a restart, note the series that the inputs had in closed windows."""
        for index, state in enumerate(inputs):
            for input_series in state.unread_series:
                dimensions = input_series.dimensions or ()
                series = self._ours.get(self._dimensions.ours(index, dimensions))
                if series is not None and input_series.first_ms < series.closed_ms:
                    self.note(self._dimensions.in_common_order(index, dimensions), 1 << index)

    def note(self, theirs: Dimensions, inputs: int) -> None:
        """Note that inputs have a series."""
        self._members[theirs] = self._members.get(theirs, 0) | inputs

    def note_lost(self, inputs: Sequence[Input]) -> Iterator[Dimensions]:
        """Note which series an input has lost while another input has them. Yields the KPI's series
        whose rows change. They are written before the row of the input's series is deleted, so
        that a restart knows of the loss."""
        live: dict[Dimensions, int] = {}
        for index, state in enumerate(inputs):
            for series in state.unread_series:
                theirs = self._dimensions.in_common_order(index, series.dimensions or ())
                live[theirs] = live.get(theirs, 0) | 1 << index
        for theirs, had in list(self._members.items()):
            now = live.get(theirs, 0)
            group = self._ours.get(self._dimensions.ours(0, theirs))
            if group is not None:
                key = series_key(theirs)
                lost = (had | group.lost_inputs.get(key, 0)) & ~now if now else 0
                if group.note_lost_inputs(key, lost):
                    yield group.dimensions or ()
            if not now:
                del self._members[theirs]

    def had(self, series: Series | None) -> Had:
        """For a series of this KPI: the inputs that had each of its members."""
        if series is None:
            return lambda _: 0
        if not self._dimensions.rolls_up:
            return lambda _: series.inputs
        members, lost = self._members, series.lost_inputs
        return lambda theirs: (
            members.get(theirs, 0) | (lost.get(series_key(theirs), 0) if lost else 0)
        )

    def lost(self, inputs: Sequence[Input], series: Series | None) -> Had:
        """For a series of this KPI: the inputs that had each of its members and have lost it. An
        input with a live series that is missing among the open windows has an empty one."""
        had = self.had(series)

        def lost(theirs: Dimensions) -> int:
            known = had(theirs)
            for index, state in enumerate(inputs):
                if (
                    known >> index & 1
                    and self._dimensions.in_input_order(index, theirs) in state.series
                ):
                    known ^= 1 << index
            return known

        return lost
