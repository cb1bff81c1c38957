"""`depends_on`: alerts of a rule are inhibited while another rule that it depends on fires.

States
------
An alert has its own phase, by its own conditions (`agent.core.state.alert_state`), and a reported
phase: the same, but *inhibited* instead of *firing* while anything fires that its rule depends on.

Events
------
- a change of the alert's own phase;
- an alert that the rule depends on begins to fire, or stops;
- the end of a hold: see below.

Rules
-----
1. An alert that would begin to fire while inhibited is reported as inhibited, and a firing alert
   that becomes inhibited changes to inhibited. It may resolve while inhibited.
2. Windows that overlap an outage say little. So an inhibition *holds* until a window has closed
   that began after the last alert stopped firing; an alert that would still fire then, fires.
   Rules that do not evaluate windows (absence) have no hold.
3. Events of one instant are taken together, so that an alert and what inhibits it may begin at the
   same instant in any order.
4. A transition is reported once event time is settled at its instant for the rule itself and for
   everything that it depends on.

Exceptions
----------
- After a restart changes may be given again. A transition that is not later than the last reported
  one of its alert is not reported again.
- While something holds, the changes since the hold began are needed after a restart
  (`Subscription.settle`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.core.evaluate.subscription import Subscription
from agent.core.model.kpis import Dimensions
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.rules import Rule, as_for
from agent.core.model.text import when_text
from agent.core.model.windows import Window, first_end_within
from agent.core.state.series import FiringChange, Series

AlertKey = tuple[Dimensions, str]
"""A series of the rule, and a severity."""

SourceKey = tuple[int, Dimensions]
"""What a rule depends on (its index), and the dimensions that it shares."""

OWN = 0
"""The index of the rule's own alerts in its subscription; its dependencies come after it."""


class Inhibitor:
    """What is reported of one rule's alerts in one state partition."""

    def __init__(
        self,
        rule: Rule,
        by: tuple[str, ...],
        subscription: Subscription,
        window: Window | None,
        find: Callable[[Dimensions], Series | None],
    ) -> None:
        self.rule = rule
        self.subscription = subscription
        self._by = by
        self._window = window  # None: the rule does not evaluate windows
        # Since when, and until when something inhibits that fires no more.
        self._holds: dict[SourceKey, tuple[int, int]] = {}
        self._find = find
        self._firing: dict[AlertKey, Transition] = {}  # alerts that fire by their own conditions
        self._reported: dict[AlertKey, Transition] = {}

    def restore(self, key: AlertKey, fires: bool, reported: Transition) -> None:
        """Begin with an alert: whether it fires by its own conditions, and its last report."""
        self._reported[key] = reported
        if fires:
            bound = self._bound(*key)
            self._firing[key] = replace(reported, state=AlertPhase.FIRING, bound=bound)

    def _bound(self, dimensions: Dimensions, severity: str) -> str:
        rule: Rule | None = as_for(self.rule, self._by, dimensions)
        for level in rule.levels if rule else ():
            if level.severity == severity:
                return when_text(level)
        return ""

    def advance(self, known_ms: int) -> list[Transition]:
        """The transitions to report up to an instant (ms), inclusive, in order of time."""
        out: list[Transition] = []
        while (at_ms := self._next_ms()) is not None and at_ms <= known_ms:
            out += self._advance_to(at_ms)
        held_since_ms = (since_ms for since_ms, _ in self._holds.values())
        self.subscription.settle(known_ms, needed_from_ms=min(held_since_ms, default=None))
        return out

    def _next_ms(self) -> int | None:
        ends = [until_ms for _, until_ms in self._holds.values()]
        next_ms = self.subscription.next_ms()
        return min([*ends, *([] if next_ms is None else [next_ms])], default=None)

    def _advance_to(self, at_ms: int) -> list[Transition]:
        """Take all events of an instant together."""
        own: dict[AlertKey, Transition] = {}
        changed = {key for key, (_, until_ms) in self._holds.items() if until_ms <= at_ms}
        for key in changed:
            del self._holds[key]
        for index, dimensions, shared, change in self.subscription.pop_until(at_ms):
            if index != OWN:
                changed.add((index, shared))
                self._hold(index, shared, at_ms)
            elif change.step is not None:
                own[dimensions, change.severity] = change.step
        for alert, step in own.items():
            if step.state is AlertPhase.FIRING:
                self._firing[alert] = step
            else:
                self._firing.pop(alert, None)
        concerned = {*own, *(alert for alert in self._firing if self._depends(alert[0], changed))}
        out: list[Transition] = []
        for alert in sorted(concerned, key=repr):
            step = own.get(alert) or self._firing[alert]
            out += self._report(alert, step, alert in own, at_ms)
        return out

    def _hold(self, index: int, shared: Dimensions, at_ms: int) -> None:
        """Note that an inhibiting alert began to fire, or stopped."""
        self._holds.pop((index, shared), None)
        if self._window is not None and not self.subscription.fires(index, shared):
            self._holds[index, shared] = at_ms, first_end_within(self._window, at_ms)

    def _inhibits(self, index: int, shared: Dimensions) -> bool:
        return self.subscription.fires(index, shared) or (index, shared) in self._holds

    def inhibiting(self, dimensions: Dimensions) -> list[str]:
        """The dependencies that fire, or hold, for one series of the rule."""
        return [
            source.name
            for index, source in enumerate(self.subscription.sources)
            if index != OWN and self._inhibits(index, self._shared(index, dimensions))
        ]

    def _depends(self, dimensions: Dimensions, changed: set[SourceKey]) -> bool:
        return any(self._shared(index, dimensions) == shared for index, shared in changed)

    def _shared(self, index: int, dimensions: Dimensions) -> Dimensions:
        return tuple(dimensions[i] for i in self.subscription.sources[index].ours)

    def _report(
        self, alert: AlertKey, step: Transition, is_own: bool, at_ms: int
    ) -> list[Transition]:
        dimensions, severity = alert
        phase, bound = step.state, step.bound
        if phase is AlertPhase.FIRING:
            inhibiting = self.inhibiting(dimensions)
            if inhibiting:
                phase, bound = AlertPhase.INHIBITED, ", ".join(inhibiting)
        last = self._reported.get(alert)
        before = AlertPhase.INACTIVE if last is None else last.state
        if phase is before or (last is not None and at_ms <= last.at_ms):
            return []
        reason = step.reason if is_own and phase is not AlertPhase.INHIBITED else "depends_on"
        reported = replace(
            step, at_ms=at_ms, state=phase, previous=before, bound=bound, reason=reason
        )
        self._reported[alert] = reported
        series = self._find(dimensions)
        if series is not None:
            series.report(self.rule.name, severity, reported)
        return [reported]


def firing_change(step: Transition, own: bool = False) -> FiringChange:
    """A transition as a change for subscriptions; `own`: for that of the rule's own inhibitor."""
    firing = step.state is AlertPhase.FIRING
    return FiringChange(step.rule, step.severity, step.at_ms, firing, step if own else None)
