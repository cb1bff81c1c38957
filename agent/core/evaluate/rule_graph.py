"""The rules of one state partition that look at other rules: what they hear, and what they tell.

Rules come in the order in which they look at each other. What a rule must hear is noted in the row
of the series that it happened to (`Series.firing_changes`) until every rule that looks has used it,
and what they made of it has been written. So a crash loses none; one that is heard again changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from agent.core.evaluate.composite import CompositeRule
from agent.core.evaluate.inhibition import OWN, Inhibitor, flip_of
from agent.core.evaluate.subscription import Subscription
from agent.core.model.plan import (
    AbsenceRule,
    CombinationRule,
    Dimensions,
    Plan,
    Rule,
    RuleRef,
    Severity,
    ThresholdRule,
    is_whole,
)
from agent.core.model.results import AlertPhase, SeriesView, TargetState, TargetStatus, Transition
from agent.core.state.series import FiringChange, Series

Place = tuple[str, Dimensions | None]
"""A series: its KPI, or the home of its combination rule, and its dimensions; None: what is watched
of the KPI as a whole."""

SeriesOf = Callable[[str, bool], Sequence[Series]]
"""The series of a home here; or what is watched of it as a whole."""
Find = Callable[[str, Dimensions | None], Series | None]
Frontier = Callable[[str], int | None]
"""How far event time is settled for a KPI (ms)."""


@dataclass(slots=True)
class Heard:
    """What one advance brought: what is told, and the series whose rows changed."""

    told: list[tuple[Place, Transition]] = field(default_factory=list)
    changed: list[Place] = field(default_factory=list)
    expired: list[Place] = field(default_factory=list)


OWN_NAME = "gate/"
"""What a gate's hearing is called in rows, before the rule's name; a combination's by its home."""


class RuleGraph:
    """All rules of one state partition that look at others."""

    def __init__(
        self, plan: Plan, gathers: bool, series_of: SeriesOf, find: Find, frontier: Frontier
    ) -> None:
        self._plan = plan
        self._series_of = series_of
        self._find = find
        self._frontier = frontier
        self._begun = False
        self.combinations: dict[str, CompositeRule] = {}
        self._gates: dict[str, Inhibitor] = {}
        self._listeners: dict[tuple[str, str], list[tuple[Subscription, int]]] = {}
        self._own: dict[str, Subscription] = {}  # of gates: who hears the rule's own steps
        self._settled: dict[int, int | None] = {}
        for rule in plan.rules.values():
            # What belongs to no dimensions is in one place only.
            if isinstance(rule, CombinationRule):
                if not (rule.by or gathers):
                    continue
                self.combinations[rule.kpi] = CompositeRule(rule)
                self._listen(self.combinations[rule.kpi].hearing, rule.heeds)
            if rule.depends_on:
                self._gates[rule.name] = self._gate(rule)

    def _gate(self, rule: Rule) -> Inhibitor:
        by = () if is_whole(rule) else self._plan.by_of(rule.kpi) or ()
        every = tuple(range(len(by)))
        own = RuleRef(rule.name, rule.kpi, rule.name, None, is_whole(rule), every, every)
        hearing = Subscription((own, *rule.depends_on))
        self._own[rule.name] = hearing
        self._listen(hearing, rule.depends_on, OWN + 1)

        def find(dimensions: Dimensions) -> Series | None:
            return self._find(rule.kpi, None if own.whole else dimensions)

        judges = isinstance(rule, ThresholdRule)
        window = self._plan.kpis[rule.kpi].window if judges else None
        return Inhibitor(rule, by, hearing, window, find)

    def _listen(self, hearing: Subscription, heeded: Sequence[RuleRef], first: int = 0) -> None:
        for place, one in enumerate(heeded, first):
            key = one.home, one.rule
            self._listeners.setdefault(key, []).append((hearing, place))

    def firing(self, rule: Rule, dimensions: Dimensions) -> tuple[tuple[str, bool], ...]:
        """What a combination rule hears for a series: each name that it looks at, and whether it
        fires."""
        heard = self.combinations[rule.kpi].hearing
        return tuple((h.name, heard.fires(i, dimensions)) for i, h in enumerate(heard.heeded))

    def silencing(self, rule: Rule, dimensions: Dimensions) -> tuple[str, ...]:
        """What a rule depends on that fires for a series, and so silences it."""
        gate = self._gates.get(rule.name)
        return tuple(gate.silencing(dimensions)) if gate else ()

    # --- what happens ----------------------------------------------------------------------

    def route(self, place: Place, steps: Sequence[Transition]) -> list[Transition]:
        """Let others hear of steps of a KPI's alerts; those that are told as they are."""
        told = []
        for step in steps:
            if step.rule in self._gates:
                self._note(place, step, own=True)
            else:
                self._note(place, step)
                told.append(step)
        return told

    def judged(self, place: Place, status: TargetStatus) -> None:
        """Let others hear that a target was missed, or is no more."""
        missed, before = (s is TargetState.MISSED for s in (status.state, status.previous))
        if missed is not before and (listeners := self._listeners.get((place[0], ""))):
            self._spread(place, FiringChange("", "", status.window.end_ms, missed), listeners)

    def _note(self, place: Place, step: Transition, own: bool = False) -> None:
        if own:
            self._spread(place, flip_of(step, own=True), [(self._own[step.rule], OWN)])
            return
        listeners = self._listeners.get((place[0], step.rule))
        firing = AlertPhase.FIRING
        if listeners and (step.state is firing) is not (step.previous is firing):
            self._spread(place, flip_of(step), listeners)

    def _spread(
        self, place: Place, flip: FiringChange, listeners: Sequence[tuple[Subscription, int]]
    ) -> None:
        series = self._find(*place)
        if series is not None:
            series.firing_changes.append(flip)
        for hearing, at in listeners:
            hearing.hear(at, place[1] or (), flip)

    # --- time moves on ---------------------------------------------------------------------

    def advance(self) -> Heard:
        """Judge what is known by now, each rule after those that it looks at."""
        out = Heard()
        if not (self.combinations or self._gates):
            return out
        if not self._begun:
            self._begin()
        for rule in self._plan.rules.values():
            combination = self.combinations.get(rule.kpi)
            known = self._known(combination.hearing.heeded) if combination else None
            if combination is not None and known is not None:
                for step in combination.advance(known):
                    place: Place = (rule.kpi, step.dimensions)
                    out.told += [(place, told) for told in self.route(place, [step])]
                out.changed += [(rule.kpi, one) for one in combination.changed]
                combination.changed = set()
                out.expired += [(rule.kpi, one) for one in combination.expired(known)]
            gate = self._gates.get(rule.name)
            known = self._known(gate.hearing.heeded, rule) if gate else None
            if gate is not None and known is not None:
                for step in gate.advance(known):
                    place = rule.kpi, None if is_whole(rule) else step.dimensions
                    self._note(place, step)
                    out.told.append((place, step))
        return out

    def _known(self, heeded: Sequence[RuleRef], gated: Rule | None = None) -> int | None:
        """Up to which instant (ms), inclusive, everything that a rule looks at is known."""
        found = []
        for place, one in enumerate(heeded):
            own = gated is not None and place == OWN
            known = self._settled_ms(one, own)
            if known is None:
                return None
            found.append(known)
        return min(found)

    def _settled_ms(self, heeded: RuleRef, own: bool) -> int | None:
        gate = self._gates.get(heeded.rule)
        if gate is not None and not own:
            return gate.hearing.known_ms
        combination = self.combinations.get(heeded.home)
        if combination is not None:
            return combination.hearing.known_ms
        frontier = self._frontier(heeded.home)
        rule = self._plan.rules.get(heeded.rule)
        if frontier is not None and isinstance(rule, AbsenceRule):
            # The slice that the frontier is in may hold events that end a silence at its start.
            return frontier - frontier % self._plan.kpis[heeded.home].slice_ms - 1
        return frontier

    # --- from the rows ---------------------------------------------------------------------

    def _begin(self) -> None:
        """Know what fires already, and what is still to be heard, by the rows."""
        self._begun = True
        used = self._used()
        for (home, rule), listeners in self._listeners.items():
            gated = rule in self._gates
            for series, dimensions in self._rows(home, rule):
                for hearing, place in listeners:
                    after_ms = used.get(self._name_of(hearing))
                    for severity in self._firing(series, rule, gated, after_ms):
                        hearing.begin(place, dimensions, severity)
                    for flip in _after(series, rule, after_ms):
                        hearing.hear(place, dimensions, flip)
        for name, gate in self._gates.items():
            for series, dimensions in self._rows(self._plan.rules[name].kpi, name):
                self._restore(gate, series, dimensions, used.get(OWN_NAME + name))

    def _used(self) -> dict[str, int]:
        """Up to where the rows say that each rule has used what it heard, and written what came
        of it. A row that was not written since still has flips from before."""
        used: dict[str, int] = {}
        homes = {home for home, _ in self._listeners} | {r.kpi for r in self._plan.rules.values()}
        for home in homes:
            for whole in (False, True):
                for series in self._series_of(home, whole):
                    for name, at_ms in series.consumed_ms.items():
                        used[name] = max(used.get(name, at_ms), at_ms)
        return used

    def _name_of(self, hearing: Subscription) -> str:
        """What a hearing is called in rows."""
        for name, own in self._own.items():
            if own is hearing:
                return OWN_NAME + name
        return next(home for home, c in self.combinations.items() if c.hearing is hearing)

    def _rows(self, home: str, rule: str) -> Iterator[tuple[Series, Dimensions]]:
        whole = bool(rule) and is_whole(self._plan.rules[rule])
        for series in self._series_of(home, whole):
            yield series, series.dimensions or ()

    def _firing(self, series: Series, rule: str, gated: bool, after_ms: int | None) -> list[str]:
        """The severities of a rule's alerts that fire on a series before what is to be heard."""
        if not rule:
            missed = series.status is not None and series.status.state is TargetState.MISSED
            now = {"": missed}
        else:
            phases = phases_of(series, self._plan.rules[rule])
            if gated:
                phases = {s: step.state for s, step in series.reported.get(rule, {}).items()}
            now = {severity: phase is AlertPhase.FIRING for severity, phase in phases.items()}
        for flip in reversed(_after(series, rule, after_ms)):
            now[flip.severity] = not flip.firing
        return [severity for severity, fires in now.items() if fires]

    def _restore(
        self, gate: Inhibitor, series: Series, dimensions: Dimensions, after_ms: int | None
    ) -> None:
        name = gate.rule.name
        coming = [
            f
            for f in series.firing_changes
            if f.rule == name and f.step is not None and (after_ms is None or f.at_ms > after_ms)
        ]
        shown = series.reported.setdefault(name, {})
        for severity, phase in phases_of(series, gate.rule).items():
            first = next((f.step for f in coming if f.severity == severity), None)
            own = first.previous if first is not None else phase
            if severity not in shown and own is not AlertPhase.INACTIVE:
                # The rule did not depend on anything before: what was told is what it is.
                shown[severity] = _step_of(gate.rule, severity, series, own)
            if severity in shown:
                fires = own is AlertPhase.FIRING
                gate.restore((dimensions, severity), fires, shown[severity])
        for flip in coming:
            gate.hearing.hear(OWN, dimensions, flip)

    def unsilenced(self, series: Series) -> list[Transition]:
        """What is told of alerts whose rule depended on others before its rules were changed."""
        out = []
        for name in [name for name in series.reported if name not in self._gates]:
            shown = series.reported.pop(name)
            rule = self._plan.rules.get(name)
            for severity, phase in phases_of(series, rule).items() if rule else ():
                last = shown.get(severity)
                if last is not None and last.state is not phase:
                    out.append(replace(last, state=phase, previous=last.state, reason="when"))
        return out

    def views(self) -> list[SeriesView]:
        """The series of the combination rules, as a board sees them."""
        return [
            combination.view(series)
            for combination in self.combinations.values()
            for series in combination.series.values()
        ]

    # --- what may be forgotten -------------------------------------------------------------

    def prune(self, series: Series) -> None:
        """Forget the flips of a series that everybody has used, and written what came of it."""
        if series.firing_changes:
            kept = [flip for flip in series.firing_changes if self._wanted(series.kpi, flip)]
            if len(kept) < len(series.firing_changes):
                series.firing_changes = kept
                series.consumed_ms = {
                    self._name_of(hearing): at_ms
                    for hearing in self._hearings()
                    if (at_ms := self._settled.get(id(hearing))) is not None
                }

    def _wanted(self, home: str, flip: FiringChange) -> bool:
        listeners = self._listeners.get((home, flip.rule), [])
        hearings = [hearing for hearing, _ in listeners]
        if flip.step is not None:
            hearings = [self._own[flip.rule]] if flip.rule in self._own else []
        settled = [self._settled.get(id(hearing)) for hearing in hearings]
        return any(at_ms is None or at_ms < flip.at_ms for at_ms in settled)

    def written(self) -> None:
        """What was judged up to now is in the rows of this round."""
        self._settled = {id(hearing): hearing.used_ms for hearing in self._hearings()}

    def _hearings(self) -> list[Subscription]:
        return [*self._own.values(), *(c.hearing for c in self.combinations.values())]


def _after(series: Series, rule: str, after_ms: int | None) -> list[FiringChange]:
    """What others hear of a rule on a series, after an instant (ms)."""
    return [
        flip
        for flip in series.firing_changes
        if flip.rule == rule and flip.step is None and (after_ms is None or flip.at_ms > after_ms)
    ]


def phases_of(series: Series, rule: Rule) -> Mapping[str, AlertPhase]:
    """The phases of a rule's own alerts on a series, by severity, whatever is told of them."""
    return {severity: state.phase for severity, state in series.alerts.get(rule.name, {}).items()}


def _step_of(rule: Rule, severity: str, series: Series, phase: AlertPhase) -> Transition:
    """A step into the phase that an alert is in, as far as its row remembers it."""
    state = series.alerts.get(rule.name, {}).get(severity)
    at_ms = state.episode_ms if state and state.episode_ms is not None else series.closed_ms
    return Transition(
        rule.name, cast(Severity, severity), rule.kpi, series.dimensions or (), at_ms, at_ms, phase,
        AlertPhase.INACTIVE, None, "", at_ms, at_ms, "when",
    )  # fmt: skip
