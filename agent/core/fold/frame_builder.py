"""Builds the frames of a flush from the partials that changed since the last one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from agent.core.fold.checkpoint import SourceProgress
from agent.core.fold.future_clock import FutureClock
from agent.core.fold.kpi_fold import KpiFold
from agent.core.frame import Block, Frame, encode
from agent.core.model.kpis import Kpi


class FrameBuilder:
    """Builds the frames of one topic.

    The first frames of a source that was assigned here repeat what its last owner sent
    (`Frame.resent`), with all partials. `backfilled`: the KPIs with `backfill`.
    """

    def __init__(
        self, topic: str, state_partitions: int, backfilled: Iterable[Kpi], clock: FutureClock
    ) -> None:
        self._topic = topic
        self._state_partitions = state_partitions
        self._backfilled = {kpi.name: kpi.fingerprint for kpi in backfilled}
        self._clock = clock
        self._unsent: set[int] = set()  # sources without a frame yet
        self._covered: dict[int, int] = {}  # by the last frame of a source
        # For sources with an unknown log before the first offset: the maximum time of events there.
        # None until the clock is known.
        self._unread_until_ms: dict[int, int | None] = {}

    def assign(self, partition: int, has_unknown_past: bool) -> None:
        """Add a source partition; `has_unknown_past`: reading does not start at the log's start,
        and the log before is unknown."""
        self._unsent.add(partition)
        if has_unknown_past:
            self._unread_until_ms[partition] = None

    def revoke(self, partition: int) -> None:
        """Drop a source partition."""
        self._unsent.discard(partition)
        self._covered.pop(partition, None)
        self._unread_until_ms.pop(partition, None)

    def build(
        self,
        folds: Iterable[KpiFold],
        sources: Mapping[int, SourceProgress],
        clock_ms: int,
        idle_ms: Mapping[int, int | None],
        partitions: int,
        siblings: Mapping[str, int],
    ) -> list[tuple[int, bytes]]:
        """The frames of a flush, as (state partition, frame bytes) in sending order: one or more
        from every live source to every state partition."""
        others = dict(siblings)
        ready = {p: source for p, source in sources.items() if not source.rebuilding}
        blocks: dict[tuple[int, int], list[Block]] = {}
        active: dict[int, dict[str, list[int]]] = {p: {} for p in ready}
        for fold in folds:
            for (partition, target), block in fold.drain_changed(ready, sources, self._unsent):
                blocks.setdefault((partition, target), []).append(block)
                if block.kpi in fold.watched:
                    slices = active[partition].setdefault(block.kpi, [])
                    if block.start_ms not in slices[-1:]:  # blocks are in the order of slices
                        slices.append(block.start_ms)
        frames = (
            (
                target,
                self._frame(
                    p, source, clock_ms, idle_ms.get(p), partitions, others, active[p], rows
                ),
            )
            for p, source in sorted(ready.items())
            for target in range(self._state_partitions)
            for rows in [blocks.get((p, target), [])]
        )
        messages = list(_encoded(frames))
        self._unsent.difference_update(ready)
        self._covered |= {p: source.covered for p, source in ready.items()}
        return messages

    def _frame(
        self,
        partition: int,
        source: SourceProgress,
        clock_ms: int,
        idle_ms: int | None,
        partitions: int,
        siblings: dict[str, int],
        active: dict[str, list[int]],
        blocks: list[Block],
    ) -> Frame:
        return Frame(
            topic=self._topic,
            partition=partition,
            partitions=partitions,
            covered=source.covered,
            watermark_ms=source.watermark_ms,
            idle_ms=idle_ms,
            clock_ms=clock_ms,
            last=True,
            active=active,
            blocks=blocks,
            resent=partition in self._unsent,
            filled=self._backfilled,
            since_ms=self._since_ms(partition, source, clock_ms) if self._backfilled else None,
            topic_id=source.topic_id,
            epoch=source.epoch,
            missed=source.missed_until(clock_ms + self._clock.most_ms),
            siblings=siblings,
            covered_before=self._covered.get(partition),
        )

    def _since_ms(self, partition: int, source: SourceProgress, clock_ms: int) -> int | None:
        """The instant up to which this owner may not have folded all events (`Frame.since_ms`)."""
        if source.covered == 0 or (partition in self._unsent and source.sent_covered == 0):
            return None  # the log from its start
        known = source.watermark_ms
        if partition not in self._unread_until_ms:
            return known
        bound = self._unread_until_ms[partition]
        if bound is None:
            # Events are at most this far ahead of their timestamps, and those are not in the
            # future.
            bound = self._clock.step_end_ms(clock_ms) + self._clock.most_ms
            self._unread_until_ms[partition] = bound
        return bound if known is None else max(bound, known)


def _encoded(frames: Iterable[tuple[int, Frame]]) -> Iterator[tuple[int, bytes]]:
    for target, frame in frames:
        for message in encode(frame):
            yield target, message
