"""What of the rules the tests have seen: each way an alert can go, each state, each override.

An item is seen when it happened in a test, whatever the test expected. What a rule does not use
(no `for`, no `clear`) has no item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agent.core.evaluate import Judgement
from agent.core.plan import AbsenceRule, Kpi, Plan, Rule, ThresholdRule
from agent.core.results import AlertPhase, TargetStatus, Transition
from agent.ruletests.run import Told


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to see: of a rule (with its severity) or a KPI."""

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
        """How much was seen, from 0 to 100; 100 of nothing."""
        found = sum(item in self.seen for item in self.items)
        return 100 * found / len(self.items) if self.items else 100.0

    def add(self, plan: Plan, told: Told) -> None:
        """Note what one test has seen."""
        self.seen.update(set(self.items).intersection(_seen(plan, told)))


def coverage_of(plan: Plan) -> Coverage:
    """All there is to see of a rule set; nothing is seen yet."""
    items: list[Item] = []
    for rule in plan.rules.values():
        items += _of_rule(rule)
    for kpi in plan.kpis.values():
        items += _of_kpi(kpi)
    return Coverage(tuple(items))


def _of_rule(rule: Rule) -> Iterator[Item]:
    if isinstance(rule, AbsenceRule):
        yield Item("rules", rule.name, rule.severity, "fired")
        yield Item("rules", rule.name, rule.severity, "resolved")
        return
    for level in rule.levels:
        ways = {
            "fired": True,
            "resolved": True,
            "pending that ended": rule.for_ms > 0,
            "firing between when and clear": level.clear is not None,
            "clearing that ended (keep_firing_for)": rule.keep_firing_for_ms > 0,
            "too few events (min_events)": rule.min_events > 0,
            "no data": True,
        }
        for what in (what for what, used in ways.items() if used):
            yield Item("rules", rule.name, level.severity, what)


def _of_kpi(kpi: Kpi) -> Iterator[Item]:
    yield Item("kpis", kpi.name, "value", "computed")
    if kpi.target is not None:
        warned = kpi.target.warn_at_least is not None or kpi.target.warn_at_most is not None
        for state in ("met", "at_risk", "missed") if warned else ("met", "missed"):
            yield Item("kpis", kpi.name, "target", state)
    for number in range(len(kpi.overrides)):
        yield _of_override(kpi, number)


def _of_override(kpi: Kpi, number: int) -> Item:
    match = ", ".join(f"{key}={value}" for key, value in kpi.overrides[number].match.items())
    return Item("kpis", kpi.name, f"override {number + 1}", match)


def _seen(plan: Plan, told: Told) -> Iterator[Item]:
    yield from (Item("kpis", name, "value", "computed") for name in told.computed)
    for status in told.targets:
        yield from _of_status(plan.kpis[status.window.kpi], status)
    for step in told.transitions:
        yield from _of_step(step)
    rules = {r.name: r for r in plan.rules.values() if isinstance(r, ThresholdRule)}
    for judgement in told.judgements:
        what = _of_judgement(rules[judgement.rule], judgement)
        if what is not None:
            yield Item("rules", judgement.rule, judgement.severity, what)


def _of_status(kpi: Kpi, status: TargetStatus) -> Iterator[Item]:
    for number, override in enumerate(kpi.overrides):
        if override.target is status.target:
            yield _of_override(kpi, number)
            return
    yield Item("kpis", kpi.name, "target", status.state.value)


def _of_step(step: Transition) -> Iterator[Item]:
    whats = {
        (AlertPhase.FIRING, None): "fired",
        (AlertPhase.RESOLVED, None): "resolved",
        (AlertPhase.INACTIVE, AlertPhase.PENDING): "pending that ended",
    }
    previous = step.previous if step.state is AlertPhase.INACTIVE else None
    what = whats.get((step.state, previous))
    if what is not None and step.reason != "removed":
        yield Item("rules", step.rule, step.severity, what)


def _of_judgement(rule: ThresholdRule, j: Judgement) -> str | None:
    """What of a judgement no transition tells."""
    if j.when is None:
        few = rule.min_events > j.window.events > 0
        return "too few events (min_events)" if few else "no data"
    if j.before.phase is not AlertPhase.FIRING or j.after.phase is not AlertPhase.FIRING:
        return None
    if j.before.clearing_since_ms is not None and j.after.clearing_since_ms is None:
        return "clearing that ended (keep_firing_for)"
    return "firing between when and clear" if not j.when and not j.clear else None


def unseen(coverage: Coverage) -> Iterable[Item]:
    """The items that no test has seen, in order."""
    return (item for item in coverage.items if item not in coverage.seen)
