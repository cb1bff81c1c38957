"""The state partitions that this worker holds: a merger for each, and its place in the frames log.

Frames, rows and views are worked out beside the event loop: how long that takes is decided by
events, and heartbeats, scrapes and signals must not wait for it. A merger is not thread-safe, so
one piece of work follows the other; `is_busy` says that one is under way.
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
"""The views of so many series are worked out when frames have come, not when they are asked for."""
VIEWS_SHARE = 3  # of the time, at most the third part goes into the views of many series
VIEWS_SECONDS = 1.0
"""While frames keep a partition busy, its views are worked out so seldom, as often as the board is
written: working them out costs what changed, and that is soon everything."""
ASKED_SECONDS = 2.0
"""Nor are they for so long after somebody who asked has had them worked out: the board asks every
second, and finds a partition busy only now and then."""
BUSY_SECONDS = 0.02  # until looking again whether a thread is done

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BackfillRows:
    """The rows of a KPI's backfill for one state partition, to be adopted by its merger."""

    kpi: str
    handoff_ms: int
    sources: Collection[Source]
    rows: list[Row]


class HeldPartition:
    """One state partition. `position` is the highest offset that any row of it is true for,
    `next_offset` that of the message to come."""

    def __init__(self, partition: int, merger: Merger, position: int, next_offset: int) -> None:
        self.partition = partition
        self.merger = merger
        self.position = position
        self.next_offset = next_offset
        self._moved_at = time.monotonic()  # when `next_offset` last moved, or was sought
        self._sought_offset = -1  # that reading last went back to
        self.frames_a_message = 1  # as the last message had it
        self.is_busy = False
        self._unacknowledged: deque[FrameMessage] = deque()
        self._applied_any = False
        self._emitted: list[Emitted] = []
        self._filled: list[BackfillRows] = []  # to be adopted in the next round
        self._views = merger.views()
        self._views_at = 0.0  # when to work the views out again

    @property
    def has_work(self) -> bool:
        """Whether a round has something to do here."""
        return self._applied_any

    @property
    def has_emitted(self) -> bool:
        """Whether something waits to be published."""
        return bool(self._emitted)

    # ---- frames

    def accept(self, message: FrameMessage) -> None:
        """Note the message that comes next; `apply` applies its frames."""
        self.next_offset = message.offset + 1
        self._moved_at = time.monotonic()
        self.position = max(self.position, message.offset)
        self.frames_a_message = len(message.frames)
        self._unacknowledged.append(message)
        self._applied_any = True

    @property
    def seconds_waited(self) -> float:
        """For how long the next message has not come, nor been sought."""
        return time.monotonic() - self._moved_at

    @property
    def is_sought(self) -> bool:
        """Whether reading went back to the next message already."""
        return self._sought_offset == self.next_offset

    def note_sought(self) -> None:
        """Note that reading goes back to the next message."""
        self._sought_offset = self.next_offset
        self._moved_at = time.monotonic()

    async def apply(self, frames: Sequence[bytes], offset: int) -> list[Exception | None]:
        """Apply frames of a message, up to one that leaves the merger behind: it must catch up
        before the next. For each that was applied, None or why it could not be: it is skipped."""
        applied = await self._beside(_apply, self.merger, frames, offset)
        self._emitted += [result for result in applied if isinstance(result, Emitted) and result]
        return [result if isinstance(result, Exception) else None for result in applied]

    async def catch_up(self) -> None:
        """Close more of the windows that one frame lets close at once."""
        if emitted := await self._beside(self.merger.catch_up):
            self._emitted.append(emitted)

    # ---- rounds

    async def adopt(self) -> None:
        """Let the merger adopt the backfills that were read for it. One that does not fit any more
        is read once more."""
        filled, self._filled = self._filled, []
        for read in filled:
            await self._beside(
                self.merger.adopt, read.kpi, read.handoff_ms, read.sources, read.rows
            )

    def drain_emitted(self) -> list[Emitted]:
        """What frames brought since the last call."""
        emitted, self._emitted = self._emitted, []
        return emitted

    async def dirty_rows(self) -> list[tuple[bytes, bytes | None]]:
        """The rows to write; None deletes."""
        return await self._beside(self.merger.drain_rows)

    def acknowledge_before(self, offset: int) -> None:
        """Acknowledge the messages that a restart does not need."""
        while self._unacknowledged and self._unacknowledged[0].offset < offset:
            self._unacknowledged.popleft().acknowledge()

    # ---- views

    @property
    def views(self) -> list[SeriesView]:
        """The series held here; of many, or while work is under way, as they were a moment ago."""
        if not self.is_busy and not self._is_heavy:
            self._views = self.merger.views()
            self._views_at = time.monotonic() + ASKED_SECONDS
        return self._views

    async def refresh_views(self) -> None:
        """Work out the views now and then, for anybody who asks during other work."""
        started = time.monotonic()
        if started > self._views_at:
            self._views = await self._beside(self.merger.views)
            now = time.monotonic()
            self._views_at = now + max(VIEWS_SECONDS, (VIEWS_SHARE - 1) * (now - started))

    @property
    def _is_heavy(self) -> bool:
        return self.merger.state.size > HEAVY_SERIES

    # ---- backfills

    def fill(self, filled: BackfillRows) -> None:
        """A past to be adopted in the next round."""
        self._filled.append(filled)

    @property
    def waits_for_adoption(self) -> bool:
        """Whether a past is not adopted yet."""
        return bool(self._filled)

    async def _beside(
        self, work: Callable[Parameters, Result], /, *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:  # fmt: skip
        self.is_busy = True
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        finally:
            self.is_busy = False


class HeldPartitions:
    """All that this worker holds. `epoch` counts how often that began again: who has waited
    compares it, to know whether what they hold is still theirs."""

    def __init__(self) -> None:
        self.epoch = 0
        self._held: dict[int, HeldPartition] = {}

    def __iter__(self) -> Iterator[HeldPartition]:
        return iter(list(self._held.values()))

    def get(self, partition: int) -> HeldPartition | None:
        """The partition, if it is held."""
        return self._held.get(partition)

    def holds(self, held: HeldPartition) -> bool:
        """Whether this very object is still in use."""
        return self._held.get(held.partition) is held

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions held and ready."""
        return frozenset(self._held)

    def drop(self, reason: str) -> None:
        """Forget all mergers. They are built again from the table, even for partitions that stay:
        in between somebody else may have held them."""
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
        """The mergers by partition; to be looked at before the next await, after `at_rest`."""
        return {partition: held.merger for partition, held in self._held.items()}

    async def at_rest(self) -> None:
        """Wait until no work is under way."""
        while any(held.is_busy for held in self._held.values()):  # noqa: ASYNC110  tenths of a second
            await asyncio.sleep(BUSY_SECONDS)

    async def fill(self, partition: int, filled: BackfillRows) -> None:
        """Hand a past to the merger of a partition; return when it took it, or is put down."""
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
