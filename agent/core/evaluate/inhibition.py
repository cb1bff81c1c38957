"""`depends_on`: while a rule fires that another depends on, alerts of the other are silenced.

Rules
-----
- The alert lives on by its own conditions. What is told of it is its phase, save that instead of
  *firing* it is *silenced* while anything fires that its rule depends on.
- So an alert that would begin to fire begins silenced, and one that fires becomes silenced. It may
  end in silence.
- Windows that overlap the time of what is missing say little. So a silence lasts until a window has
  closed that began when nothing fired any more; an alert that then still would fire, fires.
- A step is told once event time is settled at its instant for everything that the rule depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.core.evaluate.subscription import Subscription
from agent.core.model.plan import Dimensions, Rule, as_for
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.text import when_text
from agent.core.model.windows import Window, first_end_within
from agent.core.state.series import FiringChange, Series

Key = tuple[Dimensions, str]
"""A series of the rule, and a severity."""

OWN = 0
"""The place of the rule's own alerts among what its gate hears; after it what it depends on."""


class Inhibitor:
    """What is told of one rule's alerts in one state partition."""

    def __init__(
        self,
        rule: Rule,
        by: tuple[str, ...],
        hearing: Subscription,
        window: Window | None,
        find: Callable[[Dimensions], Series | None],
    ) -> None:
        self.rule = rule
        self._by = by
        self._window = window  # None: the rule does not judge windows
        # Of what fires no more: since when, and until when it silences all the same.
        self._holds: dict[tuple[int, Dimensions], tuple[int, int]] = {}
        self.hearing = hearing
        self._find = find
        self._own: dict[Key, Transition] = {}  # the last step of what would fire
        self._told: dict[Key, Transition] = {}

    def restore(self, key: Key, fires: bool, told: Transition) -> None:
        """Begin with an alert: whether it fires by itself, and what was last told of it."""
        self._told[key] = told
        if fires:
            bound = self._bound(*key)
            self._own[key] = replace(told, state=AlertPhase.FIRING, bound=bound)

    def _bound(self, dimensions: Dimensions, severity: str) -> str:
        rule: Rule | None = as_for(self.rule, self._by, dimensions)
        for level in rule.levels if rule else ():
            if level.severity == severity:
                return when_text(level)
        return ""

    def advance(self, known_ms: int) -> list[Transition]:
        """What is told up to an instant (ms), inclusive, in order of time."""
        out: list[Transition] = []
        while (at_ms := self._next_ms()) is not None and at_ms <= known_ms:
            moved: dict[Key, Transition] = {}
            changed = {one for one, (_, until_ms) in self._holds.items() if until_ms <= at_ms}
            for one in changed:
                del self._holds[one]
            for (place, dimensions, flip), shared in self.hearing.take(at_ms):
                if place == OWN:
                    if flip.step is not None:
                        moved[dimensions, flip.severity] = flip.step
                else:
                    changed.add((place, shared))
                    self._hold(place, shared, at_ms)
            for key, step in moved.items():
                if step.state is AlertPhase.FIRING:
                    self._own[key] = step
                else:
                    self._own.pop(key, None)
            keys = {*moved, *(key for key in self._own if self._concerned(key[0], changed))}
            for key in sorted(keys, key=repr):
                step = moved.get(key) or self._own[key]
                out += self._tell(key, step, key in moved, at_ms)
        self.hearing.known_ms = known_ms
        self.hearing.kept_ms = min((since for since, _ in self._holds.values()), default=None)
        return out

    def _next_ms(self) -> int | None:
        ends = [until_ms for _, until_ms in self._holds.values()]
        heard = self.hearing.next_ms()
        return min([*ends, *([] if heard is None else [heard])], default=None)

    def _hold(self, place: int, shared: Dimensions, at_ms: int) -> None:
        """Note that something began to fire, or fires no more."""
        self._holds.pop((place, shared), None)
        if self._window is not None and not self.hearing.fires(place, shared):
            self._holds[place, shared] = at_ms, first_end_within(self._window, at_ms)

    def _silences(self, place: int, shared: Dimensions) -> bool:
        return self.hearing.fires(place, shared) or (place, shared) in self._holds

    def silencing(self, dimensions: Dimensions) -> list[str]:
        """What fires, of all that the rule depends on, and so silences one of its series."""
        return [
            heeded.name
            for place, heeded in enumerate(self.hearing.heeded)
            if place != OWN and self._silences(place, self._shared(place, dimensions))
        ]

    def _concerned(self, dimensions: Dimensions, changed: set[tuple[int, Dimensions]]) -> bool:
        return any(self._shared(place, dimensions) == shared for place, shared in changed)

    def _shared(self, place: int, dimensions: Dimensions) -> Dimensions:
        return tuple(dimensions[i] for i in self.hearing.heeded[place].ours)

    def _tell(self, key: Key, step: Transition, moved: bool, at_ms: int) -> list[Transition]:
        dimensions, severity = key
        phase, bound = step.state, step.bound
        if phase is AlertPhase.FIRING:
            silent = self.silencing(dimensions)
            if silent:
                phase, bound = AlertPhase.SILENCED, ", ".join(silent)
        last = self._told.get(key)
        before = AlertPhase.INACTIVE if last is None else last.state
        # What was heard before a restart is heard again.
        if phase is before or (last is not None and at_ms <= last.at_ms):
            return []
        why = step.reason if moved and phase is not AlertPhase.SILENCED else "depends_on"
        told = replace(step, at_ms=at_ms, state=phase, previous=before, bound=bound, reason=why)
        self._told[key] = told
        series = self._find(dimensions)
        if series is not None:
            series.reported.setdefault(self.rule.name, {})[severity] = told
        return [told]


def flip_of(step: Transition, own: bool = False) -> FiringChange:
    """What others hear of a step; `own`: what the rule's own gate hears."""
    firing = step.state is AlertPhase.FIRING
    return FiringChange(step.rule, step.severity, step.at_ms, firing, step if own else None)
