"""The coverage of the rules by tests: each way that an alert can go, each state, each override.

An item is seen when it happened in a test, whatever the test expected. Features that a rule does
not use (no `for`, no `clear`) have no item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agent.core.evaluate.thresholds import Evaluation
from agent.core.model.kpis import Dimensions, Kpi, TargetOverride
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, TargetStatus, Transition
from agent.core.model.rules import (
    AbsenceLevel,
    AbsenceRule,
    CompositeRule,
    Rule,
    ThresholdRule,
    is_whole,
    override_for,
)
from agent.ruletests.run import RunResult


@dataclass(frozen=True, slots=True)
class Item:
    """Something that a test can exercise, of a rule (`part`: its severity), a KPI or a
    maintenance."""

    section: str
    name: str
    part: str
    what: str


@dataclass(slots=True)
class Coverage:
    """The items of a rule set, in its order, and those that were seen."""

    items: tuple[Item, ...]
    seen: set[Item] = field(default_factory=set)

    @property
    def percent(self) -> float:
        """The percentage of seen items; 100 if there are none."""
        covered = sum(item in self.seen for item in self.items)
        return 100 * covered / len(self.items) if self.items else 100.0

    def add(self, plan: Plan, result: RunResult) -> None:
        """Note the items that one test has seen."""
        self.seen.update(set(self.items).intersection(_seen(plan, result)))


def coverage_of(plan: Plan) -> Coverage:
    """The coverage of a rule set before any test: all items, none of them seen."""
    items: list[Item] = []
    for rule in plan.rules.values():
        items += _of_rule(rule)
    for kpi in plan.kpis.values():
        items += _of_kpi(kpi)
    items += (Item("maintenance", name, "", "a window in it") for name in plan.maintenance)
    return Coverage(tuple(items))


def _of_rule(rule: Rule) -> Iterator[Item]:
    for severity, ways in _ways(rule):
        for what in (what for what, used in ways.items() if used):
            yield Item("rules", rule.name, severity, what)
    for number in range(len(rule.overrides)):
        yield _of_override("rules", rule, number)


def _ways(rule: Rule) -> Iterator[tuple[str, dict[str, bool]]]:
    """Each severity of a rule, with the ways that alerts may go, and whether its alerts can."""
    threshold = rule if isinstance(rule, ThresholdRule) else None
    for level in rule.levels:
        ways = {"fired": True, "resolved": True}
        ways["pending that ended"] = not isinstance(rule, AbsenceRule) and rule.for_ms > 0
        ways["inhibited (depends_on)"] = bool(rule.depends_on)
        ways["firing between when and clear"] = (
            not isinstance(level, AbsenceLevel) and level.clear is not None
        )
        ways["clearing that ended (keep_firing_for)"] = rule.keep_firing_for_ms > 0
        ways["too few events (min_events)"] = threshold is not None and threshold.min_events > 0
        ways["no data"] = threshold is not None
        ways["not enough history"] = threshold is not None and bool(
            threshold.min_history_ms or threshold.features
        )
        ways["flapping"] = rule.flapping is not None
        yield level.severity, ways


def _of_kpi(kpi: Kpi) -> Iterator[Item]:
    yield Item("kpis", kpi.name, "value", "computed")
    if kpi.target is not None:
        warned = kpi.target.warn_at_least is not None or kpi.target.warn_at_most is not None
        for state in ("met", "at_risk", "missed") if warned else ("met", "missed"):
            yield Item("kpis", kpi.name, "target", state)
    for number in range(len(kpi.overrides)):
        yield _of_override("kpis", kpi, number)


def _of_override(section: str, declared: Kpi | Rule, number: int) -> Item:
    override = declared.overrides[number]
    what = [f"{key}={value}" for key, value in override.match.items()]
    if isinstance(override, TargetOverride) and override.since is not None:
        what.append(f"from {override.since}")
    return Item(section, declared.name, f"override {number + 1}", ", ".join(what))


def _seen(plan: Plan, result: RunResult) -> Iterator[Item]:
    yield from (Item("kpis", name, "value", "computed") for name in result.computed)
    for name in {w.maintenance for w in result.windows if w.maintenance is not None}:
        yield Item("maintenance", name, "", "a window in it")
    for status in result.targets:
        yield from _of_status(plan.kpis[status.window.kpi], status)
    for step in result.transitions:
        yield from _of_transition(step)
    for evaluation in result.evaluations:
        for what in _of_evaluation(evaluation):
            yield Item("rules", evaluation.rule.name, evaluation.severity, what)
    series = {(w.kpi, w.dimensions) for w in result.windows}
    series |= {(step.kpi, step.dimensions) for step in result.transitions}
    for rule in plan.rules.values():
        by = plan.by_of(rule.kpi) or ()
        for dimensions in _watched(rule, series) if rule.overrides and not is_whole(rule) else ():
            number = override_for(rule, by, dimensions) if len(dimensions) == len(by) else None
            if number is not None:
                yield _of_override("rules", rule, number)


def _watched(rule: Rule, series: Iterable[tuple[str, Dimensions]]) -> Iterator[Dimensions]:
    """The series that a rule watches, among those of all KPIs and rules."""
    if not isinstance(rule, CompositeRule):
        yield from (dimensions for subject, dimensions in series if subject == rule.kpi)
        return
    for subject, dimensions in series:
        for dependency in rule.dependencies:
            if dependency.subject == subject and max(dependency.theirs, default=-1) < len(
                dimensions
            ):
                yield tuple(dimensions[place] for place in dependency.theirs)


def _of_status(kpi: Kpi, status: TargetStatus) -> Iterator[Item]:
    for number, override in enumerate(kpi.overrides):
        if override.target is status.target:
            yield _of_override("kpis", kpi, number)
            return
    yield Item("kpis", kpi.name, "target", status.state.value)


def _of_transition(step: Transition) -> Iterator[Item]:
    whats = {
        (AlertPhase.FIRING, None): "fired",
        (AlertPhase.RESOLVED, None): "resolved",
        (AlertPhase.INACTIVE, AlertPhase.PENDING): "pending that ended",
    }
    previous = step.previous if step.state is AlertPhase.INACTIVE else None
    what = whats.get((step.state, previous))
    if step.state is AlertPhase.INHIBITED:
        what = "inhibited (depends_on)"
    if what is not None and step.reason != "removed":
        yield Item("rules", step.rule, step.severity, what)


def _of_evaluation(evaluation: Evaluation) -> Iterator[str]:
    """The items of an evaluation that has no transition."""
    rule, before, after = evaluation.rule, evaluation.before, evaluation.after
    if isinstance(rule, ThresholdRule) and (reason := _not_evaluated(evaluation, rule)):
        yield reason
    elif before.phase is AlertPhase.FIRING and after.phase is AlertPhase.FIRING:
        if before.clearing_since_ms is not None and after.clearing_since_ms is None:
            yield "clearing that ended (keep_firing_for)"
        elif evaluation.when is False and not evaluation.clear:
            yield "firing between when and clear"
    if after.flaps(evaluation.at_ms, rule.flapping):
        yield "flapping"


def _not_evaluated(evaluation: Evaluation, rule: ThresholdRule) -> str | None:
    """Why a condition was not evaluated for a window; None: it was."""
    window = evaluation.window
    if window is not None and 0 < window.events < rule.min_events:
        return "too few events (min_events)"
    if window is None or window.value is None:
        return "no data"
    return "not enough history" if evaluation.when is None else None


def unseen(coverage: Coverage) -> Iterable[Item]:
    """The items that no test has seen, in order."""
    return (item for item in coverage.items if item not in coverage.seen)
