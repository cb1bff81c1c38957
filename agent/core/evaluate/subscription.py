"""State changes of the alerts that a rule depends on, in event-time order.

A change is held until the watermarks of everything that the rule depends on have passed its
instant. So the order in which topics are read makes no difference.

Rules
-----
- `add` takes changes in any order; `pop_until` gives them by instant, those of one instant as they
  came, and updates which alerts fire.
- A change that comes after event time was settled beyond its instant (the end of a series that
  expired) counts at the next instant.
- Changes up to `consumed_ms` are no longer needed once what came of them is in the rows; those
  that are needed (`settle`) must be added again after a restart.
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

    `source` is its index in `Subscription.sources`, `dimensions` are those of its series, and
    `shared` what these have in common with the series of the rule.
    """

    source: int
    dimensions: Dimensions
    shared: Dimensions
    change: FiringChange


class Subscription:
    """The pending changes of one rule's sources, and which alerts fire as of the last one given.

    `name` identifies the subscription in rows (`Series.consumed_ms`).
    """

    def __init__(self, name: str, sources: Sequence[RuleRef]) -> None:
        self.name = name
        self.sources = tuple(sources)
        self.known_ms: int | None = None
        self._needed_from_ms: int | None = None
        # A heap; changes of one instant in the order in which they came.
        self._pending: list[tuple[int, int, AlertChange]] = []
        self._numbers = count()
        # By index of the source: by the shared dimensions, the alerts that fire.
        self._firing: list[dict[Dimensions, set[tuple[Dimensions, str]]]] = [{} for _ in sources]

    @property
    def consumed_ms(self) -> int | None:
        """Changes up to here (ms) are no longer needed, once what came of them is in the rows."""
        if self.known_ms is None or self._needed_from_ms is None:
            return self.known_ms
        return min(self.known_ms, self._needed_from_ms - 1)

    def settle(self, known_ms: int, needed_from_ms: int | None = None) -> None:
        """Note that all changes up to `known_ms` were given. Those from `needed_from_ms` on must be
        added again after a restart: what came of them is not in the rows yet."""
        self.known_ms, self._needed_from_ms = known_ms, needed_from_ms

    def add(self, index: int, dimensions: Dimensions, change: FiringChange) -> None:
        """A change on a series of a source, to be given once its instant is settled."""
        late = self.known_ms is not None and change.at_ms <= self.known_ms
        at_ms = (self.known_ms or 0) + 1 if late else change.at_ms
        shared = self._shared(index, dimensions)
        added = AlertChange(index, dimensions, shared, change)
        heappush(self._pending, (at_ms, next(self._numbers), added))

    def set_firing(self, index: int, dimensions: Dimensions, severity: str) -> None:
        """Begin with an alert that fires."""
        if self.sources[index].severity in (None, severity):
            shared = self._shared(index, dimensions)
            self._firing[index].setdefault(shared, set()).add((dimensions, severity))

    def next_ms(self) -> int | None:
        """The instant of the first pending change."""
        return self._pending[0][0] if self._pending else None

    def pop_until(self, at_ms: int) -> Iterator[AlertChange]:
        """The pending changes up to an instant, in order."""
        while self._pending and self._pending[0][0] <= at_ms:
            popped = heappop(self._pending)[2]
            self._apply(popped)
            yield popped

    def _apply(self, popped: AlertChange) -> None:
        index, dimensions, shared, change = popped
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
        """Whether any alert of a source fires that has these shared dimensions."""
        return shared in self._firing[index]

    def firing(self) -> Iterable[Dimensions]:
        """The shared dimensions for which anything fires."""
        return {shared for firing in self._firing for shared in firing}

    def _shared(self, index: int, dimensions: Dimensions) -> Dimensions:
        return tuple(dimensions[i] for i in self.sources[index].theirs)
