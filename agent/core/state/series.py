"""The state of one series: what cannot be had again from the frames topic.

`Series` is made of parts, each of which one room writes. They are base classes and not members
because there may be a hundred thousand series: a part of its own would cost a series an object.

| part | who writes it |
|---|---|
| `Identity` | nobody, once it is made |
| `Progress` | the KPI: `merge.base_kpi`, `derived_kpi`, `kpi_absence`; a composite rule its own |
| `Handover` | the KPI; who has read it drops it: `merge.partition_state`, `benchmark_targets` |
| `Closed` | `evaluate.evaluator`, by way of `state.archive` |
| `Alerts` | `evaluate` |
| `Dependents` | `evaluate.rule_graph` |
| `Series` | `merge.row_store`; `lost_inputs`: `merge.derived_kpi` |
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions
from agent.core.model.results import Emitted, Number, TargetStatus, Transition, WindowValue
from agent.core.model.window_history import Item
from agent.core.state.alert_state import AlertState

HISTORY_WINDOWS = 48
"""Closed windows kept per series, for sparklines and rules that look back."""

State = tuple[Any, ...]
"""The partial state of a series over a stretch of time: see `agent.core.aggregate.aggregator`."""


class PartialId(NamedTuple):
    """Which partial of a source replaces which: see `agent.core.frame.Block`."""

    topic: str
    partition: int
    epoch: int
    start_ms: int  # of the slice that the source has it in
    is_late: bool  # whether the source folded it after the slice of its events was sealed
    pane_ms: int
    key: bytes  # of the series, where it was folded into `__other__`


class FiringChange(msgspec.Struct, frozen=True, array_like=True):
    """An alert began to fire, or stopped; `rule` "": the target was missed, or is gone.

    `step` is the step itself where the rule depends on others, which decide if it is published.
    """

    rule: str
    severity: str
    at_ms: int
    firing: bool
    transition: Transition | None = None


class Identity(msgspec.Struct, array_like=True):
    """Which series it is."""

    kpi: str  # or the owner of a composite rule's alerts
    fingerprint: str  # of the KPI: a row of another one means something else
    dimensions: tuple[Scalar, ...] | None  # None: what is watched of the KPI as a whole
    first_ms: int  # start of the slice of its first event


class Progress(Identity):
    """How far a series is, and the panes of its open windows."""

    sealed_ms: int  # everything before is in `panes`, and final
    closed_ms: int  # every window that ends by then has closed
    last_event_ms: int  # end of the last slice that held an event
    evaluated_ms: int = 0  # every instant up to there was evaluated, for rules on current values
    handoff_ms: int = 0  # where the live flow took over from a backfill; 0: there was none
    inputs: int = 0  # of a derived KPI: the inputs that have had the series, as bits
    panes: dict[int, State] = {}  # sealed, by their starts (ms)

    def begin_earlier(self, at_ms: int) -> bool:
        """Begin earlier, for an event that came after later ones; False once anything is sealed."""
        if self.sealed_ms > self.first_ms:
            return False
        self.first_ms = self.sealed_ms = self.closed_ms = self.last_event_ms = at_ms
        self.evaluated_ms = at_ms
        return True

    def seal(self, pane_ms: int, state: State, end_ms: int) -> None:
        """Note the state of a pane, final up to an instant."""
        self.panes[pane_ms] = state
        self.sealed_ms = end_ms

    def close(self, end_ms: int) -> None:
        """Note that the window with that end has closed."""
        self.closed_ms = end_ms

    def drop_panes(self, oldest_ms: int) -> None:
        """Forget the panes that no later window needs."""
        for pane in [p for p in self.panes if p < oldest_ms]:
            del self.panes[pane]

    def evaluated(self, at_ms: int) -> None:
        """Note that rules on current values were evaluated at an instant."""
        self.evaluated_ms = at_ms

    def had_event(self, end_ms: int) -> None:
        """Note that the slice with that end held an event."""
        self.last_event_ms = end_ms

    def skip_windows(self, end_ms: int) -> None:
        """Close no window that ends by an instant: what they held is not known as a whole."""
        self.closed_ms = max(self.closed_ms, end_ms)

    def step(self, at_ms: int) -> None:
        """Of a composite rule: note that it changed at an instant. It is evaluated at instants, has
        no windows, and lives on from its last change."""
        self.evaluated_ms = self.closed_ms = self.last_event_ms = at_ms

    def hand_off(self, handoff_ms: int) -> None:
        """Note that the live flow takes over here: everything before is final."""
        self.sealed_ms = self.handoff_ms = handoff_ms


class Handover(Progress):
    """Closed windows, by their ends, that somebody still waits for."""

    unread: dict[int, tuple[Number, int]] = {}  # value and events, until KPIs over this one read it
    pending_evaluation: dict[int, WindowValue] = {}  # until benchmarks have closed the same one

    def keep(self, end_ms: int, value: Number, events: int) -> None:
        """Keep a closed window for KPIs over this one."""
        self.unread[end_ms] = value, events

    def keep_of(self, before: Handover) -> None:
        """Keep what has not been read of the series that had these dimensions before."""
        self.unread |= before.unread

    def await_benchmarks(self, window: WindowValue) -> None:
        """Keep a closed window until the KPIs that its target names have closed the same one."""
        self.pending_evaluation[window.end_ms] = window

    def pop_pending(self, upto_ms: int) -> list[WindowValue]:
        """The windows that waited for benchmarks which have closed theirs by an instant."""
        ends = sorted(end for end in self.pending_evaluation if end <= upto_ms)
        return [self.pending_evaluation.pop(end) for end in ends]

    def drop_read(self, upto_ms: int) -> None:
        """Drop the windows that all KPIs over this one have read."""
        for end_ms in [end for end in self.unread if end <= upto_ms]:
            del self.unread[end_ms]


class Closed(Handover):
    """The last closed windows, as rules look back on them."""

    closed: WindowValue | None = None  # the last one
    history: list[Item] = []  # the last ones, oldest first
    memory: dict[str, Any] = {}  # what history functions keep, by their names

    def remember(self, window: WindowValue, flags: int = 0, most: int = HISTORY_WINDOWS) -> None:
        """Note a closed window; of older ones, no more than `most` in all are kept."""
        self.closed = window
        # Later ones may wait for evaluation.
        self.closed_ms = max(self.closed_ms, window.end_ms)
        self.history.append((window.end_ms, window.value, window.events, flags))
        del self.history[:-most]

    def pop_oldest(self, count: int) -> list[Item]:
        """Take the oldest windows out of the history, to be kept elsewhere."""
        old, self.history = self.history[:count], self.history[count:]
        return old


class Alerts(Closed):
    """Where a series stands against its target and its rules."""

    status: TargetStatus | None = None  # of the last closed window
    alerts: dict[str, dict[str, AlertState]] = {}  # by rule and severity
    # Of rules that depend on others: the last transition that was emitted, by rule and severity.
    reported: dict[str, dict[str, Transition]] = {}

    def assess(self, status: TargetStatus | None) -> None:
        """Note how the last closed window stands against its target; None: it has none."""
        self.status = status

    def set_alerts(self, rule: str, states: dict[str, AlertState]) -> None:
        """Note the states of a rule's alerts, by severity; those not named stay what they are."""
        self.alerts[rule] = self.alerts.get(rule, {}) | states

    def drop_alert(self, rule: str, severity: str) -> None:
        """Forget an alert that is no longer declared."""
        self.alerts[rule].pop(severity)

    def drop_alerts(self) -> None:
        """Forget all alerts: they are inactive."""
        self.alerts = {}

    def report(self, rule: str, severity: str, transition: Transition) -> None:
        """Note what was emitted last of an alert whose rule depends on others."""
        self.reported.setdefault(rule, {})[severity] = transition

    def pop_reported(self, rule: str) -> dict[str, Transition]:
        """Forget what was emitted of a rule that no longer depends on others; what it was."""
        return self.reported.pop(rule)


class Dependents(Alerts):
    """What rules that depend on this series' alerts have still to use."""

    firing_changes: list[FiringChange] = []  # that some may not have used
    consumed_ms: dict[str, int] = {}  # up to where each had used them when some were dropped

    def add_change(self, change: FiringChange) -> None:
        """Keep a change until all that depend on it have used it."""
        self.firing_changes.append(change)

    def keep_changes(self, kept: list[FiringChange], consumed_ms: dict[str, int]) -> None:
        """Drop all changes but some; `consumed_ms`: how far each reader has used them."""
        self.firing_changes, self.consumed_ms = kept, consumed_ms


class Series(Dependents):
    """One series of one KPI, or of a composite rule."""

    last_emitted: Emitted = Emitted()  # emitted again after a restart
    # Of a roll-up, by the keys of its inputs' series: the inputs, as bits, that have had one and
    # have lost it, while another input has it.
    lost_inputs: dict[bytes, int] = {}
    # Partials of sealed slices that are in no pane, as their sources may still replace them.
    unsettled: dict[PartialId, State] | None = None

    def keep_apart(self, partial: PartialId, state: State, end_ms: int) -> None:
        """Note a partial of a slice that is sealed, and that its source may still replace."""
        if self.unsettled is None:
            self.unsettled = {}
        self.unsettled[partial] = state
        self.sealed_ms = end_ms

    def pop_unsettled(self, partial: PartialId) -> State | None:
        """A partial that was kept apart, which is no longer."""
        if not self.unsettled:
            return None
        state = self.unsettled.pop(partial, None)
        self.unsettled = self.unsettled or None
        return state

    def drop_unsettled(self, oldest_ms: int) -> None:
        """Forget what was kept apart of panes that no later window needs."""
        for partial in [p for p in self.unsettled or () if p.pane_ms < oldest_ms]:
            self.pop_unsettled(partial)

    def note_lost_inputs(self, key: bytes, inputs: int) -> bool:
        """Note the inputs that have lost one of their series; 0: none. Whether that is new."""
        if inputs == self.lost_inputs.get(key, 0):
            return False
        if inputs:
            self.lost_inputs[key] = inputs
        else:
            del self.lost_inputs[key]
        return True

    def note_emitted(self, emitted: Emitted) -> None:
        """Note what the row that is written now has to emit again after a restart."""
        self.last_emitted = emitted

    @classmethod
    def new(cls, kpi: str, fingerprint: str, dimensions: Dimensions | None, at_ms: int) -> Series:
        """A series whose first event lies in the slice that starts at `at_ms`."""
        return cls(kpi, fingerprint, dimensions, at_ms, at_ms, at_ms, at_ms, evaluated_ms=at_ms)
