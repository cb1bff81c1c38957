"""Producer retries: an event counts once in a window while the window is open.

Deduplication is exact: a repeat has an equal id. It is decided at the repeat's own offset, so batch
boundaries change nothing. Each id is kept with the time at which an event with it was last stored:
the event's time, or the frontier if it arrived after that. For a KPI, the id is known until the
KPI's last window over that time closes, but for no longer than the contract's duplicate window. So
other KPIs make no difference, and a restart need not read a month for a month's ids.

Ids are stored as in a log-structured merge tree (O'Neil and others, 1996): those of small batches
in a dict, until there are many; the others in sorted runs, which are merged so that they stay few.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.fold.id_run import IdRun, Words, due_of, hashes_of

Bools = npt.NDArray[np.bool_]

FEW = 1_000
"""A batch of at most so many ids is evaluated faster one by one (measured: docs/decisions/0004)."""
RECENT = 4_000
"""More ids than that are no longer kept in a dict."""
MANY = 8
"""With so many runs, one is also merged with the one before it when they end at other times."""
MAX_IDS = 500_000
"""No longer run is made of several: to merge takes 25 ms then, and 40 MB for as long."""
MAX_TEXT_BYTES = 2**31
"""A run counts the bytes of its text in 32 bits; a batch adds to those of the runs it takes in."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Those of some rows whose id is known, and the time (ms) at which it was stored last."""

    rows: Ints
    last_ms: Ints


@dataclass(slots=True)
class IdMemory:
    """The ids of one contract in one source partition, by the time (ms) of an event with it.

    An id may be there several times: the last time counts.
    """

    step_ms: int = 1
    """Ids of one step of time are kept together."""
    recent: dict[str, int] = field(default_factory=dict)
    runs: list[IdRun] = field(default_factory=list)

    def repeats(self, ids: pl.Series, times_ms: Ints) -> Repeats:
        """Find the known ids among rows in log order, and remember all. `ids` are String, null
        where a row has none."""
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
        """Drop the ids that were stored last at an instant or before it: most at once, some a
        little later. Anybody who asks for one of them knows that it is too old."""
        # Seldom is the first to come not the first to go.
        if self.recent and next(iter(self.recent.values())) <= done_ms:
            self.recent = {name: at for name, at in self.recent.items() if at > done_ms}
        self.runs = [left for run in self.runs if (left := run.after(done_ms)) is not None]

    def _known(self, hashes: Words) -> tuple[Bools, dict[str, int]]:
        """Which of the sorted hashes stand twice among them or in a run; and the ids in the runs
        that have one of them, with their last time."""
        recurs = np.zeros(len(hashes), np.bool_)
        recurs[1:] = hashes[1:] == hashes[:-1]
        recurs[:-1] |= recurs[1:]
        known: dict[str, int] = {}
        for run in self.runs:
            places, ids = run.find(hashes)
            recurs[places] = True
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
        """Remember ids in a run, with those of the last runs that are not much longer or due at
        another time: so runs stay few, and most are dropped whole."""
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
        self.runs.append(IdRun.of(ids, hashes, times_ms, others))


def _repeats(
    rows: Iterable[tuple[int, tuple[str | None, int]]],
    known: dict[str, int],
    newer: dict[str, int],
) -> Repeats:
    """The rows of (id, time) whose id is known by then; `newer` takes the ids."""
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
