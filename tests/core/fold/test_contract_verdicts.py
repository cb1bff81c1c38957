"""The verdict of an event, for the windows of one contract's KPIs.

Each case is a log of one source, as (event time, id) in seconds after a whole hour, with a lateness
of ten seconds; the last event's verdict is looked at.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from agent.core.fold.checkpoint import Resume, SourceProgress
from agent.core.fold.contract_verdicts import ContractVerdicts
from agent.core.fold.outcomes import FoldResult, Outcomes
from agent.core.model.plan import Plan
from agent.core.model.results import Outcome

HOUR_MS = 1_760_000_400_000
RULES = """
version: 1
defaults: {lateness: 10s}
events:
  sale: {topic: shop, time: at, id: id, duplicate_window: 5m}
  visit: {topic: shop, time: at}
kpis:
  sales: {from: sale, value: count(*), window: 1m}
  hourly_sales: {from: sale, value: count(*), window: 1h}
  visits: {from: visit, value: count(*), window: 1m}
"""
FOLDED, DUPLICATE, LATE = Outcome.FOLDED, Outcome.DUPLICATE, Outcome.LATE
Event = tuple[float, str | None]


class Log:
    """The events of one contract in one source partition."""

    def __init__(self, plan: Plan, contract: str) -> None:
        self.verdicts = ContractVerdicts(plan.contracts[contract], 0, plan.kpis_of(contract))
        self.contract = contract
        self.source = SourceProgress.resumed(Resume(0, 0, None, None))

    def read(self, *events: Event) -> FoldResult:
        """Read events as one batch."""
        count, first = len(events), self.source.covered
        times = np.array([HOUR_MS + round(at * 1000) for at, _ in events], np.int64)
        table = pl.DataFrame(
            {
                "_row": pl.Series(range(count), dtype=pl.UInt32),
                "_partition": pl.Series([0] * count, dtype=pl.Int32),
                "_offset": pl.Series(range(first, first + count), dtype=pl.Int64),
                "_time": pl.Series(times, dtype=pl.Int64),
                "_id": pl.Series([name for _, name in events], dtype=pl.String),
            }
        )
        outcomes = Outcomes(count, [self.contract])
        watermarks = self.source.advance(times, first + count)
        self.verdicts.assign(table, watermarks, {0: self.source}, outcomes)
        return outcomes.fold_result(np.ones(count, np.bool_), {})

    def last(self, *events: Event) -> Outcome:
        """The outcome of the last event, each read as a batch of its own."""
        for event in events:
            result = self.read(event)
        [(outcome, _, _)] = result.counts
        return outcome


VISITS: dict[str, tuple[list[Event], Outcome]] = {
    "the first event": ([(0, None)], FOLDED),
    "an event in order": ([(0, None), (1, None)], FOLDED),
    "one out of order in an open window": ([(50, None), (1, None)], FOLDED),
    "one whose window has ended, within the lateness": ([(69.9, None), (59, None)], FOLDED),
    "one whose window closes with the lateness": ([(70, None), (59, None)], LATE),
    "one of a window long closed": ([(3_000, None), (59, None)], LATE),
}
SALES: dict[str, tuple[list[Event], Outcome]] = {
    "another id": ([(0, "a"), (0, "b")], FOLDED),
    "the same id": ([(0, "a"), (0, "a")], DUPLICATE),
    "the same id at another time": ([(0, "a"), (30, "a")], DUPLICATE),
    "no id": ([(0, None), (0, None)], FOLDED),
    "late for the minute, in time for the hour": ([(70, "a"), (59, "b")], FOLDED),
    "late for the minute, and a repeat for the hour": (
        [(50, "a"), (70, "b"), (59, "a")], DUPLICATE,
    ),
    "late for the hour": ([(3_610, "a"), (59, "b")], LATE),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), VISITS.values(), ids=VISITS)
def test_the_verdict_of_a_visit(events: list[Event], expected: Outcome, plan: Plan) -> None:
    assert Log(plan, "visit").last(*events) == expected


@pytest.mark.parametrize(("events", "expected"), SALES.values(), ids=SALES)
def test_the_verdict_of_a_sale_with_an_id(
    events: list[Event], expected: Outcome, plan: Plan
) -> None:
    assert Log(plan, "sale").last(*events) == expected


@pytest.mark.parametrize("contract", ["sale", "visit"])
def test_one_batch_has_the_verdicts_of_several(contract: str, plan: Plan) -> None:
    events: list[Event] = [(0, "a"), (70, "b"), (59, "c"), (59, "a"), (3_700, "d"), (71, "e")]
    together, several = Log(plan, contract), Log(plan, contract)
    alone = [several.read(event) for event in events]
    assert together.read(*events).counts == sum(
        (result.counts for result in alone[1:]), alone[0].counts
    )
    assert together.source.slices[contract].first() == several.source.slices[contract].first()


def test_a_restart_needs_the_first_event_of_the_first_unfinished_slice(plan: Plan) -> None:
    log = Log(plan, "visit")
    log.read((0, None), (61, None), (62, None))
    log.verdicts.forget_finished(0, log.source)
    first = log.source.slices["visit"].first()
    assert first is not None and first[0] == 0  # the window of offset 0 closes at 70 s
    log.read((70, None))
    log.verdicts.forget_finished(0, log.source)
    later = log.source.slices["visit"].first()
    assert later is not None and later[0] == 1


def test_a_source_that_is_assigned_again_knows_no_id(plan: Plan) -> None:
    log = Log(plan, "sale")
    log.read((0, "a"))
    log.verdicts.revoke(0)
    assert log.last((0, "a")) == FOLDED
