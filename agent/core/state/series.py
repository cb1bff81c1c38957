"""The state of one series, and its row in the table.

A row holds what can not be had again from the frames topic: sealed panes of open windows, how far
the series is sealed and closed, its last values, its alerts, and what its last step told the
world (told again after a restart, because the telling may not have been done).
"""

from __future__ import annotations

from typing import Any

import msgspec

from agent.core.model.plan import Dimensions, Scalar
from agent.core.model.results import Emitted, Number, TargetStatus, Transition, WindowValue
from agent.core.model.window_history import Item
from agent.core.state.alert_state import AlertState

HISTORY_WINDOWS = 48
"""Closed windows kept per series, for sparklines and rules that look back."""

State = tuple[Any, ...]
"""The partial state of a series over a stretch of time: see `agent.core.aggregates`."""


class FiringChange(msgspec.Struct, frozen=True, array_like=True):
    """An alert began to fire, or stopped; `rule` "": the target was missed, or is no more.

    `step` is the step itself where the rule depends on others, which decide if it is told.
    """

    rule: str
    severity: str
    at_ms: int
    firing: bool
    step: Transition | None = None


class Series(msgspec.Struct, array_like=True):
    """One series of one KPI; `dimensions` None: what is watched of the KPI as a whole.

    `sealed_ms`: everything before it is in `panes` (pane start to state) and final. `closed_ms`:
    every window that ends by then has been told. `judged_ms`: the same of the instants at which
    rules on current values are judged. `last_event_ms`: end of the last slice that held
    an event. `history` has the last closed windows, oldest first; `waiting` holds closed windows by
    end until the KPIs over this one have used them; `memory` is what features keep;
    `flips` what the rules that look at this series' alerts may not have used, `used` up to where
    (ms) each of them had when some were dropped. `shown` is, of rules
    that depend on others, what their alerts were last said to be, by rule and severity. `unjudged`
    are closed windows, by end, that wait for those of the KPIs that they are held against.
    `cut_ms`: where the live flow took over from a backfill (0: there was none). `inputs`: of a KPI
    over others, those that have had the series, as bits.
    """

    kpi: str
    fingerprint: str
    dimensions: tuple[Scalar, ...] | None
    first_ms: int
    sealed_ms: int
    closed_ms: int
    last_event_ms: int
    panes: dict[int, State] = {}
    history: list[Item] = []
    waiting: dict[int, tuple[Number, int]] = {}
    closed: WindowValue | None = None
    status: TargetStatus | None = None
    alerts: dict[str, dict[str, AlertState]] = {}
    judged_ms: int = 0
    told: Emitted = Emitted()
    memory: dict[str, Any] = {}
    flips: list[FiringChange] = []
    shown: dict[str, dict[str, Transition]] = {}
    unjudged: dict[int, WindowValue] = {}
    used: dict[str, int] = {}
    cut_ms: int = 0
    inputs: int = 0

    def lowered(self, at_ms: int) -> bool:
        """Begin earlier, for an event that came after later ones; False once anything is sealed."""
        if self.sealed_ms > self.first_ms:
            return False
        self.first_ms = self.sealed_ms = self.closed_ms = self.last_event_ms = at_ms
        self.judged_ms = at_ms
        return True

    def remember(self, window: WindowValue, flags: int = 0, most: int = HISTORY_WINDOWS) -> None:
        """Note a closed window; of older ones, no more than `most` in all are kept."""
        self.closed = window
        self.closed_ms = max(self.closed_ms, window.end_ms)  # later ones may wait for judgement
        self.history.append((window.end_ms, window.value, window.events, flags))
        del self.history[:-most]


def born(kpi: str, fingerprint: str, dimensions: Dimensions | None, at_ms: int) -> Series:
    """A series whose first event lies in the slice that starts at `at_ms`."""
    return Series(kpi, fingerprint, dimensions, at_ms, at_ms, at_ms, at_ms, judged_ms=at_ms)
