"""The partials of one KPI's slice, as frames bring them, until the slice is sealed.

A partial is cumulative, so the newest one of a source replaces what it sent before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np

from agent.core.aggregate.aggregator import Aggregator
from agent.core.aggregate.columns import Column, to_scalars
from agent.core.aggregate.functions import State
from agent.core.aggregate.rows import PartialRows
from agent.core.frame import Block, Written, joined, read, written
from agent.core.model.kpis import Dimensions

Admit = Callable[[bytes], Dimensions | None]
"""Which series the partials of a new key go to; None: they are not wanted."""

MOST_WAITING = 256
"""Rows that may wait to be put in their places; many small blocks are put there as one."""
_UNWANTED = -1


class SlicePartials:
    """The partials of one slice: a row for each key of each source, and the series it goes to."""

    __slots__ = (
        *("_admit", "_aggregator", "_subjects", "_indexed", "_of_subject", "_partials", "_places"),
        *("_rows", "_turns_away", "_waiting"),
    )

    def __init__(self, aggregator: Aggregator, admit: Admit) -> None:
        self._aggregator = aggregator
        self._admit = admit
        self._turns_away = False  # whether a key is not wanted
        self._rows: dict[int, dict[bytes, int]] = {}  # by source and key
        self._subjects: list[Dimensions] = []
        self._of_subject: dict[Dimensions, tuple[int, ...]] | None = None  # made when asked for
        self._indexed = 0  # so many rows are in it
        self._partials: PartialRows | None = None  # made when blocks have to be put in places
        self._waiting: dict[int, list[Written]] = {}  # the columns of a block, by its source
        self._places: list[int] = []  # the rows that they go to

    def __len__(self) -> int:
        return len(self._subjects)

    def __contains__(self, subject: Dimensions) -> bool:
        return subject in self._rows_of()

    def update(self, block: Block, source: int) -> None:
        """Take a frame's rows of this slice."""
        is_part = len(block.columns) < len(self._aggregator.stored_dtypes)
        if source in self._waiting or is_part:
            self._put()  # one after the other: the newer one counts
        known, subjects, places = self._rows.setdefault(source, {}), self._subjects, self._places
        for key in block.keys:
            row = known.get(key)
            if row is None:
                subject = self._admit(key)
                if subject is None:
                    self._turns_away, row = True, _UNWANTED
                else:
                    row = len(subjects)
                    subjects.append(subject)
                known[key] = row
            places.append(row)
        self._waiting[source] = block.columns
        if is_part:
            self._put(block.first_column)
        elif len(places) >= MOST_WAITING:
            self._put()

    def _put(self, first_column: int = 0) -> None:
        """Put in their places the rows that wait, or their columns from one on."""
        if not self._waiting:
            return
        rows = np.array(self._places, np.int64)
        waiting = list(zip(*self._waiting.values(), strict=True))
        dtypes = self._aggregator.stored_dtypes[first_column : first_column + len(waiting)]
        columns = [read(joined(of), dtype) for of, dtype in zip(waiting, dtypes, strict=True)]
        self._waiting, self._places = {}, []
        if self._partials is None:
            self._partials = PartialRows(self._aggregator)
        if len(self._subjects) > len(self._partials):
            self._partials.append(len(self._subjects) - len(self._partials))
        if self._turns_away:
            wanted = rows >= 0
            rows, columns = rows[wanted], [column[wanted] for column in columns]
        self._partials.put(rows, columns, first_column)

    def _columns(self) -> list[Column]:
        """The rows' columns. Where each row came once, they are as the blocks have them: most
        slices of a catch-up over sparse events are sealed like that."""
        if self._partials is None and self._places == list(range(len(self._subjects))):
            waiting = zip(*self._waiting.values(), strict=True)
            dtypes = self._aggregator.stored_dtypes
            return [read(joined(of), dtype) for of, dtype in zip(waiting, dtypes, strict=True)]
        self._put()
        return [] if self._partials is None else self._partials.columns

    def drain_changed(self) -> set[Dimensions]:
        """The series of the rows that were taken since the last call."""
        self._put()
        if self._partials is None:
            return set()
        return {self._subjects[row] for row in self._partials.changed().tolist()}

    def states(self, of: Iterable[Dimensions] | None = None) -> Iterator[tuple[Dimensions, State]]:
        """Every row as the series it goes to and its state; of some series only, if they are named.
        A series has a row for each key and source."""
        subjects, columns = self._subjects, self._columns()
        if of is not None:
            rows_of = self._rows_of()
            chosen = list(chain.from_iterable(rows_of.get(subject, ()) for subject in of))
            subjects, columns = [subjects[row] for row in chosen], [c[chosen] for c in columns]
        scalars = map(to_scalars, columns, self._aggregator.nullable)
        return zip(subjects, zip(*scalars, strict=True), strict=True)

    def partials(self) -> Iterator[tuple[int, bytes, Dimensions, State]]:
        """Every row as its source and key, the series it goes to, and its state."""
        states = list(self.states())
        for source, known in self._rows.items():
            for key, row in known.items():
                if row != _UNWANTED:
                    yield source, key, *states[row]

    def blocks(
        self, kpi: str, fingerprint: str, start_ms: int, pane_ms: int | None = None
    ) -> Iterator[tuple[int, Block]]:
        """All of it, as one block for each source."""
        partials = self._columns()
        for source, known in self._rows.items():
            keys = [key for key, row in known.items() if row >= 0]
            rows = np.array([known[key] for key in keys], np.int64)
            columns = [written(column[rows]) for column in partials]
            yield source, Block(kpi, fingerprint, start_ms, keys, columns, pane_ms)

    def _rows_of(self) -> dict[Dimensions, tuple[int, ...]]:
        """The rows of each series, worked out for what came since somebody asked."""
        by_subject = self._of_subject = {} if self._of_subject is None else self._of_subject
        for row in range(self._indexed, len(self._subjects)):
            subject = self._subjects[row]
            by_subject[subject] = (*by_subject.get(subject, ()), row)
        self._indexed = len(self._subjects)
        return by_subject
