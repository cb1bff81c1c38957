from __future__ import annotations

import itertools

import pytest

from agent.core.evaluate.subscription import Subscription
from agent.core.model.rules import RuleRef, Severity
from tests.core.evaluate.alerts import change


def source(severity: Severity | None = None) -> RuleRef:
    """A rule by region and team, of which the subscriber shares the region."""
    return RuleRef("slow", "response_time", "slow", severity, False, (0,), (0,))


def popped(subscription: Subscription, at_ms: int) -> list[tuple[int, bool]]:
    return [(c.change.at_ms, c.change.firing) for c in subscription.pop_until(at_ms)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_changes_come_by_instant_in_whatever_order_they_were_added(order: tuple[int, ...]) -> None:
    changes = [change(10, True), change(20, False), change(30, True)]
    subscription = Subscription("one", [source()])
    for i in order:
        subscription.add(0, ("emea", "a"), changes[i])
    assert subscription.next_ms() == 10
    assert popped(subscription, 20) == [(10, True), (20, False)]
    assert popped(subscription, 29) == []
    assert popped(subscription, 30) == [(30, True)]
    assert subscription.next_ms() is None


def test_changes_of_one_instant_come_as_they_were_added() -> None:
    subscription = Subscription("one", [source()])
    for firing in (True, False, True):
        subscription.add(0, ("emea", "a"), change(10, firing))
    assert popped(subscription, 10) == [(10, True), (10, False), (10, True)]


def test_a_source_fires_for_what_is_shared_while_any_of_its_series_does() -> None:
    subscription = Subscription("one", [source()])
    steps = [("a", 1, True), ("b", 2, True), ("a", 3, False), ("b", 4, False)]
    fires = []
    for team, at_ms, firing in steps:
        subscription.add(0, ("emea", team), change(at_ms, firing))
        assert [c.shared for c in subscription.pop_until(at_ms)] == [("emea",)]
        fires.append(subscription.fires(0, ("emea",)))
    assert fires == [True, True, True, False]
    assert not subscription.fires(0, ("apac",))


@pytest.mark.parametrize(
    ("wanted", "fires"), [(None, True), ("warning", False), ("critical", True)]
)
def test_only_the_severity_that_is_named_counts(wanted: Severity | None, fires: bool) -> None:
    subscription = Subscription("one", [source(wanted)])
    subscription.add(0, ("emea", "a"), change(1, True, "critical"))
    assert len(popped(subscription, 1)) == 1
    assert subscription.fires(0, ("emea",)) is fires
    begun = Subscription("one", [source(wanted)])
    begun.set_firing(0, ("emea", "a"), "critical")
    assert begun.fires(0, ("emea",)) is fires
    assert list(begun.firing()) == ([("emea",)] if fires else [])


def test_a_change_before_what_is_settled_counts_at_the_next_instant() -> None:
    subscription = Subscription("one", [source()])
    subscription.settle(50)
    subscription.add(0, ("emea", "a"), change(40, True))
    assert subscription.next_ms() == 51


@pytest.mark.parametrize(
    ("known", "needed_from", "consumed"),
    [(None, None, None), (50, None, 50), (50, 20, 19), (50, 60, 50)],
)
def test_what_is_needed_after_a_restart_is_not_consumed(
    known: int | None, needed_from: int | None, consumed: int | None
) -> None:
    subscription = Subscription("one", [source()])
    if known is not None:
        subscription.settle(known, needed_from)
    assert subscription.consumed_ms == consumed
