"""The alerts of the series held here, for Alertmanager: from the merger, not by way of Kafka.

A step counts from the round that published it on. The board topic, which every worker reads, has
it a second or two later; once it does, its row stands for the step. What fired before the state
partition came here is restored from its rows; where the board topic has a row that is as new, this
row counts, as it has the texts of the time. So neither the way through the broker nor a board topic
that was deleted, or can't be read yet, changes what Alertmanager is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.kafka.board_topic import AlertRow, alert_key

Steps = Mapping[bytes, tuple[int, AlertRow | None]]
"""By the alert's key: the event time of its last step, and its row; None: its rule is removed."""


class OwnAlerts:
    """Steps that the board topic does not show yet."""

    def __init__(self) -> None:
        self._steps: dict[bytes, tuple[int, AlertRow | None]] = {}
        self._restored: dict[bytes, tuple[int, AlertRow | None]] = {}

    def note(self, steps: Steps) -> None:
        """The last steps of alerts, as a round published them."""
        self._steps.update(steps)
        for key in steps:
            self._restored.pop(key, None)

    def restored(self, steps: Steps) -> None:
        """The alerts that stand in all state partitions held here, as their rows have them."""
        self._restored = dict(steps)

    def without_board(self) -> Sequence[AlertRow]:
        """The alerts that are known before the board topic is read to its end: until then, what was
        read of it may be of an episode that has ended since."""
        steps = (self._restored | self._steps).values()
        return [row for _, row in steps if row is not None]

    def over(self, rows: Iterable[AlertRow]) -> Sequence[AlertRow]:
        """The board's rows, and the steps that are newer than those. Of two at the same time the
        step is: a row can only be older, or the step's own."""
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
