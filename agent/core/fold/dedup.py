"""Producer retries: an id counts once while the slice of its first event is open.

Exact: a repeat is an equal id. A repeat is judged at its own place in the log, so batch boundaries
change nothing.

Ids are remembered as in a log-structured merge tree (O'Neil and others, 1996): those of small
batches in a dict, until they are many; the others in sorted runs, which are merged as they come so
that there are few of them.
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
"""A batch of at most so many ids is judged faster one by one (measured: docs/decisions/0004)."""
RECENT = 4_000
"""More ids than that are no longer kept in a dict."""
MANY = 8
"""With so many runs, one is also merged with the one before it when they end at other times."""
MAX_IDS = 500_000
"""No longer run is made of several: to merge takes 25 ms then, and 40 MB for as long."""
MAX_TEXT_BYTES = 2**31
"""A run counts the bytes of its text in 32 bits; a batch adds to those of the runs it takes in."""


@dataclass(slots=True)
class Repeats:
    """The repeats among some rows: which ones, and which horizons each leans on."""

    mask: Bools
    leans: list[tuple[int, int]]


@dataclass(slots=True)
class IdMemory:
    """The ids of one contract in one source partition, by the horizon (ms) of their first event.

    An id whose horizon is finished may be there a second time, with a later horizon.
    """

    lateness_ms: int
    recent: dict[str, int] = field(default_factory=dict)
    runs: list[IdRun] = field(default_factory=list)

    def repeats(self, ids: pl.Series, horizons_ms: Ints, before_ms: Ints) -> Repeats:
        """Find the repeats among rows in log order, and remember the others.

        `ids` are String, null where a row has none. `before_ms` is the watermark before each row,
        which never falls. `Repeats.leans` holds (row, horizon) for every repeat: the row's verdict
        needs the log from that horizon's first offset.
        """
        found = Repeats(np.zeros(len(ids), np.bool_), [])
        if len(ids) <= FEW:
            known = self._known(np.sort(hashes_of(ids)))[1] if self.runs else {}
            rows = zip(ids.to_list(), horizons_ms.tolist(), before_ms.tolist(), strict=True)
            self._judge(enumerate(rows), known, self.recent, found)
            if len(self.recent) > RECENT:
                self._pack()
            return found
        self._pack()
        hashes = hashes_of(ids)
        order = np.argsort(hashes)
        recurs, known = self._known(hashes[order])
        at = np.sort(order[recurs])
        rows = zip(ids[at].to_list(), horizons_ms[at].tolist(), before_ms[at].tolist(), strict=True)
        self._judge(zip(at.tolist(), rows, strict=True), known, known, found)
        new = ids.is_not_null().to_numpy() & ~found.mask
        self._add(ids.filter(pl.Series(new)), hashes[new], horizons_ms[new])
        return found

    def forget_finished(self, watermark_ms: int | None) -> None:
        """Drop the ids whose horizon the watermark has passed: most at once, some a little later.
        They make no repeats either way."""
        if watermark_ms is None:
            return
        done = watermark_ms - self.lateness_ms
        # Seldom is the first to come not the first to go.
        if self.recent and next(iter(self.recent.values())) <= done:
            self.recent = {name: horizon for name, horizon in self.recent.items() if horizon > done}
        self.runs = [left for run in self.runs if (left := run.after(done)) is not None]

    def _known(self, hashes: Words) -> tuple[Bools, dict[str, int]]:
        """Which of the sorted hashes stand twice among them or in a run; and the ids in the runs
        that have one of them, with their last horizon."""
        recurs = np.zeros(len(hashes), np.bool_)
        recurs[1:] = hashes[1:] == hashes[:-1]
        recurs[:-1] |= recurs[1:]
        known: dict[str, int] = {}
        for run in self.runs:
            places, ids = run.find(hashes)
            recurs[places] = True
            for name, horizon in ids:
                known[name] = max(horizon, known.get(name, horizon))
        return recurs, known

    def _judge(
        self,
        rows: Iterable[tuple[int, tuple[str | None, int, int]]],
        known: dict[str, int],
        newer: dict[str, int],
        found: Repeats,
    ) -> None:
        """Judge rows of (id, horizon, watermark before) one by one; `newer` takes those that are no
        repeats. Of an id's horizons only the last can be open: it decides."""
        for row, (name, horizon, before) in rows:
            if name is None:
                continue
            first = newer.get(name, known.get(name))
            if first is not None and first + self.lateness_ms > before:
                found.mask[row] = True
                found.leans.append((row, first))
            else:
                newer[name] = horizon

    def _pack(self) -> None:
        """Make a run of the recent ids."""
        if not self.recent:
            return
        ids = pl.Series(list(self.recent), dtype=pl.String)
        horizons_ms = np.fromiter(self.recent.values(), np.int64, len(ids))
        self._add(ids, hashes_of(ids), horizons_ms)
        self.recent = {}

    def _add(self, ids: pl.Series, hashes: Words, horizons_ms: Ints) -> None:
        """Remember ids in a run, with those of the last runs that are not much longer or due at
        another time: so runs stay few, and most are dropped whole."""
        if not len(ids):
            return
        due_ms, number, text_bytes = due_of(horizons_ms), len(ids), 0
        others: list[IdRun] = []
        while self.runs:
            last = self.runs[-1]
            alike = last.due_ms == due_ms or len(self.runs) >= MANY
            fit = number + len(last) <= MAX_IDS and text_bytes + len(last.text) <= MAX_TEXT_BYTES
            if not (alike and fit and len(last) <= 2 * number):
                break
            number, text_bytes = number + len(last), text_bytes + len(last.text)
            others.insert(0, self.runs.pop())
        self.runs.append(IdRun.of(ids, hashes, horizons_ms, others))
