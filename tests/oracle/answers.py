"""What the agent says of a file: the very core that runs on Kafka, batch by batch."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.core.decode.batch import Batch
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, Outcome, WindowValue
from agent.core.pipeline import Pipeline
from agent.language.load import load

from .truth import Key

BATCH = 1_777
"""Divides nothing: batches begin and end anywhere in slices and windows."""


@dataclass(slots=True)
class Answers:
    """Every window that was published, closed or open at the end, and what became of the
    records."""

    plan: Plan
    published: list[WindowValue]
    outcomes: dict[Outcome, int]
    windows: dict[str, dict[Key, WindowValue]] = field(init=False)

    def __post_init__(self) -> None:
        self.windows = {kpi: {} for kpi in self.plan.kpis}
        for w in self.published:
            self.windows[w.kpi][w.dimensions, w.start_ms, w.end_ms] = w


def answered(rules: Path, file: Path, sources: int = 1, state_partitions: int = 1) -> Answers:
    """Run a file through the core, spread over so many sources and state partitions."""
    plan = load(rules)
    (topic,) = plan.topics
    pipeline = Pipeline(plan, {topic: sources}, state_partitions)
    lines = _lines(file)
    published: list[WindowValue] = []
    for first in range(0, len(lines), BATCH):
        pipeline.add(_batch(topic, lines[first : first + BATCH], first, sources))
        published += _windows(pipeline.flush())
    for source in range(sources):
        pipeline.end(topic, source)
    published += _windows(pipeline.finish())
    published += pipeline.open_windows()
    outcomes: Counter[Outcome] = Counter()
    for (outcome, _contract, _reason), count in pipeline.counts.items():
        outcomes[outcome] += count
    return Answers(plan, published, dict(outcomes))


def _windows(emitted: Emitted) -> list[WindowValue]:
    assert emitted.late == 0
    return list(emitted.windows)


def _lines(file: Path) -> list[bytes]:
    data = file.read_bytes()
    return (gzip.decompress(data) if file.suffix == ".gz" else data).splitlines()


def _batch(topic: str, lines: list[bytes], first: int, sources: int) -> Batch:
    """Records by (source, offset). The line number is the offset, with gaps, as in a topic that
    was compacted."""
    source = np.array([zlib.crc32(line) % sources for line in lines], np.int32)
    order = np.argsort(source, kind="stable")
    return Batch(
        topic=topic,
        values=[lines[i] for i in order],
        partitions=source[order],
        offsets=(first + order).astype(np.int64),
        timestamps=np.full(len(lines), 2_000_000_000_000, np.int64),
    )
