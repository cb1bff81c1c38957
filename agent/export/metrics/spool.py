"""Spools samples of any number of series to a temporary file, and reads them in order.

SQLite sorts on disk; only the names of the series are in memory.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROWS_AT_ONCE = 10_000
CACHE_KIB = 32_768

Sample = tuple[int, float | int]
"""(time in ms, value)"""


class Spool:
    """A table of samples in a temporary file, which is deleted at the end of the `with` block."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kpi-agent-")
        self._db = sqlite3.connect(Path(self._folder.name) / "samples.sqlite", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}")
        # Without a type for the value: whole numbers stay whole.
        self._db.execute("CREATE TABLE samples (series INTEGER, at INTEGER, value)")
        self._db.execute("BEGIN")
        self._rows: list[tuple[int, int, float | int]] = []
        self._series: dict[tuple[str, str], int] = {}

    def series(self, metric: str, labels: str) -> int:
        """The number of a series, for `add`."""
        return self._series.setdefault((metric, labels), len(self._series))

    def add(self, series: int, at_ms: int, value: float | int) -> None:
        """Add a sample. Of two samples of one instant, the later one counts."""
        self._rows.append((series, at_ms, value))
        if len(self._rows) >= ROWS_AT_ONCE:
            self._write()

    def read(self) -> Iterator[tuple[str, Iterator[tuple[str, Iterator[Sample]]]]]:
        """Every metric by name, with its series by labels, each with its samples by time. Each
        iterator must be used before the next."""
        self._write()
        # After the rows, so that the order of insertion decides between two samples of one instant.
        self._db.execute("CREATE INDEX by_series ON samples (series, at)")
        metrics: dict[str, list[tuple[str, int]]] = {}
        for (metric, labels), number in self._series.items():
            metrics.setdefault(metric, []).append((labels, number))
        for metric in sorted(metrics):
            yield metric, ((labels, self._of(n)) for labels, n in sorted(metrics[metric]))

    def _of(self, series: int) -> Iterator[Sample]:
        query = "SELECT at, value FROM samples WHERE series = ? ORDER BY at, rowid"
        last: Sample | None = None
        for sample in self._db.execute(query, (series,)):
            if last is not None and last[0] != sample[0]:
                yield last
            last = sample
        if last is not None:
            yield last

    def _write(self) -> None:
        self._db.executemany("INSERT INTO samples VALUES (?, ?, ?)", self._rows)
        self._rows.clear()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._folder.cleanup()
