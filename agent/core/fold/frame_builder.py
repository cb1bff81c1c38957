"""Builds the frames of a flush from the partials that changed since the last one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from agent.core.fold.checkpoint import SourceProgress
from agent.core.fold.future_clock import FutureClock
from agent.core.fold.kpi_fold import KpiFold
from agent.core.frame import Block, Frame, encode
from agent.core.model.kpis import Kpi


class FrameBuilder:
    """Frames of one topic.

    A source's first frames here repeat what its last owner sent (`Frame.resent`): its partials are
    sent whole. `backfilled`: the KPIs whose past may be read beside the live flow.
    """

    def __init__(
        self, topic: str, state_partitions: int, backfilled: Iterable[Kpi], clock: FutureClock
    ) -> None:
        self._topic = topic
        self._state_partitions = state_partitions
        self._backfilled = {kpi.name: kpi.fingerprint for kpi in backfilled}
        self._clock = clock
        self._fresh: set[int] = set()  # sources that no frame was made of yet
        # Until when (ms) events may lie before a reading that began with nothing known; None until
        # the clock is known.
        self._unread_until_ms: dict[int, int | None] = {}

    def assign(self, partition: int, has_unknown_past: bool) -> None:
        """Begin with a source partition; `has_unknown_past`: not at the log's start, and nothing is
        known of what lies before."""
        self._fresh.add(partition)
        if has_unknown_past:
            self._unread_until_ms[partition] = None

    def revoke(self, partition: int) -> None:
        """Forget a source partition."""
        self._fresh.discard(partition)
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
            for (partition, target), block in fold.drain_changed(ready, sources, self._fresh):
                blocks.setdefault((partition, target), []).append(block)
                if block.kpi in fold.watched:
                    slices = active[partition].setdefault(block.kpi, [])
                    if block.start_ms not in slices[-1:]:  # they come in order
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
        self._fresh.difference_update(ready)
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
            self._topic,
            partition,
            partitions,
            source.covered,
            source.watermark_ms,
            idle_ms,
            clock_ms,
            True,
            active,
            blocks,
            partition in self._fresh,
            self._backfilled,
            self._since_ms(partition, source, clock_ms) if self._backfilled else None,
            source.topic_id,
            source.epoch,
            source.missed_until(clock_ms + self._clock.most_ms),
            siblings,
        )

    def _since_ms(self, partition: int, source: SourceProgress, clock_ms: int) -> int | None:
        """Up to which instant a frame that is made now is not all there is: see `Frame`."""
        if source.covered == 0 or (partition in self._fresh and source.sent_covered == 0):
            return None  # the log from its start
        known = source.watermark_ms
        if partition not in self._unread_until_ms:
            return known
        bound = self._unread_until_ms[partition]
        if bound is None:
            # No record is further ahead of its timestamp, and none was written in the future.
            bound = self._clock.step_end_ms(clock_ms) + self._clock.most_ms
            self._unread_until_ms[partition] = bound
        return bound if known is None else max(bound, known)


def _encoded(frames: Iterable[tuple[int, Frame]]) -> Iterator[tuple[int, bytes]]:
    for target, frame in frames:
        for message in encode(frame):
            yield target, message
