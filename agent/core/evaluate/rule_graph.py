"""The rules of one state partition that depend on other rules, as a graph.

Nodes are rules; an edge is a `Subscription` of a rule to the alerts (or missed targets) of others.
Composite rules (`when: a and b`) subscribe to what they name, and rules with `depends_on` have an
`Inhibitor` that subscribes to the rule's own alerts and to its dependencies.

Events
------
- `route`: transitions of a KPI's alerts. Those of a rule with `depends_on` go to its inhibitor, all
  others are reported as they are and passed to the subscriptions of rules that depend on them.
- `evaluated`: a target is missed, or no longer.
- `advance`: watermarks have moved.

Rules
-----
1. `advance` goes through the rules in the order of the plan, in which each rule comes after those
   that it depends on. So one pass is enough.
2. A rule is evaluated up to the instant that is settled for all its sources: the frontier of a
   KPI; for absence rules the last whole slice before it; of a composite rule or an inhibitor how
   far it has been evaluated itself.
3. What a composite rule or an inhibitor reports is passed on like any other transition.

Exceptions
----------
- What has no dimensions lives in one state partition only (`gathers`).
- After a restart the first `advance` begins with what the rows say (`graph_restart`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.core.evaluate.change_journal import ChangeJournal
from agent.core.evaluate.composite import CompositeState
from agent.core.evaluate.graph_restart import GraphRestart, SeriesOf
from agent.core.evaluate.inhibition import OWN, Inhibitor, firing_change
from agent.core.evaluate.subscription import Subscription
from agent.core.evaluate.thresholds import OnEvaluation
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, SeriesView, TargetState, TargetStatus, Transition
from agent.core.model.rules import (
    AbsenceRule,
    CompositeRule,
    Rule,
    RuleRef,
    ThresholdRule,
    is_whole,
)
from agent.core.state.series import FiringChange, Series

Place = tuple[str, Dimensions | None]
"""A series: its KPI, or the owner of its composite rule, and its dimensions; None: the KPI as a
whole."""

Find = Callable[[str, Dimensions | None], Series | None]
Frontier = Callable[[str], int | None]
"""How far event time is settled for a KPI (ms)."""


@dataclass(slots=True)
class Advanced:
    """What one advance brought: transitions to report, and the series whose rows changed."""

    published: list[tuple[Place, Transition]] = field(default_factory=list)
    changed: list[Place] = field(default_factory=list)
    expired: list[Place] = field(default_factory=list)


class RuleGraph:
    """All rules of one state partition that depend on others."""

    def __init__(
        self,
        plan: Plan,
        gathers: bool,
        series_of: SeriesOf,
        find: Find,
        frontier: Frontier,
        on_evaluation: OnEvaluation | None = None,
    ) -> None:
        self._plan = plan
        self._series_of = series_of
        self._find = find
        self._frontier = frontier
        self._begun = False
        self.composites: dict[str, CompositeState] = {
            rule.kpi: CompositeState(rule, on_evaluation)
            for rule in plan.rules.values()
            if isinstance(rule, CompositeRule) and (rule.by or gathers)
        }
        self._inhibitors = {
            rule.name: self._inhibitor(rule) for rule in plan.rules.values() if rule.depends_on
        }
        # By owner and rule ("": its target): the subscriptions, and the index of the source there.
        self._subscribers: dict[tuple[str, str], list[tuple[Subscription, int]]] = {}
        for subscription in self._subscriptions():
            for index, source in enumerate(subscription.sources):
                if (source.rule, index) != (self._inhibited_by(subscription), OWN):
                    key = source.subject, source.rule
                    self._subscribers.setdefault(key, []).append((subscription, index))
        self._journal = ChangeJournal(self._subscriptions())
        self.restart = GraphRestart(plan, series_of, self._subscribers, self._inhibitors)

    def _inhibitor(self, rule: Rule) -> Inhibitor:
        by = () if is_whole(rule) else self._plan.by_of(rule.kpi) or ()
        every = tuple(range(len(by)))
        own = RuleRef(rule.name, rule.kpi, rule.name, None, is_whole(rule), every, every)
        subscription = Subscription(INHIBITOR + rule.name, (own, *rule.depends_on))
        window = self._plan.kpis[rule.kpi].window if isinstance(rule, ThresholdRule) else None

        def find(dimensions: Dimensions) -> Series | None:
            return self._find(rule.kpi, None if own.whole else dimensions)

        return Inhibitor(rule, by, subscription, window, find)

    def _subscriptions(self) -> list[Subscription]:
        return [
            *(inhibitor.subscription for inhibitor in self._inhibitors.values()),
            *(composite.subscription for composite in self.composites.values()),
        ]

    def _inhibited_by(self, subscription: Subscription) -> str | None:
        """The rule whose inhibitor has a subscription; None: it is a composite rule's."""
        is_inhibitor = subscription.name.startswith(INHIBITOR)
        return subscription.name.removeprefix(INHIBITOR) if is_inhibitor else None

    def firing(self, rule: Rule, dimensions: Dimensions) -> tuple[tuple[str, bool], ...]:
        """What a composite rule depends on, for a series: each name, and whether it fires."""
        subscription = self.composites[rule.kpi].subscription
        return tuple(
            (source.name, subscription.fires(index, dimensions))
            for index, source in enumerate(subscription.sources)
        )

    def inhibiting(self, rule: Rule, dimensions: Dimensions) -> tuple[str, ...]:
        """The dependencies of a rule that inhibit a series."""
        inhibitor = self._inhibitors.get(rule.name)
        return tuple(inhibitor.inhibiting(dimensions)) if inhibitor else ()

    # --- events ----------------------------------------------------------------------------

    def route(self, place: Place, steps: Sequence[Transition]) -> list[Transition]:
        """Pass transitions of a KPI's alerts on; those that are reported as they are."""
        reported = []
        for step in steps:
            inhibitor = self._inhibitors.get(step.rule)
            if inhibitor is not None:
                own = [(inhibitor.subscription, OWN)]
                self._publish(place, firing_change(step, own=True), own)
            else:
                self._pass_on(place, step)
                reported.append(step)
        return reported

    def note_status(self, place: Place, status: TargetStatus) -> None:
        """Pass on that a target is missed, or no longer."""
        missed, before = (s is TargetState.MISSED for s in (status.state, status.previous))
        subscribers = self._subscribers.get((place[0], ""))
        if missed is not before and subscribers:
            self._publish(place, FiringChange("", "", status.window.end_ms, missed), subscribers)

    def _pass_on(self, place: Place, step: Transition) -> None:
        subscribers = self._subscribers.get((place[0], step.rule))
        firing = AlertPhase.FIRING
        if subscribers and (step.state is firing) is not (step.previous is firing):
            self._publish(place, firing_change(step), subscribers)

    def _publish(
        self, place: Place, change: FiringChange, to: Sequence[tuple[Subscription, int]]
    ) -> None:
        series = self._find(*place)
        if series is not None:
            series.add_change(change)
        for subscription, index in to:
            subscription.add(index, place[1] or (), change)

    # --- time ------------------------------------------------------------------------------

    def advance(self) -> Advanced:
        """Evaluate what is settled by now, each rule after those that it depends on."""
        out = Advanced()
        if not (self.composites or self._inhibitors):
            return out
        if not self._begun:
            self._begun = True
            self.restart.begin()
        for rule in self._plan.rules.values():
            if rule.kpi in self.composites:
                self._advance_composite(self.composites[rule.kpi], out)
            if rule.name in self._inhibitors:
                self._advance_inhibitor(self._inhibitors[rule.name], out)
        return out

    def _advance_composite(self, composite: CompositeState, out: Advanced) -> None:
        known_ms = self._settled_for(composite.subscription)
        if known_ms is None:
            return
        owner = composite.rule.kpi
        for step in composite.advance(known_ms):
            place: Place = (owner, step.dimensions)
            out.published += [(place, reported) for reported in self.route(place, [step])]
        out.changed += [(owner, dimensions) for dimensions in composite.drain_changed()]
        out.expired += [(owner, dimensions) for dimensions in composite.expire(known_ms)]

    def _advance_inhibitor(self, inhibitor: Inhibitor, out: Advanced) -> None:
        known_ms = self._settled_for(inhibitor.subscription)
        if known_ms is None:
            return
        rule = inhibitor.rule
        for step in inhibitor.advance(known_ms):
            place: Place = (rule.kpi, None if is_whole(rule) else step.dimensions)
            self._pass_on(place, step)
            out.published.append((place, step))

    def _settled_for(self, subscription: Subscription) -> int | None:
        """Up to which instant (ms), inclusive, everything that a rule depends on is settled."""
        inhibited = self._inhibited_by(subscription)
        settled = [
            self._settled_ms(source, is_own=inhibited is not None and index == OWN)
            for index, source in enumerate(subscription.sources)
        ]
        known = [at_ms for at_ms in settled if at_ms is not None]
        return min(known) if len(known) == len(settled) else None

    def _settled_ms(self, source: RuleRef, is_own: bool) -> int | None:
        inhibitor = self._inhibitors.get(source.rule)
        if inhibitor is not None and not is_own:
            return inhibitor.subscription.known_ms
        composite = self.composites.get(source.subject)
        if composite is not None:
            return composite.subscription.known_ms
        frontier_ms = self._frontier(source.subject)
        rule = self._plan.rules.get(source.rule)
        if frontier_ms is not None and isinstance(rule, AbsenceRule):
            # The slice that the frontier is in may hold events that end a silence at its start.
            return frontier_ms - frontier_ms % self._plan.kpis[source.subject].slice_ms - 1
        return frontier_ms

    # --- rows ------------------------------------------------------------------------------

    def views(self) -> list[SeriesView]:
        """The series of the composite rules, as a board sees them."""
        return [
            composite.view(series)
            for composite in self.composites.values()
            for series in composite.series.values()
        ]

    def prune(self, series: Series) -> None:
        """Drop the changes of a series that are consumed durably, before its row is written."""
        self._journal.prune(series, self._readers)

    def written(self) -> None:
        """What was evaluated up to now is in the rows of this round."""
        self._journal.mark_durable()

    def _readers(self, series: Series, change: FiringChange) -> Sequence[Subscription]:
        if change.step is not None:
            inhibitor = self._inhibitors.get(change.rule)
            return [inhibitor.subscription] if inhibitor else []
        return [reader for reader, _ in self._subscribers.get((series.kpi, change.rule), [])]


INHIBITOR = "gate/"
"""What the name of an inhibitor's subscription begins with in rows, before the rule's name; a
composite rule's is its owner."""
