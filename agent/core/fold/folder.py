"""Stage 1: records of one topic in, frames out. Every verdict is a pure function of the log.

`Folder.decode` makes a batch a table for each contract. `Folder.take` judges each record against
the watermark just before it (late, duplicate) and folds what remains into partials by (source
partition, slice, dimensions).
`Folder.flush` says what changed as frames; `Folder.commits` what may be committed once those
frames are acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.decode.batch import Batch, Decoded
from agent.core.decode.decoder import Decoder
from agent.core.fold.checkpoint import NO_TIME_MS, Commit, Resume, SourceProgress
from agent.core.fold.dedup import IdMemory
from agent.core.fold.field_counts import FieldCounts, count_fields
from agent.core.fold.kpi_fold import KpiFold, sharing
from agent.core.frame import Block, Frame, encode
from agent.core.model.plan import AbsenceRule, Contract, Kpi, Plan
from agent.core.model.results import Outcome, Reason, Reject

__all__ = ["Added", "Commit", "Folder", "Resume"]

RANKS = (
    Outcome.IGNORED,
    Outcome.EMPTY,
    Outcome.FOLDED,
    Outcome.DUPLICATE,
    Outcome.LATE,
    Outcome.REJECTED,
)
"""A record that several contracts read has the outcome of the highest rank among theirs."""
RANK = {outcome: np.int8(rank) for rank, outcome in enumerate(RANKS)}

Reader = Callable[[str, pl.DataFrame], None]
"""Shown the name of a contract and rows of it that are folded, for who asks for the events."""

CountKey = tuple[Outcome, str | None, Reason | None]


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a batch. `rejects` and `late` name rows of the batch, whose original bytes go
    to the dead-letter and the late topic. The counts add up to the records not told before.
    `fields`: by contract, what had no value in its events."""

    counts: Counter[CountKey]
    rejects: tuple[tuple[int, Reject], ...]
    late: tuple[tuple[int, str], ...]
    fields: Mapping[str, FieldCounts] = dataclass_field(default_factory=dict)


@dataclass(slots=True)
class _Verdicts:
    """One outcome per row of a batch: its rank, and which contract gave it (-1: none)."""

    rank: npt.NDArray[np.int8]
    contract: npt.NDArray[np.int16]

    def give(self, rows: Ints, outcome: Outcome, contract: int) -> None:
        """Give rows an outcome where it outranks the one they have."""
        wins = rows[self.rank[rows] < RANK[outcome]]
        self.rank[wins] = RANK[outcome]
        self.contract[wins] = contract


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one contract from one source partition; `looked` are the places of those that
    are not late, `before` is the watermark before each row."""

    contract: Contract
    partition: int
    offsets: Ints
    horizons: Ints
    before: Ints
    looked: Ints


class Folder:
    """Stage 1 of one source topic, over the partitions assigned here.

    Not thread-safe but for `decode`: one call at a time, from any thread.
    """

    def __init__(
        self, plan: Plan, topic: str, state_partitions: int, only: Collection[str] | None = None
    ) -> None:
        """`only`: the KPIs to fold, None for all. Verdicts are those of all KPIs together."""
        self.topic = topic
        self.readers: tuple[Reader, ...] = ()
        self.sources: dict[int, SourceProgress] = {}
        self._contracts = plan.contracts_of(topic)
        self._decoder = Decoder(self._contracts)
        self._state_partitions = state_partitions
        self._kpis = {c.name: plan.kpis_of(c.name) for c in self._contracts}
        self._steps = {name: _slice_steps(kpis) for name, kpis in self._kpis.items()}
        watched = {
            rule.kpi
            for rule in plan.rules.values()
            if isinstance(rule, AbsenceRule) and rule.per == "kpi"
        }
        self._folds = [
            KpiFold(kpis, contract, watched, state_partitions)
            for contract in self._contracts
            for kpis in sharing(
                k for k in self._kpis[contract.name] if only is None or k.name in only
            )
        ]
        self._filled = {
            kpi.name: kpi.fingerprint
            for kpis in self._kpis.values()
            for kpi in kpis
            if kpi.backfill_ms is not None
        }
        self._max_future_ms = max((c.max_future_ms for c in self._contracts), default=0)
        # Until when (ms) events may lie before a reading that began with nothing known; None until
        # the clock is known.
        self._unseen: dict[int, int | None] = {}
        self._ids: dict[tuple[str, int], IdMemory] = {}
        self._fresh: set[int] = set()
        self._flushed: dict[int, Commit] = {}

    def assign(self, partition: int, resume: Resume | None) -> None:
        """Take on a partition; reading must begin at `resume.offset` (None: at the log's start)."""
        self.revoke(partition)
        begin = resume or Resume(0, 0, None, None)
        self.sources[partition] = SourceProgress.resumed(begin)
        self._fresh.add(partition)
        if begin.offset > 0 and begin.floor_ms is None:
            self._unseen[partition] = None

    def revoke(self, partition: int) -> None:
        """Forget everything about a partition."""
        self.sources.pop(partition, None)
        self._flushed.pop(partition, None)
        self._fresh.discard(partition)
        self._unseen.pop(partition, None)
        for key in [k for k in self._ids if k[1] == partition]:
            del self._ids[key]
        for fold in self._folds:
            fold.revoke(partition)

    def decode(self, batch: Batch) -> Decoded:
        """Decode one batch, for `take`. It depends on nothing before: several threads may."""
        return self._decoder.decode(batch)

    def add(self, batch: Batch) -> Added:
        """Decode, judge and fold one batch."""
        return self.take(batch, self.decode(batch))

    def take(self, batch: Batch, decoded: Decoded) -> Added:
        """Judge and fold one batch, whose partitions are all assigned here and whose offsets go on
        from what was taken before."""
        if not len(batch.values):
            return Added(Counter(), (), ())
        before = self._advance(batch, decoded)
        verdicts = _Verdicts(
            np.zeros(len(batch.values), np.int8), np.full(len(batch.values), -1, np.int16)
        )
        verdicts.give(np.asarray(decoded.empty, np.int64), Outcome.EMPTY, -1)
        kept = {
            contract.name: self._judge(contract, index, table, before, verdicts)
            for index, contract in enumerate(self._contracts)
            if (table := decoded.tables.get(contract.name)) is not None and table.height
        }
        for reader in self.readers:
            for name, table in kept.items():
                reader(name, table)
        self._fold(kept)
        return self._account(batch, decoded, verdicts)

    def flush(
        self, clock_ms: int, quiet_ms: Mapping[int, int | None], partitions: int
    ) -> list[tuple[int, bytes]]:
        """What changed since the last flush, as (state partition, frame bytes) in sending order.

        Every source partition gives at least one frame to every state partition, save one that is
        still reading again what it told before a restart. `quiet_ms` is, by source partition, for
        how long the log has been known to bring nothing (None: records come), `partitions` how
        many partitions the topic has.
        """
        telling = {p: s for p, s in self.sources.items() if not s.rebuilding}
        blocks: dict[tuple[int, int], list[Block]] = {}
        active: dict[int, dict[str, list[int]]] = {p: {} for p in telling}
        for fold in self._folds:
            for place, block in fold.changed(telling, self.sources, self._fresh):
                blocks.setdefault(place, []).append(block)
                if block.kpi in fold.watched:
                    slices = active[place[0]].setdefault(block.kpi, [])
                    if block.start_ms not in slices:
                        slices.append(block.start_ms)
        messages = [
            (target, message)
            for p, source in sorted(telling.items())
            for target in range(self._state_partitions)
            for message in encode(
                Frame(
                    self.topic,
                    p,
                    partitions,
                    source.covered,
                    source.watermark_ms,
                    quiet_ms.get(p),
                    clock_ms,
                    True,
                    active[p],
                    blocks.get((p, target), []),
                    p in self._fresh,
                    self._filled,
                    self._since_ms(p, source, clock_ms) if self._filled else None,
                    source.topic_id,
                    source.epoch,
                    source.missed_until(clock_ms + self._max_future_ms),
                )
            )
        ]
        self._fresh.difference_update(telling)
        self._settle(telling)
        return messages

    def _since_ms(self, partition: int, source: SourceProgress, clock_ms: int) -> int | None:
        """Up to which instant a frame that is made now is not all there is: see `Frame`."""
        if source.covered == 0 or (partition in self._fresh and source.told == 0):
            return None  # the log from its start
        known = source.watermark_ms
        if partition not in self._unseen:
            return known
        bound = self._unseen[partition]
        if bound is None:
            # No record is further ahead of its timestamp, and none was written in the future.
            bound = self._unseen[partition] = clock_ms + self._max_future_ms
        return bound if known is None else max(bound, known)

    def commits(self) -> dict[int, Commit]:
        """What may be committed, by partition, once the last flush's frames are acknowledged."""
        return dict(self._flushed)

    def _settle(self, telling: Mapping[int, SourceProgress]) -> None:
        for p, source in self.sources.items():
            for contract in self._contracts:
                source.forget_finished(contract.name, contract.lateness_ms)
                if (memory := self._ids.get((contract.name, p))) is not None:
                    memory.forget_finished(source.watermark_ms)
        self._flushed = {p: source.resume().commit() for p, source in telling.items()}

    def _advance(self, batch: Batch, decoded: Decoded) -> Ints:
        """Move the watermarks over the batch; the watermark before each row."""
        times = np.full(len(batch.values), NO_TIME_MS, np.int64)
        for table in decoded.tables.values():
            rows = table["_row"].to_numpy()
            times[rows] = np.maximum(times[rows], table["_time"].to_numpy())
        before = np.empty(len(batch.values), np.int64)
        for partition, start, stop in _segments(batch.partitions):
            source = self.sources[partition]
            before[start:stop] = source.advance(times[start:stop], int(batch.offsets[stop - 1]) + 1)
            # What is missing was written before the first record that is left.
            source.bound_missed(int(batch.timestamps[start]) + self._max_future_ms)
        return before

    def _judge(
        self,
        contract: Contract,
        index: int,
        table: pl.DataFrame,
        before: Ints,
        verdicts: _Verdicts,
    ) -> pl.DataFrame:
        """The rows of one contract's table that are neither late nor repeats."""
        rows = table["_row"].to_numpy().astype(np.int64)
        times = table["_time"].to_numpy()
        earlier = before[rows]
        sealed = times - times % contract.grain_ms + contract.grain_ms + contract.lateness_ms
        keep = sealed > earlier
        verdicts.give(rows[~keep], Outcome.LATE, index)
        horizons = _horizons(times, self._steps[contract.name])
        for partition, start, stop in _segments(table["_partition"].to_numpy()):
            place = slice(start, stop)
            part = _Part(
                contract,
                partition,
                table["_offset"].to_numpy()[place],
                horizons[place],
                earlier[place],
                np.flatnonzero(keep[place]),
            )
            self._need(part)
            if contract.id_path is not None:
                repeated = start + self._repeats(part, table["_id"][start:stop])
                keep[repeated] = False
                verdicts.give(rows[repeated], Outcome.DUPLICATE, index)
        verdicts.give(rows[keep], Outcome.FOLDED, index)
        return table if keep.all() else table.filter(pl.Series(keep))

    def _need(self, part: _Part) -> None:
        """Note where a restart would have to begin for the sake of these rows."""
        source = self.sources[part.partition]
        for row in part.looked[_first_of_each(part.horizons[part.looked])].tolist():
            source.need(
                part.contract.name,
                int(part.horizons[row]),
                int(part.offsets[row]),
                int(part.before[row]),
            )

    def _repeats(self, part: _Part, ids: pl.Series) -> Ints:
        """Which of the rows are repeats."""
        name, partition = part.contract.name, part.partition
        memory = self._ids.setdefault((name, partition), IdMemory(part.contract.lateness_ms))
        looked = part.looked
        some = ids if len(looked) == len(ids) else ids[looked]
        found = memory.repeats(some, part.horizons[looked], part.before[looked])
        source = self.sources[partition]
        for row, horizon in found.leans:
            needed = source.needs.get(name, {}).get(horizon)
            if needed is not None:
                source.need(name, int(part.horizons[looked[row]]), *needed)
        return looked[found.mask]

    def _fold(self, kept: Mapping[str, pl.DataFrame]) -> None:
        folds = [f for f in self._folds if f.contract in kept and kept[f.contract].height]
        frames = [f.fold(kept[f.contract].lazy()) for f in folds]
        for fold, folded in zip(folds, pl.collect_all(frames, engine="in-memory"), strict=True):
            fold.take(folded)

    def _account(self, batch: Batch, decoded: Decoded, verdicts: _Verdicts) -> Added:
        """One outcome per record; records told before a restart are passed over in silence."""
        told = np.zeros(len(batch.values), np.bool_)
        for partition, start, stop in _segments(batch.partitions):
            told[start:stop] = batch.offsets[start:stop] < self.sources[partition].told
        rejects: dict[int, Reject] = {}
        for row, reject in decoded.rejects:
            rejects.setdefault(row, reject)
        verdicts.give(np.fromiter(rejects, np.int64, len(rejects)), Outcome.REJECTED, -1)
        counts: Counter[CountKey] = Counter()
        rejected = {row: r for row, r in sorted(rejects.items()) if not told[row]}
        for reject in rejected.values():
            counts[(Outcome.REJECTED, reject.contract, reject.reason)] += 1
        others = ~told & (verdicts.rank != RANK[Outcome.REJECTED])
        pairs = verdicts.rank[others].astype(np.int64) * 65_536 + verdicts.contract[others]
        for pair, number in zip(*np.unique(pairs, return_counts=True), strict=True):
            rank, contract = divmod(int(pair) + 1, 65_536)
            name = self._contracts[contract - 1].name if contract else None
            counts[(RANKS[rank], name, None)] += int(number)
        late_rows = np.flatnonzero(~told & (verdicts.rank == RANK[Outcome.LATE]))
        late = tuple((int(row), self._contracts[verdicts.contract[row]].name) for row in late_rows)
        fields = {
            contract.name: count_fields(contract, table, decoded.wrong_types, told)
            for contract in self._contracts
            if contract.fields and (table := decoded.tables[contract.name]).height
        }
        return Added(counts, tuple(rejected.items()), late, fields)


def _segments(partitions: npt.NDArray[Any]) -> Iterator[tuple[int, int, int]]:
    """Runs of equal partitions as (partition, start, stop)."""
    if not len(partitions):
        return
    cuts = np.flatnonzero(np.diff(partitions)) + 1
    edges = [0, *cuts.tolist(), len(partitions)]
    for start, stop in pairwise(edges):
        yield int(partitions[start]), start, stop


def _first_of_each(values: Ints) -> Ints:
    """The places of the first of each different value; a run counts as different where others lie
    between, which is seldom in log order and does no harm."""
    if not len(values):
        return values
    changes = np.flatnonzero(np.diff(values)) + 1
    if len(changes) < len(values) // 8:
        return np.concatenate(([0], changes))
    return np.unique(values, return_index=True)[1]


def _slice_steps(kpis: tuple[Kpi, ...]) -> list[int]:
    """The different slices of a contract's KPIs, without those that divide another."""
    sizes = {kpi.slice_ms for kpi in kpis}
    return sorted(s for s in sizes if not any(o != s and o % s == 0 for o in sizes))


def _horizons(times_ms: Ints, steps_ms: list[int]) -> Ints:
    """The end of the last slice, over all KPIs, that each instant belongs to."""
    horizons = times_ms
    for step in steps_ms:
        horizons = np.maximum(horizons, times_ms - times_ms % step + step)
    return horizons
