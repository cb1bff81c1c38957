"""Delivers the state changes of the alerts that a rule depends on, in event-time order.

A change is buffered until the watermarks of all dependencies have passed its instant, so the order
in which topics are read makes no difference.

Rules
-----
- `add` accepts changes in any order. `pop_until` returns them by instant, those of one instant in
  the order in which they were added, and updates which alerts fire.
- A change that is added after event time was settled beyond its instant (as when a series expires)
  counts at the next instant.
- Changes up to `consumed_ms` are no longer needed once their results are in the rows; all later
  ones must be added again after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from agent.core.model.kpis import Dimensions
from agent.core.model.rules import RuleRef
from agent.core.state.series import FiringChange


class AlertChange(NamedTuple):
    """A change of one alert that a rule depends on.

    `source` is the index of its rule in `Subscription.sources`, `dimensions` are those of its
    series, and `shared` those that they have in common with the series of the depending rule.
    """

    source: int
    dimensions: Dimensions
    shared: Dimensions
    change: FiringChange


class Subscription:
    """The pending changes of one rule's sources, and the alerts that fire after the last change
    that was popped.

    `name` identifies the subscription in rows (`Series.consumed_ms`). `settled_ms`: all changes up
    to this instant were popped.
    """

    def __init__(self, name: str, sources: Sequence[RuleRef]) -> None:
        self.name = name
        self.sources = tuple(sources)
        self.settled_ms: int | None = None
        self._needed_from_ms: int | None = None
        # A heap by instant, then in the order of `add`.
        self._pending: list[tuple[int, int, AlertChange]] = []
        self._numbers = count()
        # For each source, the alerts that fire by shared dimensions.
        self._firing: list[dict[Dimensions, set[tuple[Dimensions, str]]]] = [{} for _ in sources]

    @property
    def consumed_ms(self) -> int | None:
        """Changes up to here (ms) are no longer needed once their results are in the rows."""
        if self.settled_ms is None or self._needed_from_ms is None:
            return self.settled_ms
        return min(self.settled_ms, self._needed_from_ms - 1)

    def settle(self, settled_ms: int, needed_from_ms: int | None = None) -> None:
        """Note that all changes up to `settled_ms` were popped. Those from `needed_from_ms` on must
        be added again after a restart: the rows do not contain their results yet."""
        self.settled_ms, self._needed_from_ms = settled_ms, needed_from_ms

    def add(self, index: int, dimensions: Dimensions, change: FiringChange) -> None:
        """Add a change of a source's series, to be delivered once its instant is settled."""
        late = self.settled_ms is not None and change.at_ms <= self.settled_ms
        at_ms = (self.settled_ms or 0) + 1 if late else change.at_ms
        shared = self._shared(index, dimensions)
        added = AlertChange(index, dimensions, shared, change)
        heappush(self._pending, (at_ms, next(self._numbers), added))

    def set_firing(self, index: int, dimensions: Dimensions, severity: str) -> None:
        """Restore an alert that fires."""
        if self.sources[index].severity in (None, severity):
            shared = self._shared(index, dimensions)
            self._firing[index].setdefault(shared, set()).add((dimensions, severity))

    def next_ms(self) -> int | None:
        """The instant of the first pending change."""
        return self._pending[0][0] if self._pending else None

    def pop_until(self, at_ms: int) -> Iterator[AlertChange]:
        """Remove and yield the pending changes up to an instant, in order."""
        while self._pending and self._pending[0][0] <= at_ms:
            change = heappop(self._pending)[2]
            self._apply(change)
            yield change

    def _apply(self, alert_change: AlertChange) -> None:
        index, dimensions, shared, change = alert_change
        if self.sources[index].severity not in (None, change.severity):
            return
        alerts = self._firing[index].setdefault(shared, set())
        if change.firing:
            alerts.add((dimensions, change.severity))
        else:
            alerts.discard((dimensions, change.severity))
        if not alerts:
            del self._firing[index][shared]

    def fires(self, index: int, shared: Dimensions) -> bool:
        """Whether any alert of a source with these shared dimensions fires."""
        return shared in self._firing[index]

    def firing(self) -> Iterable[Dimensions]:
        """The shared dimensions for which anything fires."""
        return {shared for firing in self._firing for shared in firing}

    def _shared(self, index: int, dimensions: Dimensions) -> Dimensions:
        return tuple(dimensions[i] for i in self.sources[index].theirs)
