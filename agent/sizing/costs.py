"""What each part of the work costs, as the benchmarks measured it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

FILE = Path(__file__).parent / "costs.json"
"""Written by `make bench-report`."""


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU in microseconds, sizes in bytes, sent ones as compressed.

    - `event_us`: an event, the whole of one worker, with `event_kpis` KPIs. `fold_us`: pairs of a
      number of KPIs, ascending, and the CPU of an event decoded and folded with them.
    - `frame_us`: an empty frame in both stages. `row_us`: a row of a frame, made and merged.
    - `window_us`: a window that closes, its row of state and its value.
    - `idle_bytes`: the resident memory of a worker that idles; `batch_bytes`: what batches add
      while it catches up. `series_bytes`: a series on every worker.
    """

    event_us: float
    event_kpis: int
    fold_us: tuple[tuple[int, float], ...]
    frame_us: float
    frame_bytes: float
    row_us: float
    row_sent_bytes: float
    window_us: float
    state_row_sent_bytes: float
    value_sent_bytes: float
    idle_bytes: float
    batch_bytes: float
    series_bytes: float
    state_row_bytes: float
    open_slice_bytes: float
    id_bytes: float

    def event_us_with(self, kpis: int) -> float:
        """The CPU of an event with so many KPIs: measured with `event_kpis`, and corrected by what
        folding more or fewer takes."""
        return self.event_us + self._fold_us(kpis) - self._fold_us(self.event_kpis)

    def _fold_us(self, kpis: int) -> float:
        """On straight lines between the measured numbers of KPIs. Beyond the last one, on the line
        from the first to the last, as two neighbours differ by little more than noise."""
        first, last = self.fold_us[0], self.fold_us[-1]
        if kpis > last[0]:
            return _on_line(first, last, kpis)
        for left, right in pairwise(self.fold_us):
            if kpis <= right[0]:
                return _on_line(left, right, max(kpis, left[0]))
        return last[1]


def _on_line(left: tuple[int, float], right: tuple[int, float], at: int) -> float:
    slope = (right[1] - left[1]) / (right[0] - left[0])
    return left[1] + slope * (at - left[0])


def load_costs() -> Costs:
    """The costs that come with the package."""
    saved = json.loads(FILE.read_text())
    return Costs(**saved | {"fold_us": tuple(map(tuple, saved["fold_us"]))})
