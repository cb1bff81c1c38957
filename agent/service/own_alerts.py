"""The alerts of the series held here, for Alertmanager: from the merger, without a detour by Kafka.

A transition (a *step*) is known as soon as its round has published it. The board topic, which every
worker reads, has it a second or two later; from then on, the row of the board topic is used. Alerts
that fired before the state partition was assigned are restored from the state rows; if the board
topic has a row that is as new, that one is used, because it has the texts of that time. So
Alertmanager is sent the same while the board topic is read, or after it was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.kafka.board_topic import AlertRow, alert_key

Steps = Mapping[bytes, tuple[int, AlertRow | None]]
"""By alert key: the event time of the last step, and the row; None: the rule was removed."""


class OwnAlerts:
    """Steps that are not on the board topic yet."""

    def __init__(self) -> None:
        self._steps: dict[bytes, tuple[int, AlertRow | None]] = {}
        self._restored: dict[bytes, tuple[int, AlertRow | None]] = {}

    def note(self, steps: Steps) -> None:
        """The last steps of alerts, as a round published them."""
        self._steps.update(steps)
        for key in steps:
            self._restored.pop(key, None)

    def restored(self, steps: Steps) -> None:
        """Set the alerts of all state partitions held here, as restored from their rows."""
        self._restored = dict(steps)

    def without_board(self) -> Sequence[AlertRow]:
        """The alerts known before the board topic is read to its end: until then, its rows may be
        of episodes that have ended since."""
        steps = (self._restored | self._steps).values()
        return [row for _, row in steps if row is not None]

    def over(self, rows: Iterable[AlertRow]) -> Sequence[AlertRow]:
        """The rows of the board, replaced by newer steps. At the same event time the step counts as
        newer: the row is either older or the step's own."""
        known = {alert_key(row): row for row in rows}
        for key, (at_ms, step) in self._restored.items():
            row = known.get(key)
            if step is not None and (row is None or row.at_ms < at_ms):
                known[key] = step
        for key, (at_ms, step) in list(self._steps.items()):
            row = known.get(key)
            if row is not None and (row.at_ms > at_ms or row == step):
                del self._steps[key]
            elif step is not None:
                known[key] = step
            elif row is not None:
                del known[key]
            else:
                del self._steps[key]
        return list(known.values())
