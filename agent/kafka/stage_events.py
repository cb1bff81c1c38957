"""What the two stages report while they run; the exports' counters are filled from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from agent.core.fold.folder import FoldResult
from agent.core.model.results import Emitted, Transition


class IngestProgress(Protocol):
    """Receiver of stage 1's reports; all calls come on the event loop."""

    def folded(self, topic: str, added: FoldResult, seconds: float) -> None:
        """A batch was folded."""

    def flushed(self, frames: int, seconds: float) -> None:
        """Frames were acknowledged, so long after their flush began."""

    def unacknowledged(self, seconds: float) -> None:
        """Frames sent so long ago are not acknowledged yet."""

    def watermark(self, topic: str, partition: int, watermark_ms: int | None) -> None:
        """How far event time has got in a source partition."""

    def lag(self, topic: str, partition: int, records: int) -> None:
        """How many records of a source partition are not read yet."""

    def missed(self, topic: str, partition: int, records: int) -> None:
        """So many records of a source partition were gone before they were read; mostly 0."""

    def shortened(self, topic: str, series: Mapping[str, int]) -> None:
        """How many series have had a dimension value that was too long, by KPI of a topic."""

    def source_topics(self, topics: Sequence[str], missing: Sequence[str]) -> None:
        """The source topics that exist, and which do not (yet), or have none of their pattern."""

    def schemas(self, reason: str | None) -> None:
        """Why the schemas that records name are waited for; None: they are not."""

    def lookups(self, unreadable: Mapping[str, int]) -> None:
        """How many record keys of each lookup topic have no row that can be read, by lookup."""

    def assigned(self, partitions: int, paused: Sequence[tuple[str, int]] = ()) -> None:
        """The group has given this worker so many source partitions. `paused`, as (topic,
        partition), of them: another version of the agent committed last, and this one reads
        nothing."""

    def forget(self, topic: str, partition: int) -> None:
        """A source partition is not this worker's any more."""

    def forget_all(self) -> None:
        """The ingest has stopped."""


class MergeProgress(Protocol):
    """Receiver of stage 2's reports; all calls come on the event loop."""

    def held(self, partitions: frozenset[int] | None) -> None:
        """The state partitions held here and ready; None while the group rebalances."""

    def restored(self, alerts: Sequence[Transition]) -> None:
        """These alerts stand in the state partitions that are ready now."""

    def missed(self, topic: str, partition: int, records: int) -> None:
        """So many frames of a state partition were gone before they were merged; mostly 0."""

    def frames_lag(self, partition: int, frames: int) -> None:
        """About how many frames of a state partition are not merged yet."""

    def merging(self, frames: int, seconds: float) -> None:
        """For so long so many frames wait, or what they brought is not published; 0: none do."""

    def frame_failed(self, partition: int, offset: int, error: Exception) -> None:
        """A frame could not be applied and was passed over: a fault of ours."""

    def round(self, frames: int, rows: int, published: Sequence[Emitted], seconds: float) -> None:
        """So many frames were applied and rows written, and this was published, in so long."""

    def backfill(self, kpi: str, records: int, ratio: float) -> None:
        """So many records of a KPI's past are read, which is so much of it; 1: it has its past."""
