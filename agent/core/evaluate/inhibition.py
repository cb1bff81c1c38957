"""`depends_on`: alerts of a rule are inhibited while another rule that it depends on fires.

States
------
An alert has its own phase, by its own conditions (`agent.core.state.alert_state`), and a reported
phase: the same, but *inhibited* instead of *firing* while a dependency of its rule fires.

Events
------
- the alert's own phase changes;
- a dependency starts or stops firing;
- a hold ends (see rule 2).

Rules
-----
1. An alert that starts firing while inhibited is reported as inhibited, and a firing alert that
   becomes inhibited changes to inhibited. It may resolve while inhibited.
2. Windows that overlap an outage are unreliable. So after a dependency stops firing, inhibition
   *holds* until a window that began later has closed; an alert that still fires then is reported
   as firing. Rules that do not evaluate windows (absence) have no hold.
3. All events of one instant are processed together: the order of an alert and of what inhibits it
   at the same instant makes no difference.
4. A transition is reported once event time is settled at its instant for the rule and for all of
   its dependencies.

Exceptions
----------
- After a restart, changes may be delivered again. A transition that is not later than the last
  reported one of its alert is dropped.
- During a hold, a restart needs the changes since the hold began (`Subscription.settle`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.core.evaluate.subscription import Subscription
from agent.core.model.kpis import Dimensions
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.rules import Rule, variant_for
from agent.core.model.text import when_text
from agent.core.model.windows import Window, first_end_within
from agent.core.state.series import FiringChange, Series

AlertKey = tuple[Dimensions, str]
"""A series of the rule, and a severity."""

SourceKey = tuple[int, Dimensions]
"""The index of a dependency, and the dimensions that it shares with the rule."""

OWN = 0
"""The index of the rule's own alerts in its subscription; its dependencies come after it."""


class Inhibitor:
    """Decides how the alerts of one rule are reported, in one state partition."""

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
        # Holds of dependencies that stopped firing: start and end (ms).
        self._holds: dict[SourceKey, tuple[int, int]] = {}
        self._find = find
        self._firing: dict[AlertKey, Transition] = {}  # alerts that fire by their own conditions
        self._reported: dict[AlertKey, Transition] = {}  # the last one of each alert

    def restore(self, key: AlertKey, fires: bool, reported: Transition) -> None:
        """Restore an alert: whether it fires by its own conditions, and its last transition."""
        self._reported[key] = reported
        if fires:
            bound = self._bound(*key)
            self._firing[key] = replace(reported, state=AlertPhase.FIRING, bound=bound)

    def _bound(self, dimensions: Dimensions, severity: str) -> str:
        rule: Rule | None = variant_for(self.rule, self._by, dimensions)
        for level in rule.levels if rule else ():
            if level.severity == severity:
                return when_text(level)
        return ""

    def advance(self, settled_ms: int) -> list[Transition]:
        """The transitions to report up to an instant (ms), inclusive, in order of time."""
        out: list[Transition] = []
        while (at_ms := self._next_ms()) is not None and at_ms <= settled_ms:
            out += self._advance_to(at_ms)
        held_since_ms = (since_ms for since_ms, _ in self._holds.values())
        self.subscription.settle(settled_ms, needed_from_ms=min(held_since_ms, default=None))
        return out

    def _next_ms(self) -> int | None:
        ends = [until_ms for _, until_ms in self._holds.values()]
        next_ms = self.subscription.next_ms()
        return min([*ends, *([] if next_ms is None else [next_ms])], default=None)

    def _advance_to(self, at_ms: int) -> list[Transition]:
        """Process all events of an instant together."""
        own: dict[AlertKey, Transition] = {}
        changed = {key for key, (_, until_ms) in self._holds.items() if until_ms <= at_ms}
        for key in changed:
            del self._holds[key]
        for index, dimensions, shared, change in self.subscription.pop_until(at_ms):
            if index != OWN:
                changed.add((index, shared))
                self._hold(index, shared, at_ms)
            elif change.transition is not None:
                own[dimensions, change.severity] = change.transition
        for alert, transition in own.items():
            if transition.state is AlertPhase.FIRING:
                self._firing[alert] = transition
            else:
                self._firing.pop(alert, None)
        affected = {*own, *(alert for alert in self._firing if self._depends(alert[0], changed))}
        out: list[Transition] = []
        for alert in sorted(affected, key=repr):
            transition = own.get(alert) or self._firing[alert]
            out += self._report(alert, transition, alert in own, at_ms)
        return out

    def _hold(self, index: int, shared: Dimensions, at_ms: int) -> None:
        """Begin a hold if a dependency has stopped firing; drop it if it fires again."""
        self._holds.pop((index, shared), None)
        if self._window is not None and not self.subscription.fires(index, shared):
            self._holds[index, shared] = at_ms, first_end_within(self._window, at_ms)

    def _inhibits(self, index: int, shared: Dimensions) -> bool:
        return self.subscription.fires(index, shared) or (index, shared) in self._holds

    def inhibiting(self, dimensions: Dimensions) -> list[str]:
        """The names of the dependencies that fire, or hold, for one series of the rule."""
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
        self, alert: AlertKey, own: Transition, is_new: bool, at_ms: int
    ) -> list[Transition]:
        """Report an alert whose last own transition is `own` if its reported phase changes.
        `is_new`: that transition is of this instant."""
        dimensions, severity = alert
        phase, bound = own.state, own.bound
        if phase is AlertPhase.FIRING:
            inhibiting = self.inhibiting(dimensions)
            if inhibiting:
                phase, bound = AlertPhase.INHIBITED, ", ".join(inhibiting)
        last = self._reported.get(alert)
        before = AlertPhase.INACTIVE if last is None else last.state
        if phase is before or (last is not None and at_ms <= last.at_ms):
            return []
        reason = own.reason if is_new and phase is not AlertPhase.INHIBITED else "depends_on"
        reported = replace(
            own, at_ms=at_ms, state=phase, previous=before, bound=bound, reason=reason
        )
        self._reported[alert] = reported
        series = self._find(dimensions)
        if series is not None:
            series.report(self.rule.name, severity, reported)
        return [reported]


def firing_change(transition: Transition, own: bool = False) -> FiringChange:
    """A transition as a change for subscriptions; `own`: for the rule's own inhibitor."""
    t, firing = transition, transition.state is AlertPhase.FIRING
    return FiringChange(t.rule, t.severity, t.at_ms, firing, transition if own else None)
