"""Which dead letters are good by today's contracts, and may go back to the flow.

A dead letter that is given back is a new record of its topic, and counts like one. So it must count
nowhere yet: a record that one contract rejected may have counted in another, and of a record that
holds several events the others may have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
import polars as pl

from agent.core.decode.batch import Batch
from agent.core.fold.folder import Folder
from agent.core.model.plan import Plan
from agent.core.model.results import Reason


class Verdict(StrEnum):
    """What is to become of a dead letter."""

    GOOD = "good"
    REJECTED = "rejected"
    COUNTED = "counted"  # in part, by another contract or by other events that it holds
    IGNORED = "ignored"  # no contract is interested in it any more


class Reassessment:
    """Decides for the dead letters of one topic. Nothing is folded."""

    def __init__(self, plan: Plan, topic: str) -> None:
        self._folder = Folder(plan, topic, 1, only=())
        self._lists = {
            contract.name
            for contract in plan.contracts_of(topic)
            if contract.envelope is not None and contract.envelope.name == "list"
        }

    def verdicts(
        self, batch: Batch, contracts: Sequence[str]
    ) -> list[tuple[Verdict, Reason | None]]:
        """For each record of a batch of partition 0, whose timestamps are those of the records that
        were rejected: a verdict, and of a rejected one the reason. `contracts`: which contract
        rejected each; "": all of its topic."""
        self._folder.assign(0, None)  # so that no record is judged by those before
        decoded = self._folder.decode(batch)
        rejects = dict(self._folder.fold(batch, decoded).rejects)
        unread = {*decoded.ignored.tolist(), *decoded.empty.tolist()}
        counted = self._counted(decoded.tables, contracts)
        out: list[tuple[Verdict, Reason | None]] = []
        for row in range(len(batch.values)):
            if (reject := rejects.get(row)) is not None:
                out.append((Verdict.REJECTED, reject.reason))
            elif row in unread:
                out.append((Verdict.IGNORED, None))
            else:
                out.append((Verdict.COUNTED if row in counted else Verdict.GOOD, None))
        return out

    def _counted(self, tables: Mapping[str, pl.DataFrame], contracts: Sequence[str]) -> set[int]:
        """The rows of which something may have counted the first time."""
        counted: set[int] = set()
        for name, table in tables.items():
            rows, events = np.unique(table["_row"].to_numpy(), return_counts=True)
            if name in self._lists:
                counted |= set(rows[events > 1].tolist())
            counted |= {row for row in rows.tolist() if contracts[row] not in ("", name)}
        return counted
