"""The alert changes that rows keep for the rules that depend on them.

A change is kept in the row of its series (`Series.firing_changes`) until every rule that depends on
it has consumed it and the results of that are in the rows. So no crash loses a change; consuming
one again after a restart has no effect.

When changes are dropped from a row, the row notes how far each subscription has consumed changes
(`Series.consumed_ms`, by the subscription's name). Other rows, not written since, may still contain
consumed changes: after a restart, the maximum over all rows counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from agent.core.evaluate.subscription import Subscription
from agent.core.state.series import FiringChange, Series

Readers = Callable[[Series, FiringChange], Sequence[Subscription]]
"""The subscriptions that a change of a series is delivered to."""


class ChangeJournal:
    """Drops alert changes from the rows of one state partition once they are consumed durably."""

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._subscriptions = tuple(subscriptions)
        # By subscription: changes up to here are consumed, and their results are in the rows.
        self._durable: dict[str, int | None] = {}

    def mark_durable(self) -> None:
        """Note that the results of all changes consumed by now are in the rows."""
        self._durable = {s.name: s.consumed_ms for s in self._subscriptions}

    def prune(self, series: Series, readers: Readers) -> None:
        """Drop the changes of a series that all their readers have consumed durably."""
        if not series.firing_changes:
            return
        kept = [
            change
            for change in series.firing_changes
            if self._is_needed(readers(series, change), change)
        ]
        if len(kept) < len(series.firing_changes):
            durable = {name: at_ms for name, at_ms in self._durable.items() if at_ms is not None}
            series.keep_changes(kept, durable)

    def _is_needed(self, readers: Sequence[Subscription], change: FiringChange) -> bool:
        durable = [self._durable.get(reader.name) for reader in readers]
        return any(at_ms is None or at_ms < change.at_ms for at_ms in durable)


def consumed_by_rows(rows: Iterable[Series]) -> dict[str, int]:
    """How far each subscription has consumed changes, according to the rows."""
    consumed: dict[str, int] = {}
    for series in rows:
        for name, at_ms in series.consumed_ms.items():
            consumed[name] = max(consumed.get(name, at_ms), at_ms)
    return consumed


def pending(
    series: Series, rule: str, after_ms: int | None, own: bool = False
) -> list[FiringChange]:
    """The changes of a rule in a row after an instant (ms); `own`: those for the rule's own
    inhibitor, otherwise those for other rules."""
    return [
        change
        for change in series.firing_changes
        if change.rule == rule
        and (change.transition is not None) is own
        and (after_ms is None or change.at_ms > after_ms)
    ]
