"""What a soak shows: memory and lag as they go on, and the truth of what was sent."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np

from tests.chaos.flood import LATENESS_MS, WINDOW_MS
from tests.chaos.world import Worker

Key = tuple[str, tuple[str, ...], int]
"""KPI, dimensions, end of the window (ms)."""
Value = tuple[float, int]

KPIS = {
    "revenue": ("sum(amount)", ("region", "channel")),
    "orders": ("count(*)", ("region", "channel")),
    "dearest": ("max(amount)", ("region",)),
}

JUDGED_SQL = f"""
INSERT INTO evaluated
WITH timed AS (
    SELECT *, max(CASE WHEN amount >= 0 THEN happened END) OVER (
        ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
    FROM read_parquet(?) WHERE part = ?
), late AS (
    SELECT *, amount >= 0 AND coalesce(
        happened // {WINDOW_MS} * {WINDOW_MS} + {WINDOW_MS} + {LATENESS_MS} <= reached, false
    ) AS is_late
    FROM timed
)
SELECT region, channel, happened, amount, CASE
    WHEN amount < 0 THEN 'rejected' WHEN is_late THEN 'late'
    WHEN row_number() OVER (PARTITION BY id, is_late ORDER BY seq) > 1 THEN 'duplicate'
    ELSE 'folded' END AS outcome
FROM late
"""


@dataclass(frozen=True)
class Truth:
    """How many records of each outcome, and every window with an event in it that has closed."""

    outcomes: Counter[str]
    windows: dict[Key, Value]
    frontier_ms: int
    sent: dict[int, int]


def truth_of(folder: Path) -> Truth:
    """DuckDB's answer over what the flood noted, one partition after the other."""
    base = duckdb.connect(str(folder / "truth.duckdb"))
    base.execute("SET memory_limit = '4GB'")
    base.execute(
        "CREATE TABLE evaluated (region VARCHAR, channel VARCHAR, happened BIGINT, amount DOUBLE, "
        "outcome VARCHAR)"
    )
    files = str(folder / "*.parquet")
    counted = "SELECT part, count(*) FROM read_parquet(?) GROUP BY part"
    sent = dict(base.execute(counted, [files]).fetchall())
    for partition in sorted(sent):
        base.execute(JUDGED_SQL, [files, partition])
    counted = "SELECT outcome, count(*) FROM evaluated GROUP BY outcome"
    outcomes = Counter(dict(base.execute(counted).fetchall()))
    (newest,) = base.execute("SELECT max(happened) FROM evaluated").fetchone() or (0,)
    frontier_ms = newest - LATENESS_MS
    windows: dict[Key, Value] = {}
    for kpi, (value, by) in KPIS.items():
        groups = ", ".join(by)
        rows = base.execute(
            f"SELECT {groups}, happened // {WINDOW_MS} * {WINDOW_MS} + {WINDOW_MS} AS e, {value}, "
            f"count(*) FROM evaluated WHERE outcome = 'folded' GROUP BY {groups}, e HAVING e <= ?",
            [frontier_ms],
        ).fetchall()
        for *dimensions, end, number, events in rows:
            windows[kpi, tuple(dimensions), end] = (float(number), events)
    return Truth(outcomes, windows, frontier_ms, sent)


@dataclass
class Samples:
    """Every second: seconds since the start, memory of the worker, records not read yet."""

    seconds: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    lag: list[int] = field(default_factory=list)

    def growth_mb_per_minute(self, after_seconds: float) -> float:
        """How memory grows once warm: the median of the slopes between all pairs of samples
        (Theil 1950), which a few garbage collections don't move."""
        at = np.array(self.seconds)
        warm = at >= after_seconds
        x, y = at[warm] / 60, np.array(self.resident_mb)[warm]
        earlier, later = np.triu_indices(len(x), 1)
        return float(np.median((y[later] - y[earlier]) / (x[later] - x[earlier])))

    def median_lag(self, since: float, until: float) -> float:
        """Of the samples in a stretch of seconds."""
        return self._median(self.lag, since, until)

    def median_mb(self, since: float, until: float) -> float:
        """Memory in a stretch of seconds."""
        return self._median(self.resident_mb, since, until)

    def _median(self, values: Sequence[float], since: float, until: float) -> float:
        inside = [v for at, v in zip(self.seconds, values, strict=True) if since <= at < until]
        return float(np.median(inside))


class Sampler:
    """Takes samples of a worker until it is stopped."""

    def __init__(self, worker: Worker) -> None:
        self.samples = Samples()
        self._worker = worker
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> Samples:
        """The samples."""
        self._stopping.set()
        self._thread.join(10)
        return self.samples

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stopping.wait(1.0):
            lag = self._worker.lag()
            self.samples.seconds.append(time.monotonic() - began)
            self.samples.resident_mb.append(self._worker.resident_mb())
            self.samples.lag.append(lag)
