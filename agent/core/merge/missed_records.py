"""Which windows may lack records that were gone before they were read.

Stage 1 notices gaps in a source's log, and each of its frames says in which span of event time the
records lie that were not read. Where frames themselves were gone before they were merged, what they
covered is missing up to the clock of the next frame of their source. A window that touches such a
span may be wrong: it is published, and marked as incomplete.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.frame import Frame

SPANS_KEPT = 100
"""Gaps of a source that are remembered: more of them lie in windows that are closed long since."""


class MissedRecords:
    """The spans of one topic. `lateness_ms`: records may be so much older than their watermark."""

    def __init__(self, lateness_ms: int) -> None:
        self._lateness_ms = lateness_ms
        # By source partition: by where the span begins (ms; None: the log's beginning), its end.
        self._spans: dict[int, dict[int | None, int]] = {}
        self._lost_before: set[int] | None = None  # sources that sent frames since some were lost

    def note(self, frame: Frame) -> None:
        """Note what a frame says of its source. The end of a span may become known later."""
        if self._lost_before is not None and frame.partition not in self._lost_before:
            self._lost_before.add(frame.partition)
            self._spans.setdefault(frame.partition, {})[None] = frame.clock_ms
        if frame.missed is None:
            return
        from_ms, until_ms = frame.missed
        spans = self._spans.setdefault(frame.partition, {})
        spans[from_ms] = until_ms
        if len(spans) > SPANS_KEPT:
            del spans[next(iter(spans))]

    def note_lost_frames(self) -> None:
        """Note that frames were gone before they were merged."""
        self._lost_before = set()

    def touch(self, start_ms: int, end_ms: int) -> bool:
        """Whether records of a window may be missing."""
        return bool(self._spans) and any(
            start_ms <= until_ms and (from_ms is None or from_ms - self._lateness_ms < end_ms)
            for spans in self._spans.values()
            for from_ms, until_ms in spans.items()
        )


NONE_MISSED = MissedRecords(0)
"""Of what is read without gaps; no frame is noted in it."""


def any_touches(missed: Iterable[MissedRecords], start_ms: int, end_ms: int) -> bool:
    """Whether records of a window may be missing in any of some topics."""
    return any(one.touch(start_ms, end_ms) for one in missed)
