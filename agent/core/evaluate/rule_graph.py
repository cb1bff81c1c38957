"""The graph of the rules in one state partition that depend on other rules.

Nodes are rules; an edge is a `Subscription` of a rule to the alerts (or missed targets) of others.
Composite rules (`when: a and b`) subscribe to the rules that they name. Rules with `depends_on`
have an `Inhibitor` that subscribes to the rule's own alerts and to its dependencies.

Events
------
- `route`: transitions of a KPI's alerts. Transitions of a rule with `depends_on` go to its
  inhibitor; all others are reported as they are, and delivered to the rules that depend on them.
- `note_status`: a target is missed, or no longer missed.
- `advance`: watermarks have advanced.

Rules
-----
1. `advance` evaluates the rules in the order of the plan, in which each rule comes after those
   that it depends on. So one pass is enough.
2. A rule is evaluated up to the instant that is settled for all its sources. For a KPI this is its
   frontier (for an absence rule the last whole slice before it), for a composite rule or an
   inhibitor the instant up to which it has been evaluated itself.
3. Transitions that a composite rule or an inhibitor reports are delivered like all others.

Exceptions
----------
- Composite rules without dimensions are evaluated in one state partition only (`gathers`).
- After a restart, the first `advance` restores the graph from the rows (`graph_restart`).
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
from agent.core.model.kpis import Dimensions, SeriesRef
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
from agent.core.state.series import FindSeries, FiringChange, Series

EvaluatedMs = Callable[[str], int | None]
"""How far event time is settled for a KPI (ms)."""


@dataclass(slots=True)
class Advanced:
    """The results of one `advance`: transitions to report, series whose rows changed, and series
    that expired."""

    published: list[tuple[SeriesRef, Transition]] = field(default_factory=list)
    changed: list[SeriesRef] = field(default_factory=list)
    expired: list[SeriesRef] = field(default_factory=list)


class RuleGraph:
    """All rules of one state partition that depend on others."""

    def __init__(
        self,
        plan: Plan,
        gathers: bool,
        series_of: SeriesOf,
        find: FindSeries,
        evaluated_ms: EvaluatedMs,
        on_evaluation: OnEvaluation | None = None,
    ) -> None:
        """`gathers`: composite rules without dimensions are evaluated in this partition.
        `series_of`, `find`: its series. `evaluated_ms`: how far a KPI is evaluated."""
        self._plan = plan
        self._find = find
        self._evaluated_ms = evaluated_ms
        self._begun = False
        self.composites: dict[str, CompositeState] = {
            rule.kpi: CompositeState(rule, on_evaluation)
            for rule in plan.rules.values()
            if isinstance(rule, CompositeRule) and (rule.by or gathers)
        }
        self._inhibitors = {
            rule.name: self._inhibitor(rule) for rule in plan.rules.values() if rule.depends_on
        }
        # Subscriptions by owner and rule ("": its target), with the index of the source in each.
        self._subscribers: dict[tuple[str, str], list[tuple[Subscription, int]]] = {}
        for subscription in self._subscriptions():
            for index, source in enumerate(subscription.sources):
                if (source.rule, index) != (self._inhibited_by(subscription), OWN):
                    key = source.subject, source.rule
                    self._subscribers.setdefault(key, []).append((subscription, index))
        self._journal = ChangeJournal(self._subscriptions())
        self.restart = GraphRestart(plan, series_of, find, self._subscribers, self._inhibitors)

    def _inhibitor(self, rule: Rule) -> Inhibitor:
        by = () if is_whole(rule) else self._plan.by_of(rule.kpi) or ()
        every = tuple(range(len(by)))
        own = RuleRef(rule.name, rule.kpi, rule.name, None, is_whole(rule), every, every)
        subscription = Subscription(INHIBITOR + rule.name, (own, *rule.depends_on))
        window = self._plan.kpis[rule.kpi].window if isinstance(rule, ThresholdRule) else None

        def find(dimensions: Dimensions) -> Series | None:
            return self._find((rule.kpi, None if own.whole else dimensions))

        return Inhibitor(rule, by, subscription, window, find)

    def _subscriptions(self) -> list[Subscription]:
        return [
            *(inhibitor.subscription for inhibitor in self._inhibitors.values()),
            *(composite.subscription for composite in self.composites.values()),
        ]

    def _inhibited_by(self, subscription: Subscription) -> str | None:
        """The rule whose inhibitor owns a subscription; None: a composite rule owns it."""
        is_inhibitor = subscription.name.startswith(INHIBITOR)
        return subscription.name.removeprefix(INHIBITOR) if is_inhibitor else None

    def firing(self, rule: Rule, dimensions: Dimensions) -> tuple[tuple[str, bool], ...]:
        """The dependencies of a composite rule by name, and whether each fires for a series."""
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

    def route(self, ref: SeriesRef, transitions: Sequence[Transition]) -> list[Transition]:
        """Deliver transitions of a KPI's alerts to the rules that depend on them. Returns those to
        report: an inhibitor reports the others, in `advance`."""
        reported = []
        for transition in transitions:
            inhibitor = self._inhibitors.get(transition.rule)
            if inhibitor is not None:
                own = [(inhibitor.subscription, OWN)]
                self._deliver(ref, firing_change(transition, own=True), own)
            else:
                self._notify_dependents(ref, transition)
                reported.append(transition)
        return reported

    def note_status(self, ref: SeriesRef, status: TargetStatus) -> None:
        """Deliver that a target is missed, or no longer missed."""
        missed, before = (s is TargetState.MISSED for s in (status.state, status.previous))
        subscribers = self._subscribers.get((ref[0], ""))
        if missed is not before and subscribers:
            self._deliver(ref, FiringChange("", "", status.window.end_ms, missed), subscribers)

    def _notify_dependents(self, ref: SeriesRef, transition: Transition) -> None:
        """Deliver a reported transition, if the alert starts or stops firing with it."""
        subscribers = self._subscribers.get((ref[0], transition.rule))
        firing = AlertPhase.FIRING
        if subscribers and (transition.state is firing) is not (transition.previous is firing):
            self._deliver(ref, firing_change(transition), subscribers)

    def _deliver(
        self, ref: SeriesRef, change: FiringChange, to: Sequence[tuple[Subscription, int]]
    ) -> None:
        """Add a change to subscriptions, and to the row of its series for a restart."""
        series = self._find(ref)
        if series is not None:
            series.add_change(change)
        for subscription, index in to:
            subscription.add(index, ref[1] or (), change)

    # --- time ------------------------------------------------------------------------------

    def advance(self) -> Advanced:
        """Evaluate all rules up to where event time is settled, each after its dependencies."""
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
        settled_ms = self._settled_for(composite.subscription)
        if settled_ms is None:
            return
        owner = composite.rule.kpi
        for transition in composite.advance(settled_ms):
            ref: SeriesRef = (owner, transition.dimensions)
            out.published += [(ref, reported) for reported in self.route(ref, [transition])]
        out.changed += [(owner, dimensions) for dimensions in composite.drain_changed()]
        out.expired += [(owner, dimensions) for dimensions in composite.expire(settled_ms)]

    def _advance_inhibitor(self, inhibitor: Inhibitor, out: Advanced) -> None:
        settled_ms = self._settled_for(inhibitor.subscription)
        if settled_ms is None:
            return
        rule = inhibitor.rule
        for transition in inhibitor.advance(settled_ms):
            ref: SeriesRef = (rule.kpi, None if is_whole(rule) else transition.dimensions)
            self._notify_dependents(ref, transition)
            out.published.append((ref, transition))

    def _settled_for(self, subscription: Subscription) -> int | None:
        """The instant (ms), inclusive, up to which all sources are settled; None: one is not yet
        settled at all."""
        inhibited = self._inhibited_by(subscription)
        settled = [
            self._settled_ms(source, is_own=inhibited is not None and index == OWN)
            for index, source in enumerate(subscription.sources)
        ]
        known = [at_ms for at_ms in settled if at_ms is not None]
        return min(known) if len(known) == len(settled) else None

    def _settled_ms(self, source: RuleRef, is_own: bool) -> int | None:
        """The instant up to which a source is settled. `is_own`: the source is the rule's own
        alerts before inhibition."""
        inhibitor = self._inhibitors.get(source.rule)
        if inhibitor is not None and not is_own:
            return inhibitor.subscription.settled_ms
        composite = self.composites.get(source.subject)
        if composite is not None:
            return composite.subscription.settled_ms
        evaluated_ms = self._evaluated_ms(source.subject)
        rule = self._plan.rules.get(source.rule)
        if evaluated_ms is not None and isinstance(rule, AbsenceRule):
            # Events in the slice that contains the frontier may end a silence at its start.
            return evaluated_ms - evaluated_ms % self._plan.kpis[source.subject].slice_ms - 1
        return evaluated_ms

    # --- rows ------------------------------------------------------------------------------

    def views(self) -> list[SeriesView]:
        """The series of the composite rules, as the board shows them."""
        return [
            composite.view(series)
            for composite in self.composites.values()
            for series in composite.series.values()
        ]

    def prune(self, series: Series) -> None:
        """Drop the changes of a series that are durably consumed; before its row is written."""
        self._journal.prune(series, self._readers)

    def mark_durable(self) -> None:
        """Note that the rows of this round contain everything evaluated up to now."""
        self._journal.mark_durable()

    def _readers(self, series: Series, change: FiringChange) -> Sequence[Subscription]:
        if change.transition is not None:
            inhibitor = self._inhibitors.get(change.rule)
            return [inhibitor.subscription] if inhibitor else []
        return [reader for reader, _ in self._subscribers.get((series.kpi, change.rule), [])]


INHIBITOR = "inhibitor/"
"""The prefix of the names of inhibitors' subscriptions in rows, before the rule's name. A composite
rule's subscription has its subject as its name."""
