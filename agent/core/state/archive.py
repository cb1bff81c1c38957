"""The closed windows that history functions read, beyond those in the row of a series.

A row has only the newest windows, so that writing it is cheap. If a rule looks back further, the
row keeps up to twice as many. Whenever it is full, its older half becomes a row of its own, a
*chunk*, which is written once. A crash between the two writes leaves the same windows in both;
`WindowHistory` counts them once.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.results import WindowValue
from agent.core.model.window_history import Item, WindowHistory
from agent.core.state.rows import decoded, versioned
from agent.core.state.series import HISTORY_WINDOWS, Series

ArchiveKey = tuple[Dimensions, int]
"""A series' dimensions and the instant (ms) it began: a series may expire and begin again."""


class Chunk(msgspec.Struct, array_like=True, frozen=True):
    """Windows of one series that its row no longer has, oldest first."""

    kpi: str
    fingerprint: str
    dimensions: tuple[Scalar, ...]
    first_ms: int
    windows: list[Item]


_encoder = msgspec.msgpack.Encoder()
_chunks = msgspec.msgpack.Decoder(Chunk)


def read_chunk(key: bytes, row: bytes) -> Chunk:
    """Read a chunk's row. Raises UnknownVersion and DamagedRow."""
    return decoded(_chunks, key, row, "a row of its history")


class Archive:
    """The window histories of one KPI's series. `needs_ms`: how far back its rules look."""

    def __init__(self, kpi: Kpi, needs_ms: int) -> None:
        self._kpi = kpi
        self._needs_ms = needs_ms
        self._most_in_row = HISTORY_WINDOWS
        if needs_ms > (HISTORY_WINDOWS - 1) * kpi.window.step_ms:
            self._most_in_row *= 2  # the older half becomes a chunk
        self._pasts: dict[ArchiveKey, WindowHistory] = {}
        self._chunks: dict[ArchiveKey, list[list[Item]]] = {}
        self._rows: dict[bytes, bytes | None] = {}

    def past(self, series: Series) -> WindowHistory:
        """The history of a series, up to its last closed window."""
        id_ = _id(series)
        past = self._pasts.get(id_)
        if past is None:
            chunks = self._chunks.get(id_, [])
            items = [item for chunk in chunks for item in chunk]
            past = self._pasts[id_] = WindowHistory([*items, *series.history])
        return past

    def trim(self, series: Series, end_ms: int) -> None:
        """Drop the windows that no rule needs once a window with that end is evaluated."""
        # With two windows to spare, because calendar windows differ in length.
        oldest = end_ms - self._needs_ms - 2 * self._kpi.window.span_ms
        self.past(series).drop_before(oldest)
        chunks = self._chunks.get(_id(series), [])
        while chunks and chunks[0][-1][0] < oldest:
            self._rows[self._key(series, chunks.pop(0))] = None

    def remember(self, series: Series, window: WindowValue, flags: int) -> None:
        """Note a closed window in the series; if its row is full, make its older half a chunk. The
        window must be in `past` already."""
        series.remember(window, flags, self._most_in_row)
        if self._most_in_row > HISTORY_WINDOWS and len(series.history) == self._most_in_row:
            old = series.pop_oldest(HISTORY_WINDOWS)
            self._chunks.setdefault(_id(series), []).append(old)
            chunk = Chunk(
                series.kpi, series.fingerprint, series.dimensions or (), series.first_ms, old
            )
            self._rows[self._key(series, old)] = versioned(_encoder.encode(chunk))

    def restore(self, chunk: Chunk) -> None:
        """Restore a chunk from its row; before `past` is first called for its series."""
        chunks = self._chunks.setdefault((chunk.dimensions, chunk.first_ms), [])
        chunks.append(chunk.windows)
        chunks.sort(key=lambda windows: windows[0][0])

    def forget(self, series: Series) -> None:
        """Delete the history of a series."""
        self._pasts.pop(_id(series), None)
        for windows in self._chunks.pop(_id(series), []):
            self._rows[self._key(series, windows)] = None

    def rows(self) -> Iterable[tuple[bytes, bytes | None]]:
        """The chunks to write (None: to delete) since the last call. They must be written before
        the rows of the series."""
        rows, self._rows = self._rows, {}
        return rows.items()

    def _key(self, series: Series, windows: list[Item]) -> bytes:
        return _encoder.encode([series.kpi, series.dimensions, windows[0][0]])


def _id(series: Series) -> ArchiveKey:
    return series.dimensions or (), series.first_ms
