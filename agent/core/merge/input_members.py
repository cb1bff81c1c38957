"""Which inputs of a derived KPI have, or have had, which series.

The inputs may name the same dimensions in another order, and have more of them than the KPI: then
it rolls them up. What an input had and has lost is not the same as what it never had
(`input_windows.py` says why). It is known from

- the series that are rolled up, as they are seen in closed windows (`Members`);
- the row of the KPI's own series (`Series.inputs`, `Series.lost_inputs`), after a restart.
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
    """How the inputs of a KPI name its series. Inputs are counted as the KPI lists them."""

    def __init__(self, plan: Plan, kpi: Kpi) -> None:
        first = plan.kpis[kpi.inputs[0]].by
        self._orders = _orders(plan, kpi, kpi.by)
        self._alikes = _orders(plan, kpi, first)
        self.rolls_up = len(kpi.by) < len(first)
        self._people = None if kpi.people is None else first.index(kpi.people)
        self._minimum_people = kpi.minimum_people

    def ours(self, index: int, theirs: Dimensions) -> Dimensions:
        """An input's dimensions in the order of this KPI's, without those that it leaves out."""
        return tuple(theirs[i] for i in self._orders[index])

    def alike(self, index: int, theirs: Dimensions) -> Dimensions:
        """An input's dimensions in the order of the first input's."""
        return tuple(theirs[i] for i in self._alikes[index])

    def hides(self, alikes: Iterable[Dimensions]) -> bool:
        """Whether a window of these series of the inputs, each with events, is of fewer people than
        may be shown together."""
        if self._people is None or self._minimum_people is None:
            return False
        people = {alike[self._people] for alike in alikes}
        return bool(people) and len(people - {None}) < self._minimum_people

    def of_input(self, index: int, alike: Dimensions) -> Dimensions:
        """Dimensions in the order of the first input's, in that of another's."""
        order = self._alikes[index]
        return tuple(alike[order.index(place)] for place in range(len(order)))


def _orders(plan: Plan, kpi: Kpi, by: Sequence[str]) -> list[tuple[int, ...]]:
    return [tuple(plan.kpis[name].by.index(dimension) for dimension in by) for name in kpi.inputs]


class Input(Protocol):
    """An input, as far as it is asked here."""

    @property
    def series(self) -> Mapping[Dimensions, Series]:
        """Its series by their dimensions."""

    @property
    def unread_series(self) -> Iterable[Series]:
        """Its series: all that may have windows which are not read."""


class Members:
    """Of the inputs' series that are rolled up: which inputs have them, as bits. `ours` are the
    KPI's own series: their rows say what an input has lost."""

    def __init__(self, dimensions: InputDimensions, ours: Mapping[Dimensions, Series]) -> None:
        self._dimensions = dimensions
        self._ours = ours
        self._members: dict[Dimensions, int] = {}

    def restore(self, inputs: Sequence[Input]) -> None:
        """After a restart: which inputs had the series that they have now."""
        for index, state in enumerate(inputs):
            for input_series in state.unread_series:
                dimensions = input_series.dimensions or ()
                series = self._ours.get(self._dimensions.ours(index, dimensions))
                if series is not None and input_series.first_ms < series.closed_ms:
                    self.note(self._dimensions.alike(index, dimensions), 1 << index)

    def note(self, theirs: Dimensions, inputs: int) -> None:
        """Note that inputs have a series."""
        self._members[theirs] = self._members.get(theirs, 0) | inputs

    def note_lost(self, inputs: Sequence[Input]) -> Iterator[Dimensions]:
        """Note which series an input has lost while another one has them; the KPI's series whose
        rows change by that. It is in the row before the row of the input's series is deleted, so a
        restart knows that it had them."""
        live: dict[Dimensions, int] = {}
        for index, state in enumerate(inputs):
            for series in state.unread_series:
                theirs = self._dimensions.alike(index, series.dimensions or ())
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
        """Which inputs had a series that goes into one of this KPI's."""
        if series is None:
            return lambda _: 0
        if not self._dimensions.rolls_up:
            return lambda _: series.inputs
        members, lost = self._members, series.lost_inputs
        return lambda theirs: (
            members.get(theirs, 0) | (lost.get(series_key(theirs), 0) if lost else 0)
        )

    def lost(self, inputs: Sequence[Input], series: Series | None) -> Had:
        """Which inputs had a series and have lost it: of one that is live, an input names only
        the open windows that hold rows."""
        had = self.had(series)

        def lost(theirs: Dimensions) -> int:
            known = had(theirs)
            for index, state in enumerate(inputs):
                if known >> index & 1 and self._dimensions.of_input(index, theirs) in state.series:
                    known ^= 1 << index
            return known

        return lost
