"""The alerts of the series held here, for Alertmanager: from the merger, not through Kafka.

A transition is known as soon as its round has published it. The board topic, which every
worker reads, has it a second or two later; from then on, the row of the board topic is used. Alerts
that fired before the state partition was assigned are restored from the state rows; if the board
topic has a row that is as new, that one is used, because it has the texts of that time. So
Alertmanager is sent the same while the board topic is read, or after it was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.kafka.board_topic import AlertRow, alert_key

LastTransitions = Mapping[bytes, tuple[int, AlertRow | None]]
"""By alert key: the event time of the last transition, and the row; None: the rule was removed."""


class OwnAlerts:
    """Transitions that are not on the board topic yet."""

    def __init__(self) -> None:
        self._transitions: dict[bytes, tuple[int, AlertRow | None]] = {}
        self._restored: dict[bytes, tuple[int, AlertRow | None]] = {}

    def note(self, transitions: LastTransitions) -> None:
        """The last transitions of alerts, as a round published them."""
        self._transitions.update(transitions)
        for key in transitions:
            self._restored.pop(key, None)

    def restored(self, transitions: LastTransitions) -> None:
        """Set the alerts of all state partitions held here, as restored from their rows."""
        self._restored = dict(transitions)

    def without_board(self) -> Sequence[AlertRow]:
        """The alerts known before the board topic is read to its end: until then, its rows may be
        of episodes that have ended since."""
        transitions = (self._restored | self._transitions).values()
        return [row for _, row in transitions if row is not None]

    def over(self, rows: Iterable[AlertRow]) -> Sequence[AlertRow]:
        """The rows of the board, replaced by newer transitions. At the same event time the
        transition counts as newer: the row is either older or the transition's own."""
        known = {alert_key(row): row for row in rows}
        for key, (at_ms, transition) in self._restored.items():
            row = known.get(key)
            if transition is not None and (row is None or row.at_ms < at_ms):
                known[key] = transition
        for key, (at_ms, transition) in list(self._transitions.items()):
            row = known.get(key)
            if row is not None and (row.at_ms > at_ms or row == transition):
                del self._transitions[key]
            elif transition is not None:
                known[key] = transition
            elif row is not None:
                del known[key]
            else:
                del self._transitions[key]
        return list(known.values())
