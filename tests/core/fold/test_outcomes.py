"""One outcome for each record, though several contracts read it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.fold.outcomes import RANKS, CountKey, Outcomes
from agent.core.model.results import Outcome, Reason, Reject

CONTRACTS = ["order", "any"]
REJECT = Reject(0, 5, "order", Reason.WRONG_TYPE, "amount: expected a number")


def of_one_record(*assigned: tuple[Outcome, int]) -> dict[CountKey, int]:
    """The counts of one record to which contracts (by index) give outcomes."""
    outcomes = Outcomes(1, CONTRACTS)
    for outcome, contract in assigned:
        outcomes.assign(np.array([0]), outcome, contract)
    return dict(outcomes.fold_result(np.ones(1, np.bool_), {}).counts)


def test_a_record_that_no_contract_reads_is_ignored() -> None:
    assert of_one_record() == {(Outcome.IGNORED, None, None): 1}


@pytest.mark.parametrize("high", range(1, len(RANKS) - 1))
def test_the_outcome_that_ranks_highest_counts_with_its_contract(high: int) -> None:
    for low in range(high):
        for order in ((0, 1), (1, 0)):
            assigned = [(RANKS[high], 0), (RANKS[low], 1)]
            counts = of_one_record(*(assigned[i] for i in order))
            assert counts == {(RANKS[high], "order", None): 1}


def test_of_equal_outcomes_the_first_contract_counts() -> None:
    counts = of_one_record((Outcome.FOLDED, 1), (Outcome.FOLDED, 0))
    assert counts == {(Outcome.FOLDED, "any", None): 1}


def test_a_rejected_record_is_no_longer_folded_late_or_a_duplicate() -> None:
    outcomes = Outcomes(2, CONTRACTS)
    outcomes.assign(np.array([0, 1]), Outcome.LATE, 1)
    outcomes.reject(0, REJECT)
    outcomes.reject(0, Reject(0, 5, "any", Reason.MISSING_FIELD, "at: absent"))
    result = outcomes.fold_result(np.ones(2, np.bool_), {})
    assert result.counts == {
        (Outcome.REJECTED, "order", Reason.WRONG_TYPE): 1,
        (Outcome.LATE, "any", None): 1,
    }
    assert result.rejects == ((0, REJECT),)
    assert result.late == ((1, "any"),)


def test_records_that_were_counted_before_a_restart_are_not_counted_again() -> None:
    outcomes = Outcomes(3, CONTRACTS)
    outcomes.assign(np.array([0, 1, 2]), Outcome.LATE, 0)
    outcomes.reject(1, REJECT)
    result = outcomes.fold_result(np.array([False, False, True]), {"orders": 1})
    assert result.counts == {(Outcome.LATE, "order", None): 1}
    assert result.rejects == ()
    assert result.late == ((2, "order"),)
    assert result.late_rows == {"orders": 1}
