"""What one rule hears of the alerts that it looks at, in event-time order.

A flip is known once event time is settled beyond its instant for everything that the rule looks at;
until then it waits here. So the order in which feeds are read makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from agent.core.model.plan import Dimensions, RuleRef
from agent.core.state.series import FiringChange

Heard = tuple[int, Dimensions, FiringChange]
"""Which of the heeded it comes from, the series there, and what happened."""


class Subscription:
    """Flips that wait, and which alerts fire as of the last one taken."""

    def __init__(self, heeded: Sequence[RuleRef]) -> None:
        self.heeded = heeded
        self.known_ms: int | None = None
        self.kept_ms: int | None = None  # flips from here on must be heard again after a restart
        self._waiting: list[tuple[int, int, Heard]] = []  # a heap; equal instants as they came
        self._numbers = count()
        # By place in `heeded`: by the dimensions shared, the alerts that fire.
        self._firing: list[dict[Dimensions, set[tuple[Dimensions, str]]]] = [{} for _ in heeded]

    @property
    def used_ms(self) -> int | None:
        """Flips up to here (ms) are not needed any more, once what came of them is written."""
        if self.known_ms is None or self.kept_ms is None:
            return self.known_ms
        return min(self.known_ms, self.kept_ms - 1)

    def hear(self, place: int, dimensions: Dimensions, flip: FiringChange) -> None:
        """A flip of a heeded rule's series, to be taken when its time is known."""
        # The end of a series that was forgotten may be told later than it was.
        late = self.known_ms is not None and flip.at_ms <= self.known_ms
        at_ms = (self.known_ms or 0) + 1 if late else flip.at_ms
        heappush(self._waiting, (at_ms, next(self._numbers), (place, dimensions, flip)))

    def begin(self, place: int, dimensions: Dimensions, severity: str) -> Dimensions:
        """Know, from the start, that an alert fires; what it shares with this rule's series."""
        heeded = self.heeded[place]
        shared = tuple(dimensions[i] for i in heeded.theirs)
        if heeded.severity in (None, severity):
            self._firing[place].setdefault(shared, set()).add((dimensions, severity))
        return shared

    def next_ms(self) -> int | None:
        """The instant of the first flip that waits."""
        return self._waiting[0][0] if self._waiting else None

    def take(self, at_ms: int) -> Iterator[tuple[Heard, Dimensions]]:
        """Take what waits up to an instant, in order; each with what it shares."""
        while self._waiting and self._waiting[0][0] <= at_ms:
            place, dimensions, flip = heappop(self._waiting)[2]
            shared = tuple(dimensions[i] for i in self.heeded[place].theirs)
            if self.heeded[place].severity in (None, flip.severity):
                alerts = self._firing[place].setdefault(shared, set())
                if flip.firing:
                    alerts.add((dimensions, flip.severity))
                else:
                    alerts.discard((dimensions, flip.severity))
                if not alerts:
                    del self._firing[place][shared]
            yield (place, dimensions, flip), shared

    def fires(self, place: int, shared: Dimensions) -> bool:
        """Whether any alert of a heeded rule fires that has these dimensions."""
        return shared in self._firing[place]

    def shared(self) -> Iterable[Dimensions]:
        """The dimensions for which anything fires."""
        return {shared for firing in self._firing for shared in firing}
