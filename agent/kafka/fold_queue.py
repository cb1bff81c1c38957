"""Decodes and folds batches, in the order of the log.

    fetched ─▶ decode (two threads) ─▶ fold (one thread) ─▶ rejects and late records sent
                                         │
                                         └─ behind the folds that it covers: frames of a flush

Decoding needs only the batch, so the next one is decoded while one is folded. Everything that uses
the folders is a task in one queue, and awaits the task before it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from agent.core.decode.batch import Batch, Decoded
from agent.core.fold.folder import Folder
from agent.kafka.fetched import Fetched, make_batch, record_of
from agent.kafka.lookup_reader import LookupReader
from agent.kafka.schema_registry import SchemaRegistry
from agent.kafka.side_outputs import Sent, SideOutputs
from agent.kafka.stage_events import IngestProgress


@dataclass(frozen=True, slots=True)
class IdleSnapshot:
    """The state of the consumer when all records that it has read are in the queue: the time (ms),
    and by topic and partition how long it has been idle (None: it is not, or not known)."""

    clock_ms: int
    idle_ms: Mapping[str, Mapping[int, int | None]]


@dataclass(frozen=True, slots=True)
class Flush:
    """Frames, and the offset up to which they cover each source partition; the commits to make
    before the frames are sent (`early_commits`) and once they are acknowledged (`commits`); and the
    dead letters and late records that were sent for the covered records."""

    frames: Sequence[tuple[int, bytes]]
    covered: Mapping[TopicPartition, int]
    early_commits: Mapping[TopicPartition, OffsetAndMetadata]
    commits: Mapping[TopicPartition, OffsetAndMetadata]
    sent: Sequence[Sent]


class FoldQueue:
    """Decodes and folds fetched records, and makes frames of them. It owns the folders, one for
    each source topic; new ones are added as topics appear."""

    def __init__(
        self,
        folders: dict[str, Folder],
        side_outputs: SideOutputs,
        progress: IngestProgress,
        wall_ms: Callable[[], int],
        registry: SchemaRegistry,
        lookups: LookupReader,
    ) -> None:
        self.folders = folders
        self._registry = registry
        self._lookups = lookups
        self.unflushed = 0  # records added since the last flush
        self._side_outputs = side_outputs
        self._progress = progress
        self._wall_ms = wall_ms
        self._decoding = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self._folding = ThreadPoolExecutor(1, thread_name_prefix="fold")
        self._last: asyncio.Task[Any] | None = None  # of the queue
        self._folds: deque[asyncio.Task[None]] = deque()
        self._newest = 0  # of the folds belong to the last fetch
        self._sent: list[Sent] = []  # of the records folded since the last flush

    def is_assigned(self, tp: TopicPartition) -> bool:
        """Whether a partition is read here, from an offset that is known already."""
        return tp.topic in self.folders and tp.partition in self.folders[tp.topic].sources

    def partitions(self) -> list[TopicPartition]:
        """All source partitions that are read here."""
        return [TopicPartition(t, p) for t, folder in self.folders.items() for p in folder.sources]

    async def add(self, fetched: Mapping[TopicPartition, Fetched]) -> None:
        """Queue fetched records, one batch for each topic; waits until the fetch before the last is
        folded."""
        while len(self._folds) > (self._newest if fetched else 0):
            await self._folds.popleft()
        by_topic: dict[str, list[tuple[int, Fetched]]] = {}
        for tp, records in fetched.items():
            by_topic.setdefault(tp.topic, []).append((tp.partition, records))
        clock_ms = self._wall_ms()
        for topic, parts in by_topic.items():
            parts.sort(key=itemgetter(0))
            batch = make_batch(topic, parts)
            self.unflushed += len(batch.values)
            decoded = asyncio.create_task(self._decode(batch))
            fold = self._fold(parts, batch, decoded, clock_ms, self._last)
            self._last = task = asyncio.create_task(fold)
            self._folds.append(task)
        self._newest = len(by_topic)

    def flush(
        self, snapshot: IdleSnapshot, counts: Awaitable[Mapping[str, int]]
    ) -> asyncio.Task[Flush]:
        """Queue a flush of all added records. `counts`: the number of partitions of each source
        topic."""
        flush = asyncio.create_task(self._make_frames(snapshot, counts, self._last))
        self._last, self.unflushed = flush, 0
        return flush

    def flushed(self, flush: asyncio.Task[Flush]) -> None:
        """Drop a flush that was awaited, with its frames."""
        if self._last is flush:
            self._last = None

    async def drain(self) -> None:
        """Wait until nothing in the queue uses the folders."""
        if self._last is not None:
            await self._last

    def close(self) -> None:
        """Cancel all tasks, and end the threads."""
        for task in (*self._folds, self._last):
            if task is not None:
                task.cancel()
        self._registry.close()
        self._decoding.shutdown(wait=True, cancel_futures=True)
        self._folding.shutdown(wait=True, cancel_futures=True)

    async def _decode(self, batch: Batch) -> Decoded:
        """Decode a batch, once the schemas of its records are known, and its lookup topics are read
        at least as far as they went when it was fetched."""
        folder = self.folders[batch.topic]
        batch = await self._registry.with_schemas(batch)
        await self._lookups.catch_up(folder.looked_up)
        decode = folder.decode
        return await asyncio.get_running_loop().run_in_executor(self._decoding, decode, batch)

    async def _fold(
        self,
        parts: Sequence[tuple[int, Fetched]],
        batch: Batch,
        decoding: asyncio.Task[Decoded],
        clock_ms: int,
        before: asyncio.Task[Any] | None,
    ) -> None:
        """Fold a batch after the task before it; count its outcomes, send rejected and late
        records."""
        started = time.monotonic()
        decoded = await decoding
        if before is not None:
            await before
        fold = self.folders[batch.topic].fold
        loop = asyncio.get_running_loop()
        added = await loop.run_in_executor(self._folding, fold, batch, decoded, clock_ms)
        self._progress.folded(batch.topic, added, time.monotonic() - started)
        for row, reject in added.rejects:
            letter = self._side_outputs.dead_letter(
                record_of(batch.topic, parts, row),
                reject.reason.value,
                reject.detail,
                reject.contract,
            )
            self._sent.append(await letter)
        for row, contract in added.late:
            record = record_of(batch.topic, parts, row)
            self._sent.append(await self._side_outputs.late(record, contract))

    async def _make_frames(
        self,
        snapshot: IdleSnapshot,
        counts: Awaitable[Mapping[str, int]],
        before: asyncio.Task[Any] | None,
    ) -> Flush:
        """Make frames of all records that were added before, and of no later ones."""
        partitions = await counts
        if before is not None:
            await before
        sent, self._sent = self._sent, []
        frames: list[tuple[int, bytes]] = []
        covered: dict[TopicPartition, int] = {}
        early_commits: dict[TopicPartition, OffsetAndMetadata] = {}
        commits: dict[TopicPartition, OffsetAndMetadata] = {}
        loop = asyncio.get_running_loop()
        for topic, folder in list(self.folders.items()):
            if not folder.sources:
                continue
            count = max(partitions.get(topic, 0), len(folder.sources))
            flush = partial(
                folder.flush, snapshot.clock_ms, snapshot.idle_ms[topic], count, partitions
            )
            frames += await loop.run_in_executor(self._folding, flush)
            for of_topic, of_all in (
                (folder.early_commits(), early_commits),
                (folder.commits(), commits),
            ):
                for partition, commit in of_topic.items():
                    tp = TopicPartition(topic, partition)
                    of_all[tp] = OffsetAndMetadata(commit.offset, commit.metadata)
            for partition, source in folder.sources.items():
                covered[TopicPartition(topic, partition)] = max(source.covered, source.sent_covered)
                self._progress.watermark(topic, partition, source.watermark_ms)
            self._progress.shortened(topic, folder.shortened())
        return Flush(frames, covered, early_commits, commits, sent)
