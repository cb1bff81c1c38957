"""The state of one series: what a restart cannot read again from the frames topic.

`Series` has parts, each written by one package. They are base classes instead of members because
there may be a hundred thousand series, and each member would be another object per series.

| part | written by |
|---|---|
| `Identity` | nobody after creation |
| `Progress` | the KPI: `merge.base_kpi`, `derived_kpi`, `kpi_absence`; or the composite rule |
| `Handover` | the KPI; its readers drop entries: `merge.partition_state`, `benchmark_targets` |
| `Closed` | `evaluate.evaluator`, through `state.archive` |
| `Alerts` | `evaluate` |
| `Dependents` | `evaluate.rule_graph` |
| `Series` | `merge.row_store`; `lost_inputs`: `merge.derived_kpi` |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions, SeriesRef
from agent.core.model.results import Emitted, Number, TargetStatus, Transition, WindowValue
from agent.core.model.window_history import Item
from agent.core.state.alert_state import INACTIVE, AlertState

HISTORY_WINDOWS = 48
"""The number of closed windows in a series' row, for sparklines and history functions."""

State = tuple[Any, ...]
"""The partial state of a series over an interval: see `agent.core.aggregate.aggregator`."""


class PartialId(NamedTuple):
    """The identity of a source's partial: a newer one with the same id replaces it (see
    `agent.core.frame.Block`)."""

    topic: str
    partition: int
    epoch: int
    start_ms: int  # of the slice that the source has it in
    is_late: bool  # whether the source folded it after the slice of its events was sealed
    pane_ms: int
    key: bytes  # of the series, where it was folded into `__other__`


class FiringChange(msgspec.Struct, frozen=True, array_like=True):
    """An alert started or stopped firing; `rule` "": a target was missed, or is no longer missed.

    `transition` is set for changes to the rule's own inhibitor, which decides whether to report it.
    """

    rule: str
    severity: str
    at_ms: int
    firing: bool
    transition: Transition | None = None


class Identity(msgspec.Struct, array_like=True):
    """Which series it is."""

    kpi: str  # or the subject of a composite rule
    fingerprint: str  # of the KPI; with another one, the state is unusable
    dimensions: tuple[Scalar, ...] | None  # None: the KPI as a whole
    first_ms: int  # start of the slice of its first event


class Progress(Identity):
    """How far a series has advanced, and the panes of its open windows."""

    sealed_ms: int  # everything before is in `panes`, and final
    closed_ms: int  # every window that ends by then has closed
    last_event_ms: int  # end of the last slice with events
    evaluated_ms: int = 0  # rules on current values, and composite rules, are evaluated up to here
    handoff_ms: int = 0  # where the live flow took over from a backfill; 0: there was none
    inputs: int = 0  # of a derived KPI: the inputs that have had the series, as bits
    panes: dict[int, State] = {}  # sealed, by their starts (ms)

    def begin_earlier(self, at_ms: int) -> bool:
        """Move the start of the series back, for an earlier event that arrived later. Returns
        False, and changes nothing, if anything is sealed already."""
        if self.sealed_ms > self.first_ms:
            return False
        self.first_ms = self.sealed_ms = self.closed_ms = self.last_event_ms = at_ms
        self.evaluated_ms = at_ms
        return True

    def seal(self, pane_ms: int, state: State, end_ms: int) -> None:
        """Set the state of a pane, which is final up to an instant."""
        self.panes[pane_ms] = state
        self.sealed_ms = end_ms

    def close(self, end_ms: int) -> None:
        """Note that the window with that end has closed."""
        self.closed_ms = end_ms

    def drop_panes(self, oldest_ms: int) -> None:
        """Drop the panes that no later window needs."""
        for pane in [p for p in self.panes if p < oldest_ms]:
            del self.panes[pane]

    def evaluated(self, at_ms: int) -> None:
        """Note that rules were evaluated at an instant."""
        self.evaluated_ms = at_ms

    def had_event(self, end_ms: int) -> None:
        """Note that the slice with that end has events."""
        self.last_event_ms = end_ms

    def skip_windows(self, end_ms: int) -> None:
        """Skip the windows that end by an instant: they are incomplete."""
        self.closed_ms = max(self.closed_ms, end_ms)

    def step(self, at_ms: int) -> None:
        """Note a change of a composite rule's series at an instant, from which it expires. It has
        no windows."""
        self.evaluated_ms = self.closed_ms = self.last_event_ms = at_ms

    def hand_off(self, handoff_ms: int) -> None:
        """Note the handoff from a backfill to the live flow: everything before is final."""
        self.sealed_ms = self.handoff_ms = handoff_ms


class Handover(Progress):
    """Closed windows, by their ends, that others have yet to read."""

    unread: dict[int, tuple[Number, int]] = {}  # value and events, until derived KPIs have read it
    pending_evaluation: dict[int, WindowValue] = {}  # until benchmarks have closed the same one

    def keep(self, end_ms: int, value: Number, events: int) -> None:
        """Keep a closed window for derived KPIs and for KPIs with this one as benchmark."""
        self.unread[end_ms] = value, events

    def inherit_unread(self, before: Handover) -> None:
        """Take over the unread windows of an expired series with the same dimensions."""
        self.unread |= before.unread

    def await_benchmarks(self, window: WindowValue) -> None:
        """Keep a closed window until the benchmarks of its target have closed the same one."""
        self.pending_evaluation[window.end_ms] = window

    def pop_pending(self, upto_ms: int) -> list[WindowValue]:
        """Remove and return the windows up to the instant that all benchmarks have reached."""
        ends = sorted(end for end in self.pending_evaluation if end <= upto_ms)
        return [self.pending_evaluation.pop(end) for end in ends]

    def drop_read(self, upto_ms: int) -> None:
        """Drop the windows that all readers have read."""
        for end_ms in [end for end in self.unread if end <= upto_ms]:
            del self.unread[end_ms]


class Closed(Handover):
    """The last closed windows, for history functions and sparklines."""

    closed: WindowValue | None = None  # the last one
    history: list[Item] = []  # the last ones, oldest first
    memory: dict[str, Any] = {}  # state of history functions, by their names

    def remember(self, window: WindowValue, flags: int = 0, most: int = HISTORY_WINDOWS) -> None:
        """Append a closed window to the history, which keeps the newest `most`."""
        self.closed = window
        # Later windows may have closed, and wait for their benchmarks.
        self.closed_ms = max(self.closed_ms, window.end_ms)
        self.history.append((window.end_ms, window.value, window.events, flags))
        del self.history[:-most]

    def pop_oldest(self, count: int) -> list[Item]:
        """Remove and return the oldest windows of the history."""
        old, self.history = self.history[:count], self.history[count:]
        return old


class Alerts(Closed):
    """The target state and the alerts of a series."""

    status: TargetStatus | None = None  # of the last closed window
    alerts: dict[str, dict[str, AlertState]] = {}  # by rule and severity
    # For rules with `depends_on`: the last transition that was reported, by rule and severity.
    reported: dict[str, dict[str, Transition]] = {}

    def alert(self, rule: str, severity: str) -> AlertState:
        """The state of an alert; inactive if it was never evaluated."""
        return self.alerts.get(rule, {}).get(severity, INACTIVE)

    def assess(self, status: TargetStatus | None) -> None:
        """Set the target status of the last closed window; None: it has no target."""
        self.status = status

    def set_alerts(self, rule: str, states: dict[str, AlertState]) -> None:
        """Set the states of a rule's alerts by severity; other severities keep theirs."""
        self.alerts[rule] = self.alerts.get(rule, {}) | states

    def drop_alert(self, rule: str, severity: str) -> None:
        """Drop an alert that is no longer declared."""
        self.alerts[rule].pop(severity)

    def drop_alerts(self) -> None:
        """Drop all alerts, which makes them inactive."""
        self.alerts = {}

    def report(self, rule: str, severity: str, transition: Transition) -> None:
        """Note the last reported transition of an alert whose rule has `depends_on`."""
        self.reported.setdefault(rule, {})[severity] = transition

    def pop_reported(self, rule: str) -> dict[str, Transition]:
        """Remove and return the last reported transitions of a rule that no longer has
        `depends_on`."""
        return self.reported.pop(rule)


class Dependents(Alerts):
    """The alert changes that rules which depend on this series have yet to consume."""

    firing_changes: list[FiringChange] = []  # some rule may not have consumed them
    consumed_ms: dict[str, int] = {}  # how far each rule had when changes were last dropped

    def add_change(self, change: FiringChange) -> None:
        """Keep a change until all rules that depend on it have consumed it."""
        self.firing_changes.append(change)

    def keep_changes(self, kept: list[FiringChange], consumed_ms: dict[str, int]) -> None:
        """Drop all changes except `kept`; `consumed_ms`: how far each subscription has consumed
        changes."""
        self.firing_changes, self.consumed_ms = kept, consumed_ms


class Series(Dependents):
    """One series of one KPI, or of a composite rule."""

    last_emitted: Emitted = Emitted()  # emitted again after a restart
    # For a roll-up, by the key of a series of its inputs: the inputs (as bits) that had the series
    # and have lost it, while another input has it.
    lost_inputs: dict[bytes, int] = {}
    # Partials of sealed slices that are not in panes, because their sources may replace them.
    unsettled: dict[PartialId, State] | None = None

    def keep_unsettled(self, partial: PartialId, state: State, end_ms: int) -> None:
        """Keep a partial of a sealed slice that its source may still replace."""
        if self.unsettled is None:
            self.unsettled = {}
        self.unsettled[partial] = state
        self.sealed_ms = end_ms

    def pop_unsettled(self, partial: PartialId) -> State | None:
        """Remove and return an unsettled partial; None: there is none."""
        if not self.unsettled:
            return None
        state = self.unsettled.pop(partial, None)
        self.unsettled = self.unsettled or None
        return state

    def drop_unsettled(self, oldest_ms: int) -> None:
        """Drop the unsettled partials of panes that no later window needs."""
        for partial in [p for p in self.unsettled or () if p.pane_ms < oldest_ms]:
            self.pop_unsettled(partial)

    def note_lost_inputs(self, key: bytes, inputs: int) -> bool:
        """Note the inputs (as bits) that have lost one of their series; returns whether this is a
        change."""
        if inputs == self.lost_inputs.get(key, 0):
            return False
        if inputs:
            self.lost_inputs[key] = inputs
        else:
            del self.lost_inputs[key]
        return True

    def note_emitted(self, emitted: Emitted) -> None:
        """Set what a restart must emit again from the row that is written now."""
        self.last_emitted = emitted

    @classmethod
    def new(cls, kpi: str, fingerprint: str, dimensions: Dimensions | None, at_ms: int) -> Series:
        """A series whose first event is in the slice that starts at `at_ms`."""
        return cls(kpi, fingerprint, dimensions, at_ms, at_ms, at_ms, at_ms, evaluated_ms=at_ms)


FindSeries = Callable[[SeriesRef], Series | None]
"""Looks up a series; None: it does not exist."""
