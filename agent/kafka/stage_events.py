"""The reports of the two stages while they run, for metrics and the status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from agent.core.fold.folder import FoldResult
from agent.core.model.results import Emitted, Transition


class IngestProgress(Protocol):
    """The receiver of stage 1's reports; all calls are on the event loop."""

    def folded(self, topic: str, added: FoldResult, seconds: float) -> None:
        """A batch was folded, which took `seconds`."""

    def flushed(self, frames: int, seconds: float) -> None:
        """All frames of a flush were acknowledged, `seconds` after it began."""

    def unacknowledged(self, seconds: float) -> None:
        """Frames are not acknowledged yet, `seconds` after their flush began."""

    def watermark(self, topic: str, partition: int, watermark_ms: int | None) -> None:
        """The watermark of a source partition."""

    def lag(self, topic: str, partition: int, records: int) -> None:
        """The number of records of a source partition that are not read yet."""

    def missed(self, topic: str, partition: int, records: int) -> None:
        """The number of records of a source partition that were deleted before they were read."""

    def shortened(self, topic: str, series: Mapping[str, int]) -> None:
        """By KPI of a topic, the number of series that had a dimension value that was too long."""

    def source_topics(self, topics: Sequence[str], missing: Sequence[str]) -> None:
        """The source topics that exist, and the declared topics and patterns that have none."""

    def schemas(self, reason: str | None) -> None:
        """Why the schemas of records can't be fetched; None: they can."""

    def lookups(self, unreadable: Mapping[str, int]) -> None:
        """By lookup, the number of record keys of its topic without a readable row."""

    def assigned(self, partitions: int, paused: Sequence[tuple[str, int]] = ()) -> None:
        """The number of assigned source partitions that this worker reads. `paused` (topic,
        partition): those that it does not read, because another version of the agent committed
        them last."""

    def forget(self, topic: str, partition: int) -> None:
        """A source partition was revoked."""

    def forget_all(self) -> None:
        """The ingest has stopped."""


class MergeProgress(Protocol):
    """The receiver of stage 2's reports; all calls are on the event loop."""

    def held(self, partitions: frozenset[int] | None) -> None:
        """The state partitions held here and ready; None while the group rebalances."""

    def restored(self, alerts: Sequence[Transition]) -> None:
        """The active alerts of the state partitions that are ready now."""

    def missed(self, topic: str, partition: int, records: int) -> None:
        """The number of frames of a state partition that were deleted before they were merged."""

    def frames_lag(self, partition: int, frames: int) -> None:
        """The approximate number of frames of a state partition that are not merged yet."""

    def merging(self, frames: int, seconds: float) -> None:
        """The number of frames whose round is not done, and the time since the last round; 0 s:
        no frame waits."""

    def frame_failed(self, partition: int, offset: int, error: Exception) -> None:
        """A frame could not be applied and was skipped: a bug of the agent."""

    def round(self, frames: int, rows: int, published: Sequence[Emitted], seconds: float) -> None:
        """A round is done: frames applied, rows written, results published, and its duration."""

    def backfill(self, kpi: str, records: int, ratio: float) -> None:
        """The progress of a KPI's backfill: records read, and the ratio of all; 1: it is
        complete."""
