"""Remembers ids, so that a producer's retry counts once in each open window.

Deduplication is exact: ids are compared, not hashes. It is decided at the repeat's own offset, so
batch boundaries make no difference. Each id is kept with the time at which an event with it was
last stored: the event's time, or the frontier if that is later. For a KPI, the id is known until
the KPI's last window over that time closes, but for no longer than the contract's duplicate window.
So other KPIs make no difference, and a restart need not read a month of records for a monthly KPI.

Ids are stored as in a log-structured merge tree (O'Neil and others, 1996): the ids of small batches
in a dict until there are many, all others in sorted runs, which are merged to keep them few.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.fold.checkpoint import Needs
from agent.core.fold.id_run import IdRun, Words, due_of, hashes_of
from agent.core.fold.lateness import Bools, closed_before, last_ends
from agent.core.fold.runs import first_of_each
from agent.core.model.events import Contract
from agent.core.model.kpis import Kpi
from agent.core.model.windows import Window

FEW = 1_000
"""Up to this size, a batch is checked one id at a time, which is faster (docs/decisions/0004)."""
RECENT = 4_000
"""The maximum number of ids in the dict."""
MANY = 8
"""From this number of runs on, runs that are due at different times are merged, too."""
MAX_IDS = 500_000
"""The maximum length of a merged run: merging it takes 25 ms and, meanwhile, 40 MB."""
MAX_TEXT_BYTES = 2**31
"""The maximum text of a merged run, whose offsets are 32 bits; the new batch is added to it."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """The rows, among some, whose id is known, and the time (ms) at which it was last stored."""

    rows: Ints
    last_ms: Ints


@dataclass(slots=True)
class IdMemory:
    """The ids of one contract in one source partition, each with the time (ms) of its last event.

    An id may be in several runs: its last time counts.
    """

    step_ms: int = 1
    """The granularity of time at which runs are kept together."""
    recent: dict[str, int] = field(default_factory=dict)
    runs: list[IdRun] = field(default_factory=list)

    def repeats(self, ids: pl.Series, times_ms: Ints) -> Repeats:
        """Find the known ids among rows in log order, and remember all of them. `ids` are String,
        null for rows without an id."""
        if len(ids) <= FEW:
            known = self._known(np.sort(hashes_of(ids)))[1] if self.runs else {}
            rows = zip(ids.to_list(), times_ms.tolist(), strict=True)
            repeats = _repeats(enumerate(rows), known, self.recent)
            if len(self.recent) > RECENT:
                self._pack()
            return repeats
        self._pack()
        hashes = hashes_of(ids)
        order = np.argsort(hashes)
        recurs, known = self._known(hashes[order])
        at = np.sort(order[recurs])
        rows = zip(ids[at].to_list(), times_ms[at].tolist(), strict=True)
        repeats = _repeats(zip(at.tolist(), rows, strict=True), known, known)
        named = ids.is_not_null().to_numpy()
        self._add(ids.filter(pl.Series(named)), hashes[named], times_ms[named])
        return repeats

    def forget(self, done_ms: int) -> None:
        """Drop the ids that were last stored at or before an instant, some of them a little later;
        callers ignore ids that are too old."""
        # The first id in the dict is mostly the oldest.
        if self.recent and next(iter(self.recent.values())) <= done_ms:
            self.recent = {name: at for name, at in self.recent.items() if at > done_ms}
        self.runs = [left for run in self.runs if (left := run.after(done_ms)) is not None]

    def _known(self, hashes: Words) -> tuple[Bools, dict[str, int]]:
        """Which of the sorted hashes occur twice or are in a run; and the ids in runs that have one
        of these hashes, with their last time."""
        recurs = np.zeros(len(hashes), np.bool_)
        recurs[1:] = hashes[1:] == hashes[:-1]
        recurs[:-1] |= recurs[1:]
        known: dict[str, int] = {}
        for run in self.runs:
            indices, ids = run.find(hashes)
            recurs[indices] = True
            for name, at in ids:
                known[name] = max(at, known.get(name, at))
        return recurs, known

    def _pack(self) -> None:
        """Make a run of the recent ids."""
        if not self.recent:
            return
        ids = pl.Series(list(self.recent), dtype=pl.String)
        times_ms = np.fromiter(self.recent.values(), np.int64, len(ids))
        self._add(ids, hashes_of(ids), times_ms)
        self.recent = {}

    def _add(self, ids: pl.Series, hashes: Words, times_ms: Ints) -> None:
        """Add a run of ids, merged with the last runs unless they are much longer or due at another
        time. So runs stay few, and most are dropped as a whole."""
        if not len(ids):
            return
        due_ms, number, text_bytes = due_of(times_ms), len(ids), 0
        others: list[IdRun] = []
        while self.runs:
            last = self.runs[-1]
            same_step = last.due_ms // self.step_ms == due_ms // self.step_ms
            alike = same_step or len(self.runs) >= MANY
            fit = number + len(last) <= MAX_IDS and text_bytes + len(last.text) <= MAX_TEXT_BYTES
            if not (alike and fit and len(last) <= 2 * number):
                break
            number, text_bytes = number + len(last), text_bytes + len(last.text)
            others.insert(0, self.runs.pop())
        self.runs.append(IdRun.build(ids, hashes, times_ms, others))


def _repeats(
    rows: Iterable[tuple[int, tuple[str | None, int]]],
    known: dict[str, int],
    newer: dict[str, int],
) -> Repeats:
    """The rows of (id, time) whose id is known at that point; all ids are added to `newer`."""
    repeats: list[tuple[int, int]] = []
    for row, (name, at) in rows:
        if name is None:
            continue
        last = newer.get(name, known.get(name))
        if last is not None:
            repeats.append((row, last))
        newer[name] = at if last is None else max(last, at)
    pairs = np.array(repeats, np.int64).reshape(-1, 2)
    return Repeats(pairs[:, 0], pairs[:, 1])


class Deduplicator:
    """Decides which events of a contract are repeats, for each of its KPIs' windows, from the ids
    remembered by source partition.

    A record may be a repeat for a daily KPI and count for a KPI by minute, if its id was used
    before in a minute that has closed.
    """

    def __init__(self, contract: Contract, kpis: Iterable[Kpi]) -> None:
        kpis = list(kpis)
        self.is_used = bool(contract.ids and kpis)
        self._windows = tuple(dict.fromkeys(kpi.window for kpi in kpis))
        self._most_ms = contract.duplicate_window_ms
        self._lateness_ms = contract.lateness_ms
        self._restated = contract.restated
        # The granularity at which ids are dropped and offsets noted.
        self._step_ms = min((kpi.slice_ms for kpi in kpis), default=1)
        self._memories: dict[int, IdMemory] = {}

    def repeats(
        self, partition: int, ids: pl.Series, stored_ms: Ints, frontiers_ms: Ints
    ) -> tuple[Ints, Ints, Mapping[Window, Bools]]:
        """The rows whose id is known, when it was last stored, and for each window which of these
        rows are repeats. `stored_ms`: each event's time, or the frontier if that is later."""
        memory = self._memories.setdefault(partition, IdMemory(self._step_ms))
        repeats = memory.repeats(ids, stored_ms)
        limits, last = frontiers_ms[repeats.rows], repeats.last_ms
        if self._restated is not None:
            limits = stored_ms[repeats.rows] - self._restated.lateness_ms
        young = last + self._most_ms > limits
        open_ = {w: young & (last_ends(w, last) > limits) for w in self._windows}
        known = np.logical_or.reduce(list(open_.values()))
        rows = repeats.rows[known]
        return rows, last[known], {window: mask[known] for window, mask in open_.items()}

    def note(self, needs: Needs, stored_ms: Ints, offsets: Ints, before_ms: Ints) -> None:
        """Note the offsets that a restart needs to know the ids of these rows."""
        ends = self._ends(stored_ms)
        for row in first_of_each(ends).tolist():
            needs.note(int(ends[row]), int(offsets[row]), int(before_ms[row]))

    def needed(self, needs: Needs, last_ms: int) -> tuple[int, int] | None:
        """The offset (and the watermark before it) that a restart needs to know an id that was last
        stored at an instant."""
        return needs.get(last_ms - last_ms % self._step_ms + self._step_ms)

    def forget(self, partition: int, watermark_ms: int | None, needs: Needs) -> None:
        """Drop the ids that are no longer known for any window."""
        if watermark_ms is None or not self.is_used:
            return
        frontier = watermark_ms - self._lateness_ms
        done = min(
            max(closed_before(window, frontier), frontier - self._most_ms + 1)
            for window in self._windows
        )
        done -= done % self._step_ms
        needs.forget(done)
        if partition in self._memories:
            self._memories[partition].forget(done - 1)

    def revoke(self, partition: int) -> None:
        """Forget a source partition."""
        self._memories.pop(partition, None)

    def _ends(self, times_ms: Ints) -> Ints:
        return times_ms - times_ms % self._step_ms + self._step_ms
