"""Producer retries: an id counts once while the slice of its first event is open.

Exact: ids are compared, not their hashes. A repeat is judged at its own place in the log, so batch
boundaries change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.core.source import Ints

Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Repeats:
    """The repeats among some rows: which ones, and which horizons each leans on."""

    mask: Bools
    leans: list[tuple[int, int]]


@dataclass(slots=True)
class IdMemory:
    """The ids of one contract in one source partition, by the horizon (ms) of their first event."""

    lateness_ms: int
    seen: dict[int, set[str]] = field(default_factory=dict)

    def repeats(self, ids: Sequence[str | None], horizons_ms: Ints, before_ms: Ints) -> Repeats:
        """Find the repeats among rows in log order, and remember the others.

        `before_ms` is the watermark before each row. `Repeats.leans` holds (row, horizon) for
        every repeat: the row's verdict needs the log from that horizon's first offset.
        """
        mask = np.zeros(len(ids), dtype=np.bool_)
        leans: list[tuple[int, int]] = []
        twice = self._recurring(ids)
        if twice:
            for row, name in enumerate(ids):
                if name in twice:
                    first = self._open_horizon(name, int(before_ms[row]))
                    if first is None:
                        self.seen.setdefault(int(horizons_ms[row]), set()).add(name)
                    else:
                        mask[row] = True
                        leans.append((row, first))
        self._remember(ids, horizons_ms, twice)
        return Repeats(mask, leans)

    def forget_finished(self, watermark_ms: int | None) -> None:
        """Drop the ids whose horizon the watermark has passed."""
        if watermark_ms is not None:
            done = watermark_ms - self.lateness_ms
            for horizon in [h for h in self.seen if h <= done]:
                del self.seen[horizon]

    def _recurring(self, ids: Sequence[str | None]) -> set[str]:
        """The ids that stand more than once in the rows, or are known already."""
        distinct = {name for name in ids if name is not None}
        twice: set[str] = set()
        for known in self.seen.values():
            twice |= distinct & known
        if len(distinct) < len(ids) - ids.count(None):
            once: set[str] = set()
            for name in ids:
                if name is not None:
                    (twice if name in once else once).add(name)
        return twice

    def _open_horizon(self, name: str, before_ms: int) -> int | None:
        for horizon, known in self.seen.items():
            if name in known and horizon + self.lateness_ms > before_ms:
                return horizon
        return None

    def _remember(self, ids: Sequence[str | None], horizons_ms: Ints, twice: set[str]) -> None:
        """Remember the ids that do not recur; the others were remembered where they were judged."""
        for horizon in np.unique(horizons_ms).tolist():
            rows = np.flatnonzero(horizons_ms == horizon).tolist()
            names = {ids[row] for row in rows}
            names.discard(None)
            fresh = names - twice if twice else names
            if fresh:
                self.seen.setdefault(horizon, set()).update(fresh)  # type: ignore[arg-type]
