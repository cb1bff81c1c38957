"""The state partitions that this worker holds: a merger for each, and its position in the frames.

Large frames are applied in a thread, and with many series rows and views are made there, too: that
may take long, and heartbeats, scrapes and signals must not wait for it. A merger is not
thread-safe, so it has one such task at a time; `is_busy` is true meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ParamSpec, TypeVar

from agent.core.merge.merger import Merger
from agent.core.merge.watermark import Source
from agent.core.model.results import Emitted, SeriesView
from agent.core.state.rows import Row
from agent.kafka.faust_app import FrameMessage

log = logging.getLogger(__name__)

HEAVY_SERIES = 2_000
"""With more series, frames are applied and rows and views made in a thread, and views after rounds,
not on request. With fewer, that takes some milliseconds, a stride of windows a tenth of a second,
and changing the thread costs more (decision 0015)."""
HEAVY_BYTES = 64 * 1024
"""Messages with more bytes of frames are applied in a thread."""
VIEWS_SHARE = 3  # at most a third of the time is spent on the views of many series
VIEWS_SECONDS = 1.0
"""The least pause between two refreshes of views, as often as the board is written: with more
frequent ones, nearly every view would change each time."""
REQUESTED_SECONDS = 2.0
"""The pause before rounds refresh views again that were made on request: the board requests them
every second, and seldom finds a partition busy."""
BUSY_SECONDS = 0.02  # between checks whether a thread is done

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BackfillRows:
    """The rows of a KPI's backfill for one state partition, for its merger to adopt."""

    kpi: str
    handoff_ms: int
    sources: Collection[Source]
    rows: list[Row]


class HeldPartition:
    """One state partition. `position`: the highest offset of frames in its rows; `next_offset`:
    that of the next message."""

    def __init__(self, partition: int, merger: Merger, position: int, next_offset: int) -> None:
        self.partition = partition
        self.merger = merger
        self.position = position
        self.next_offset = next_offset
        self._moved_at = time.monotonic()  # when `next_offset` last moved, or was sought
        self._sought_offset = -1  # that reading last rewound to
        self.frames_a_message = 1  # of the last message
        self.is_busy = False
        self._unacknowledged: deque[FrameMessage] = deque()
        self._applied_any = False
        self._emitted: list[Emitted] = []
        self._filled: list[BackfillRows] = []  # to be adopted in the next round
        self._views = merger.views()
        self._views_at = 0.0  # when to refresh the views

    @property
    def has_work(self) -> bool:
        """Whether frames were applied, so that rounds have work here."""
        return self._applied_any

    @property
    def has_emitted(self) -> bool:
        """Whether there are results to publish."""
        return bool(self._emitted)

    # ---- frames

    def accept(self, message: FrameMessage) -> None:
        """Note the next message; `apply` applies its frames."""
        self.next_offset = message.offset + 1
        self._moved_at = time.monotonic()
        self.position = max(self.position, message.offset)
        self.frames_a_message = len(message.frames)
        self._unacknowledged.append(message)
        self._applied_any = True

    @property
    def seconds_waited(self) -> float:
        """How long ago the last message arrived, or reading rewound."""
        return time.monotonic() - self._moved_at

    @property
    def is_sought(self) -> bool:
        """Whether reading rewound to the next message already."""
        return self._sought_offset == self.next_offset

    def note_sought(self) -> None:
        """Note that reading rewinds to the next message."""
        self._sought_offset = self.next_offset
        self._moved_at = time.monotonic()

    async def apply(self, frames: Sequence[bytes], offset: int) -> list[Exception | None]:
        """Apply frames of a message, up to one after which the merger must catch up. Returns for
        each of these None, or the error for which it was skipped."""
        if self._is_heavy or sum(map(len, frames)) > HEAVY_BYTES:
            applied = await self._in_thread(_apply, self.merger, frames, offset)
        else:
            applied = _apply(self.merger, frames, offset)
        self._emitted += [result for result in applied if isinstance(result, Emitted) and result]
        return [result if isinstance(result, Exception) else None for result in applied]

    async def catch_up(self) -> None:
        """Close more of the windows that one frame lets close, a limited number at a time."""
        if emitted := await self._in_thread(self.merger.catch_up):
            self._emitted.append(emitted)

    # ---- rounds

    async def adopt(self) -> None:
        """Let the merger adopt backfills. One that does not fit any more is read again later."""
        filled, self._filled = self._filled, []
        for read in filled:
            await self._in_thread(
                self.merger.adopt, read.kpi, read.handoff_ms, read.sources, read.rows
            )

    def drain_emitted(self) -> list[Emitted]:
        """The results of frames since the last call."""
        emitted, self._emitted = self._emitted, []
        return emitted

    async def dirty_rows(self) -> list[tuple[bytes, bytes | None]]:
        """The changed rows; None deletes."""
        if self._is_heavy:
            return await self._in_thread(self.merger.drain_rows)
        return self.merger.drain_rows()

    def acknowledge_before(self, offset: int) -> None:
        """Acknowledge the messages before an offset: a restart does not need them."""
        while self._unacknowledged and self._unacknowledged[0].offset < offset:
            self._unacknowledged.popleft().acknowledge()

    # ---- views

    @property
    def views(self) -> list[SeriesView]:
        """The series held here; if there are many, or a task is under way, as of the last
        refresh."""
        if not self.is_busy and not self._is_heavy:
            self._views = self.merger.views()
            self._views_at = time.monotonic() + REQUESTED_SECONDS
        return self._views

    async def refresh_views(self) -> None:
        """Refresh the views if they are due."""
        started = time.monotonic()
        if started > self._views_at:
            self._views = await self._in_thread(self.merger.views)
            now = time.monotonic()
            self._views_at = now + max(VIEWS_SECONDS, (VIEWS_SHARE - 1) * (now - started))

    @property
    def _is_heavy(self) -> bool:
        return self.merger.state.size > HEAVY_SERIES

    # ---- backfills

    def fill(self, filled: BackfillRows) -> None:
        """Add the rows of a backfill, to be adopted in the next round."""
        self._filled.append(filled)

    @property
    def waits_for_adoption(self) -> bool:
        """Whether a backfill is not adopted yet."""
        return bool(self._filled)

    async def _in_thread(
        self, work: Callable[Parameters, Result], /, *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:  # fmt: skip
        self.is_busy = True
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        finally:
            self.is_busy = False


class HeldPartitions:
    """All state partitions of this worker. `epoch` counts how often they were dropped: code that
    awaits compares it before and after."""

    def __init__(self) -> None:
        self.epoch = 0
        self._held: dict[int, HeldPartition] = {}

    def __iter__(self) -> Iterator[HeldPartition]:
        return iter(list(self._held.values()))

    def get(self, partition: int) -> HeldPartition | None:
        """The partition, if it is held."""
        return self._held.get(partition)

    def holds(self, held: HeldPartition) -> bool:
        """Whether this object is still in use."""
        return self._held.get(held.partition) is held

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions held and ready."""
        return frozenset(self._held)

    def drop(self, reason: str) -> None:
        """Drop all mergers. They are built again from the table, even those of partitions that
        stay: another worker may have held them meanwhile."""
        self.epoch += 1
        if self._held:
            log.info("released %d state partitions: %s", len(self._held), reason)
        self._held = {}

    def hold(self, held: Mapping[int, HeldPartition]) -> None:
        """Hold these from now on."""
        self._held = dict(held)

    def views(self) -> list[SeriesView]:
        """The series of all partitions."""
        return list(chain.from_iterable(held.views for held in self._held.values()))

    def mergers(self) -> dict[int, Merger]:
        """The mergers by partition, valid until the next await; call `at_rest` before."""
        return {partition: held.merger for partition, held in self._held.items()}

    async def at_rest(self) -> None:
        """Wait until no task is under way in a thread."""
        while any(held.is_busy for held in self._held.values()):  # noqa: ASYNC110  tenths of a second
            await asyncio.sleep(BUSY_SECONDS)

    async def fill(self, partition: int, filled: BackfillRows) -> None:
        """Add a backfill to a partition; waits until its merger has adopted it, or is dropped."""
        held = self._held[partition]
        held.fill(filled)
        while held.waits_for_adoption and self.holds(held):  # noqa: ASYNC110  one round
            await asyncio.sleep(BUSY_SECONDS)


def _apply(merger: Merger, frames: Sequence[bytes], offset: int) -> list[Emitted | Exception]:
    results: list[Emitted | Exception] = []
    for frame in frames:
        try:
            results.append(merger.apply(frame, offset))
        except Exception as error:
            results.append(error)
        if merger.is_behind:
            break
    return results
