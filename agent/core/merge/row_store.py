"""The rows of one state partition that must be written or deleted, and what a restart emits again.

Contract
--------
1. Changes of series are noted as they happen: `note_changed`, `note_emitted`, `note_expired`.
2. `writes` returns the rows of all changes since the last call. Their order keeps the table
   consistent if a crash interrupts the writes.
3. A row contains the results that its series emitted since the row before. A restart can't know
   whether they were published, so it emits them again with the first frame, and consumers drop
   repeated keys. The rows of that round contain them again: it may be interrupted, too.
4. The row of an expired series is deleted one round later: until its last transitions are
   acknowledged, a restart must be able to emit them again.
5. Rows that this rule set does not know are kept for `UNKNOWN_KEPT_MS`, then deleted: during a
   rolling restart with new rules, a worker with the new rules may have written them.
6. A row that can't be read stops the start (`agent.core.state.rows`), and is never overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent.core.model.kpis import SeriesRef
from agent.core.model.results import Emitted, TargetStatus, Transition, WindowValue
from agent.core.state.rows import Row, SeriesRows, Write, row_key
from agent.core.state.series import FindSeries, Series

UNKNOWN_KEPT_MS = 3_600_000
"""How long unknown rows are kept: longer than a rolling restart takes."""
ROUND_WINDOWS = 8_000
"""The number of emitted windows that makes a round due, because rows contain them."""


@dataclass(slots=True)
class _Output:
    """The results that a series emitted since its row was written."""

    windows: list[WindowValue] = field(default_factory=list)
    targets: list[TargetStatus] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)

    def after(self, before: Emitted) -> Emitted:
        """These results after earlier ones."""
        return Emitted(
            (*before.windows, *self.windows),
            (*before.targets, *self.targets),
            (*before.transitions, *self.transitions),
        )


class RowStore:
    """The pending writes of one state partition, and the results to emit again."""

    def __init__(self, order: Mapping[str, int]) -> None:
        """`order`: the position of each KPI among all, inputs before KPIs derived from them."""
        self._order = order
        self._rows = SeriesRows()
        self._changed: dict[SeriesRef, _Output] = {}
        self._windows = 0  # emitted since the last round
        self._expired: set[SeriesRef] = set()  # in this round
        self._expired_before: set[SeriesRef] = set()  # in the round before: to delete
        self._unknown: set[bytes] = set()
        self._deletions: dict[bytes, None] = {}  # other rows to delete, in order
        self._replay = _Output()  # to emit again
        self._replayed: dict[SeriesRef, Emitted] = {}  # the same by row
        self._is_replayed = False
        self._began_ms: int | None = None

    # --- after a restart -------------------------------------------------------------------

    def read(self, rows: Iterable[Row]) -> list[tuple[bytes, Series]]:
        """The series in rows, with their keys. Parts that belong to no row are deleted.

        Raises UnknownVersion and DamagedRow.
        """
        series, orphans = self._rows.read(rows)
        self._deletions.update(dict.fromkeys(orphans))
        return series

    def replay_last(self, series: Series) -> None:
        """Emit the last results of a series again, with the first frame."""
        last = series.last_emitted
        self._replayed[series.kpi, series.dimensions] = last
        self._replay.windows += last.windows
        self._replay.targets += last.targets
        self._replay.transitions += last.transitions

    def emit_with_replay(self, transitions: Iterable[Transition]) -> None:
        """Emit transitions that follow from the restart, with the first frame."""
        self._replay.transitions += transitions

    def drain_replay(self) -> Emitted:
        """The results to emit again, once."""
        replay, self._replay = self._replay.after(Emitted()), _Output()
        self._is_replayed = True
        return replay

    def keep_unknown(self, key: bytes) -> None:
        """Keep a row that this rule set does not know, for `UNKNOWN_KEPT_MS`."""
        self._unknown.add(key)

    def delete(self, keys: Iterable[bytes]) -> None:
        """Delete rows, in this order, with the next round."""
        self._deletions.update(dict.fromkeys(keys))

    def cancel_delete(self, key: bytes) -> None:
        """Do not delete a row, because it will be written."""
        self._unknown.discard(key)
        self._deletions.pop(key, None)

    def expire_unknown(self, clock_ms: int) -> None:
        """Delete unknown rows after `UNKNOWN_KEPT_MS`."""
        if self._began_ms is None:
            self._began_ms = clock_ms
        if self._unknown and clock_ms - self._began_ms > UNKNOWN_KEPT_MS:
            self.delete(self._unknown)
            self._unknown = set()

    # --- as it happens ---------------------------------------------------------------------

    def note_changed(self, ref: SeriesRef) -> None:
        """Note that the row of a series must be written."""
        self._output(ref)

    def note_emitted(
        self,
        ref: SeriesRef,
        windows: Iterable[WindowValue] = (),
        targets: Iterable[TargetStatus] = (),
        transitions: Iterable[Transition] = (),
    ) -> None:
        """Note the results that a series emits."""
        output = self._output(ref)
        before = len(output.windows)
        output.windows += windows
        output.targets += targets
        output.transitions += transitions
        self._windows += len(output.windows) - before

    def note_expired(self, ref: SeriesRef) -> None:
        """Note that a series has expired."""
        self._changed.pop(ref, None)
        self._expired.add(ref)

    def _output(self, ref: SeriesRef) -> _Output:
        known = self._changed.get(ref)
        if known is None:
            known = self._changed[ref] = _Output()
            self._expired.discard(ref)
            self._expired_before.discard(ref)
            if self._unknown:
                self._unknown.discard(row_key(*ref))
        return known

    # --- a round ---------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether so much was emitted since the last round that the next one is due."""
        return self._windows >= ROUND_WINDOWS

    def bytes_of(self, kpi: str) -> int:
        """The total size of the rows of a KPI's series, without the small ones."""
        return self._rows.bytes_of(kpi)

    def writes(
        self, find: FindSeries, before: Iterable[Write], prune: Callable[[Series], None]
    ) -> list[Write]:
        """The rows to write (None: to delete) since the last call. `before`: rows to write before
        those of series. `prune` is called with each series before its row is written.

        A crash may leave only the first rows written. So derived KPIs come first: the row of an
        input that no longer has a window must not be written before the row that consumed it.
        """
        out: list[Write] = []
        for key in self._deletions:
            out += self._rows.delete(key)
        out += before
        ordered = sorted(self._changed.items(), key=lambda item: -self._order.get(item[0][0], 0))
        for ref, output in ordered:
            series = find(ref)
            if series is not None:
                prune(series)
                series.note_emitted(output.after(self._replayed.get(ref, Emitted())))
                out += self._rows.write(series)
        for ref in self._expired_before:
            out += self._rows.delete(row_key(*ref))
        self._deletions, self._changed, self._windows = {}, {}, 0
        self._expired_before, self._expired = self._expired, set()
        if self._is_replayed:
            self._replayed = {}
        return out
