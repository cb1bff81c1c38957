"""The reports of the two stages while they run, for metrics and the status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from agent.core.fold.folder import FoldResult
from agent.core.model.results import Emitted, Transition


class IngestProgress(Protocol):
    """The receiver of stage 1's reports; all calls are on the event loop."""

    def folded(self, topic: str, added: FoldResult, seconds: float) -> None:
        """A batch was folded."""

    def flushed(self, frames: int, seconds: float) -> None:
        """Frames were acknowledged, so long after their flush began."""

    def unacknowledged(self, seconds: float) -> None:
        """Frames sent so long ago are not acknowledged yet."""

    def watermark(self, topic: str, partition: int, watermark_ms: int | None) -> None:
        """The watermark of a source partition."""

    def lag(self, topic: str, partition: int, records: int) -> None:
        """How many records of a source partition are not read yet."""

    def missed(self, topic: str, partition: int, records: int) -> None:
        """So many records of a source partition were deleted before they were read; usually 0."""

    def shortened(self, topic: str, series: Mapping[str, int]) -> None:
        """How many series have had a dimension value that was too long, by KPI of a topic."""

    def source_topics(self, topics: Sequence[str], missing: Sequence[str]) -> None:
        """The source topics that exist, and those and patterns for which there is none (yet)."""

    def schemas(self, reason: str | None) -> None:
        """Why the schemas of records can't be fetched; None: they can."""

    def lookups(self, unreadable: Mapping[str, int]) -> None:
        """How many record keys of each lookup topic have no row that can be read, by lookup."""

    def assigned(self, partitions: int, paused: Sequence[tuple[str, int]] = ()) -> None:
        """The group has assigned so many source partitions to this worker that it reads. `paused`
        (topic, partition): those that it does not read, as another version of the agent committed
        last."""

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
        """So many frames of a state partition were deleted before they were merged; usually 0."""

    def frames_lag(self, partition: int, frames: int) -> None:
        """About how many frames of a state partition are not merged yet."""

    def merging(self, frames: int, seconds: float) -> None:
        """So many frames wait or are not published, and no round was done for so long; 0 s: none
        do."""

    def frame_failed(self, partition: int, offset: int, error: Exception) -> None:
        """A frame could not be applied and was skipped: a bug of the agent."""

    def round(self, frames: int, rows: int, published: Sequence[Emitted], seconds: float) -> None:
        """A round is done: frames applied, rows written, results published, and its duration."""

    def backfill(self, kpi: str, records: int, ratio: float) -> None:
        """The progress of a KPI's backfill: records read, and the ratio of all; 1: it is
        complete."""
