"""Joins the events of one topic with their lookups, as of the positions of `lookup_steps`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.decode.batch import Batch
from agent.core.fold.checkpoint import SourceProgress
from agent.core.fold.lookup_join import LookupJoin
from agent.core.fold.lookup_topics import LookupTopics, Position
from agent.core.fold.runs import segments
from agent.core.model.events import Contract
from agent.core.model.lookups import Lookup


@dataclass(frozen=True, slots=True)
class AsOf:
    """The positions of the lookup topics as of which the records of a batch are joined, and the
    index of the position of each record."""

    positions: Sequence[Position]
    of_records: Ints


class LookupJoins:
    """The lookups of a topic's contracts. `topics`: the lookup topics among them."""

    def __init__(
        self, contracts: Sequence[Contract], lookups: Mapping[str, Lookup], topics: LookupTopics
    ) -> None:
        self._read = topics
        self._joins = {c.name: LookupJoin(c, lookups, topics) for c in contracts}
        self.topics = topics.topics_of(f.lookup for c in contracts for f in c.lookups)

    def read(self, batch: Batch, sources: Mapping[int, SourceProgress], span_ms: int) -> AsOf:
        """Note in the steps of each source as of which position its records are joined: as of now,
        except for those whose steps are fixed. `span_ms`: how far a commit can be back in event
        time."""
        of_records = np.zeros(len(batch.values), np.int64)
        if not self.topics:
            return AsOf([], of_records)
        now = self._read.position_of(self.topics)
        positions: list[Position] = []
        for partition, start, stop in segments(batch.partitions):
            source, offsets = sources[partition], batch.offsets[start:stop]
            source.lookups.read(
                int(offsets[0]), int(offsets[-1]) + 1, now, source.watermark_ms, span_ms
            )
            for number, position in enumerate(p for _, p in source.lookups.steps):
                if position not in positions:
                    positions.append(position)
                known = positions.index(position)
                of_records[start:stop][source.lookups.at(offsets) == number] = known
        return AsOf(positions, of_records)

    def join(self, contract: str, table: pl.DataFrame, as_of: AsOf) -> pl.DataFrame:
        """A contract's table with the columns of its lookups (`LookupJoin.join`)."""
        of_rows = as_of.of_records[table["_row"].to_numpy()]
        return self._joins[contract].join(table, as_of.positions, of_rows)
