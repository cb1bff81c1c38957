"""Determines the outcome of each record of a batch: exactly one, even if several contracts read
it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.core.aggregate.columns import Ints
from agent.core.fold.field_counts import FieldCounts
from agent.core.fold.lateness import Bools
from agent.core.model.results import Outcome, Reason, Reject

RANKS = (
    Outcome.IGNORED,
    Outcome.EMPTY,
    Outcome.FOLDED,
    Outcome.DUPLICATE,
    Outcome.LATE,
    Outcome.REJECTED,
)
"""Outcomes by ascending rank. A record that several contracts read has the one that ranks
highest."""
RANK = {outcome: np.int8(rank) for rank, outcome in enumerate(RANKS)}

CountKey = tuple[Outcome, str | None, Reason | None]


@dataclass(frozen=True, slots=True)
class FoldResult:
    """The outcomes of a batch. `rejects` and `late` have rows of the batch, whose original bytes go
    to the dead-letter topic and to the late topic. The counts add up to the number of records that
    were not counted before a restart.

    `late_rows`: the number of rows that were too late for a window, by KPI, whatever the outcome of
    their record, which may count in another window or KPI. `fields`: by contract, the counts of
    fields without a value.
    """

    counts: Counter[CountKey]
    rejects: tuple[tuple[int, Reject], ...]
    late: tuple[tuple[int, str], ...]
    late_rows: Counter[str] = field(default_factory=Counter)
    fields: Mapping[str, FieldCounts] = field(default_factory=dict)


class Outcomes:
    """The outcome of each record of a batch, and the contract that gave it."""

    def __init__(self, records: int, contracts: Sequence[str]) -> None:
        self._contracts = contracts
        self._rank = np.zeros(records, np.int8)
        self._contract = np.full(records, -1, np.int16)
        self._rejects: dict[int, Reject] = {}

    def assign(self, rows: Ints, outcome: Outcome, contract: int = -1) -> None:
        """Assign an outcome to rows, unless they have one that ranks higher."""
        wins = rows[self._rank[rows] < RANK[outcome]]
        self._rank[wins] = RANK[outcome]
        self._contract[wins] = contract

    def reject(self, row: int, reject: Reject) -> None:
        """Reject a record, unless another contract has rejected it."""
        self._rejects.setdefault(row, reject)

    def fold_result(
        self,
        counted: Bools,
        late_rows: Mapping[str, int],
        fields: Mapping[str, FieldCounts] | None = None,
    ) -> FoldResult:
        """The outcomes, with counts over the records in `counted`."""
        rows = np.fromiter(self._rejects, np.int64, len(self._rejects))
        self.assign(rows, Outcome.REJECTED)
        counts: Counter[CountKey] = Counter()
        rejects = {row: r for row, r in sorted(self._rejects.items()) if counted[row]}
        for reject in rejects.values():
            counts[(Outcome.REJECTED, reject.contract, reject.reason)] += 1
        others = counted & (self._rank != RANK[Outcome.REJECTED])
        pairs = self._rank[others].astype(np.int64) * 65_536 + self._contract[others]
        for pair, number in zip(*np.unique(pairs, return_counts=True), strict=True):
            rank, contract = divmod(int(pair) + 1, 65_536)
            name = self._contracts[contract - 1] if contract else None
            counts[(RANKS[rank], name, None)] += int(number)
        late = np.flatnonzero(counted & (self._rank == RANK[Outcome.LATE])).tolist()
        return FoldResult(
            counts,
            tuple(rejects.items()),
            tuple((row, self._contracts[self._contract[row]]) for row in late),
            Counter(late_rows),
            fields or {},
        )
