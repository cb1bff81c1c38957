"""Rejects events that are too far ahead of the agent's clock.

The decoder compares each event with its record's timestamp. But if producers set the timestamps, a
machine with a wrong clock sets both, and one such event would advance the watermark of its
partition by a year. So events are also compared with the agent's clock.

The clock is not in the log, so a restart could reach other verdicts than the first reading. Rules:

1. The clock advances in steps (`step_ms`): all events within a step are compared with its end.
2. The clock of a source advances when frames are made, for records from the covered offset on.
3. Exception: if that was more than a step ago, because flushes are delayed, the clock advances with
   the batch whose events need it. No frame has been sent for these records.
4. A commit contains the clock for every offset from the committed one on (`SourceProgress.clocks`);
   a restart uses them up to the covered offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from agent.core.aggregate.columns import Ints
from agent.core.decode.batch import Batch, Decoded
from agent.core.fold.checkpoint import SourceProgress
from agent.core.fold.outcomes import Outcomes
from agent.core.fold.runs import filter_rows, segments
from agent.core.model.events import Contract
from agent.core.model.results import Reason, Reject
from agent.core.model.windows import MAX_SLICE_MS

STEPS = 16
"""The committed offset is at most this many steps of event time back, so that their clocks fit the
metadata."""
_NO_CLOCK = np.iinfo(np.int64).max // 2


class FutureClock:
    """The clock for the events of one topic. It has no state of its own: each source has its
    clocks."""

    def __init__(self, contracts: Sequence[Contract]) -> None:
        self._contracts = contracts
        ahead = [contract.max_future_ms for contract in contracts]
        span = max((c.lateness_ms + c.duplicate_window_ms for c in contracts), default=0)
        self.span_ms = span + MAX_SLICE_MS  # how far a commit can be back in event time
        self.most_ms = max(ahead, default=0)
        self._least_ms = min(ahead, default=0)
        self.step_ms = max(self._least_ms // 4, self.span_ms // STEPS, 1)

    def step_end_ms(self, clock_ms: int) -> int:
        """The end of the step that contains a clock."""
        return (clock_ms // self.step_ms + 1) * self.step_ms

    def reject(
        self,
        batch: Batch,
        decoded: Decoded,
        newest_ms: Ints,
        sources: Mapping[int, SourceProgress],
        clock_ms: int | None,
        outcomes: Outcomes,
    ) -> Decoded:
        """The batch without the events that are too far ahead, which are rejected.

        `newest_ms`: the event time of each record. `clock_ms`: the clock when it was fetched.
        """
        clocks = self._clocks(batch, newest_ms, sources, clock_ms)
        if clocks is None:
            return decoded
        tables = dict(decoded.tables)
        for contract in self._contracts:
            table = tables[contract.name]
            rows = table["_row"].to_numpy()
            future = table["_time"].to_numpy() - clocks[rows] > contract.max_future_ms
            for index in np.flatnonzero(future).tolist():
                row = int(rows[index])
                outcomes.reject(row, _reject(contract, batch, row, int(table["_time"][index])))
            tables[contract.name] = filter_rows(table, ~future)
        return replace(decoded, tables=tables)

    def _clocks(
        self,
        batch: Batch,
        newest_ms: Ints,
        sources: Mapping[int, SourceProgress],
        clock_ms: int | None,
    ) -> Ints | None:
        """The clock that each record is compared with; None: no record can be in the future."""
        clocks = np.full(len(batch.values), _NO_CLOCK)
        doubtful = False
        for partition, start, stop in segments(batch.partitions):
            source = sources[partition]
            first_ms = source.first_clock_ms
            if first_ms is None or newest_ms[start:stop].max() <= first_ms + self._least_ms:
                continue
            doubtful = True
            if clock_ms is not None:
                begin = max(source.sent_covered, int(batch.offsets[start]))
                source.set_clock(begin, self.step_end_ms(clock_ms))
            clocks[start:stop] = source.clocks_at(batch.offsets[start:stop])
        return clocks if doubtful else None


def _reject(contract: Contract, batch: Batch, row: int, at_ms: int) -> Reject:
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    where = " or ".join(map(str, contract.times))
    return Reject(
        int(batch.partitions[row]),
        int(batch.offsets[row]),
        contract.name,
        Reason.FUTURE_TIME,
        f"{where}: {at} is ahead of the agent's clock by more than "
        f"{timedelta(milliseconds=contract.max_future_ms)} (max_future)",
    )
