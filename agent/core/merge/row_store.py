"""The rows of one state partition that are still to be written or deleted, and what is emitted
again.

Contract
--------
1. What happens to a series is noted as it happens: `changed`, `emitted`, `expired`.
2. `writes` gives the rows of all that, in an order in which any first part of them leaves the table
   consistent. From then on nothing of it is owed.
3. A row holds what its series emitted last. A restart can't know whether that was published, so it
   is emitted once more with the first frame, and consumers drop repeated keys. The rows that are
   written then still hold it, too: the round that repeats it may be cut short as well.
4. The row of an expired series is deleted one round later: until its last transitions are
   acknowledged, a restart must be able to emit them again.
5. Rows that the rule set does not know are kept for `UNKNOWN_KEPT_MS`, then deleted: in a rolling
   restart with new rules they may be what a new worker wrote and an old one does not know.
6. A row that can't be read ends the start (`agent.core.state.rows`), and is never written over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agent.core.evaluate.rule_graph import SeriesRef
from agent.core.model.results import Emitted, TargetStatus, Transition, WindowValue
from agent.core.state.rows import Row, SeriesRows, Write, row_key
from agent.core.state.series import Series

UNKNOWN_KEPT_MS = 3_600_000
"""How long rows that this rule set does not know are kept: longer than a rolling restart takes."""
ROUND_WINDOWS = 8_000
"""So many windows that no row has yet make a round due: a row must not grow with them."""

Find = Callable[[SeriesRef], Series | None]


@dataclass(slots=True)
class _Output:
    """What a series emitted since its row was written."""

    windows: list[WindowValue] = field(default_factory=list)
    targets: list[TargetStatus] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)

    def after(self, before: Emitted) -> Emitted:
        """All of it, after what was emitted before."""
        return Emitted(
            (*before.windows, *self.windows),
            (*before.targets, *self.targets),
            (*before.transitions, *self.transitions),
        )


class RowStore:
    """What one state partition owes to its table, and what is to be emitted again."""

    def __init__(self, order: Mapping[str, int]) -> None:
        """`order`: the position of each KPI among all, inputs before KPIs derived from them."""
        self._order = order
        self._rows = SeriesRows()
        self._changed: dict[SeriesRef, _Output] = {}
        self._windows = 0  # among what was emitted
        self._expired: set[SeriesRef] = set()  # in this round
        self._expired_before: set[SeriesRef] = set()  # in the round before: to delete
        self._unknown: set[bytes] = set()
        self._deletions: dict[bytes, None] = {}  # other rows to delete, in order
        self._replay = _Output()  # to be emitted again
        self._replayed: dict[SeriesRef, Emitted] = {}  # what of that each row holds
        self._is_replayed = False
        self._began_ms: int | None = None

    # --- after a restart -------------------------------------------------------------------

    def read(self, rows: Iterable[Row]) -> list[tuple[bytes, Series]]:
        """The series that rows hold, with their keys. Parts that belong to none are deleted.

        Raises UnknownVersion and DamagedRow.
        """
        series, orphans = self._rows.read(rows)
        self._deletions.update(dict.fromkeys(orphans))
        return series

    def restored(self, series: Series) -> None:
        """Emit again what a series emitted last."""
        last = series.last_emitted
        self._replayed[series.kpi, series.dimensions] = last
        self._replay.windows += last.windows
        self._replay.targets += last.targets
        self._replay.transitions += last.transitions

    def emit_with_replay(self, transitions: Iterable[Transition]) -> None:
        """Emit transitions that a restart brings, with what is emitted again."""
        self._replay.transitions += transitions

    def drain_replay(self) -> Emitted:
        """What is emitted again, with the first frame only."""
        replay, self._replay = self._replay.after(Emitted()), _Output()
        self._is_replayed = True
        return replay

    def keep_unknown(self, key: bytes) -> None:
        """Keep a row that the rule set does not know, for a while."""
        self._unknown.add(key)

    def delete(self, keys: Iterable[bytes]) -> None:
        """Delete rows, in this order, with the next round."""
        self._deletions.update(dict.fromkeys(keys))

    def keep(self, key: bytes) -> None:
        """Do not delete a row: it is written by somebody else."""
        self._unknown.discard(key)
        self._deletions.pop(key, None)

    def pass_time(self, clock_ms: int) -> None:
        """Delete what nobody has known for long."""
        if self._began_ms is None:
            self._began_ms = clock_ms
        if self._unknown and clock_ms - self._began_ms > UNKNOWN_KEPT_MS:
            self.delete(self._unknown)
            self._unknown = set()

    # --- as it happens ---------------------------------------------------------------------

    def changed(self, ref: SeriesRef) -> None:
        """Note that the row of a series must be written."""
        self._output(ref)

    def emitted(
        self,
        ref: SeriesRef,
        windows: Iterable[WindowValue] = (),
        targets: Iterable[TargetStatus] = (),
        transitions: Iterable[Transition] = (),
    ) -> None:
        """Note what a series emits."""
        output = self._output(ref)
        before = len(output.windows)
        output.windows += windows
        output.targets += targets
        output.transitions += transitions
        self._windows += len(output.windows) - before

    def expired(self, ref: SeriesRef) -> None:
        """Note that a series is gone."""
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
        """How many bytes the rows of a KPI's series have, without the small ones."""
        return self._rows.bytes_of(kpi)

    def writes(
        self, find: Find, before: Iterable[Write], prune: Callable[[Series], None]
    ) -> list[Write]:
        """The rows to write (None: to delete) since the last call; `before` goes before the series.

        A crash may leave any first part of them written. So KPIs over others go first: an input
        whose row says that its window was used must not be written before the row that used it.
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
