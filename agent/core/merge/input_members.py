"""Tracks which inputs of a derived KPI have, or have had, which series.

Inputs may have the same dimensions in another order, and more of them than the KPI, which is then a
roll-up. A series that an input has lost has no value there, a series that it never had has the
value of an empty window (`input_windows`). The difference is known from

- the inputs' series that closed windows contained, for roll-ups (`Members`);
- the rows of the KPI's own series (`Series.inputs`, `Series.lost_inputs`), after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from agent.core.frame import series_key
from agent.core.merge.input_windows import Had
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.state.series import Series


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
