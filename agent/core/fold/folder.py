"""Stage 1: records of one topic in, frames out. Every verdict is a pure function of the log.

    batch ─ decode ─▶ a table for each contract
          ─ fold ───▶ verdicts; partials by (source partition, slice, series)
          ─ flush ──▶ frames with the partials that changed, and commits

A source partition is assigned with `assign` and released with `revoke`. In between, it is in one of
two states. *Rebuilding*: after a restart, records from the committed offset up to the covered
offset get the same verdicts as before; nothing is sent or counted. *Live*: all later records.

A record's verdict, in this order:

1. *rejected*, if it does not fit its contract, or if its event time is more than `max_future` after
   the record's timestamp or the agent's clock. It moves no watermark, and its id is not kept.
2. *folded*, if it counts in at least one window: a window of a KPI that contains its time, is open
   (`agent.core.fold.lateness`), and has no event with its id yet (`agent.core.fold.dedup`).
3. *duplicate*, if only its id keeps it from counting.
4. *late*, otherwise: all its windows are closed.

A verdict depends only on the partition's log before the record, not on batch boundaries, on the
worker that reads it, or on other KPIs. The agent's clock is not in the log, so each commit contains
which clock was used for which offsets (`agent.core.fold.checkpoint`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.decode.batch import Batch, Decoded
from agent.core.decode.decoder import Decoder
from agent.core.fold.checkpoint import NO_TIME_MS, Commit, Resume, SourceProgress
from agent.core.fold.contract_verdicts import ContractVerdicts
from agent.core.fold.field_counts import casts_of, count_fields
from agent.core.fold.frame_builder import FrameBuilder
from agent.core.fold.future_clock import FutureClock
from agent.core.fold.kpi_fold import KpiFold, RowsToFold, group_kpis
from agent.core.fold.lateness import Bools
from agent.core.fold.lookup_join import LookupJoins
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.fold.outcomes import CountKey, FoldResult, Outcomes
from agent.core.fold.repeated_hour import settle_repeated_hours
from agent.core.fold.runs import filter_rows, segments
from agent.core.model.events import Contract
from agent.core.model.plan import Plan
from agent.core.model.results import Outcome
from agent.core.model.rules import AbsenceRule

__all__ = ["Commit", "CountKey", "FoldResult", "Folder", "Resume", "RowObserver"]

RowObserver = Callable[[str, pl.DataFrame], None]
"""Called with the name of a contract and its folded rows, to observe the events themselves."""

NO_TOPICS: Mapping[str, int] = {}


class Folder:
    """Stage 1 of one source topic, over the partitions assigned here.

    Not thread-safe, except for `decode`: one call at a time, from any thread.
    """

    def __init__(
        self,
        plan: Plan,
        topic: str,
        state_partitions: int,
        only: Collection[str] | None = None,
        lookups: LookupTopics | None = None,
    ) -> None:
        """`only`: the KPIs to fold, None for all. Outcomes are always those of all KPIs.
        `lookups`: the tables of the lookup topics; None: empty ones."""
        self.topic = topic
        self.sources: dict[int, SourceProgress] = {}
        contracts = plan.contracts_of(topic)
        kpis = {c.name: plan.kpis_of(c.name) for c in contracts}
        watched = {
            rule.kpi
            for rule in plan.rules.values()
            if isinstance(rule, AbsenceRule) and rule.per == "kpi"
        }
        backfilled = [k for group in kpis.values() for k in group if k.backfill_ms is not None]
        self._contracts = contracts
        self._shared_topics = [c.topics for c in contracts if not c.topics.is_one]
        self._decoder = Decoder(contracts)
        self._clock = FutureClock(contracts)
        self._lookups = LookupJoins(contracts, plan.lookups, lookups or LookupTopics(plan.lookups))
        self.looked_up = self._lookups.topics
        self._contract_verdicts = [
            ContractVerdicts(c, i, kpis[c.name]) for i, c in enumerate(contracts)
        ]
        self._casts = {name: casts_of(group) for name, group in kpis.items()}
        self._folds = [
            KpiFold(group, contract, watched, state_partitions)
            for contract in contracts
            for group in group_kpis(
                k for k in kpis[contract.name] if only is None or k.name in only
            )
        ]
        self._frames = FrameBuilder(topic, state_partitions, backfilled, self._clock)
        self._observers: tuple[RowObserver, ...] = ()
        self._resumes: dict[int, Resume] = {}  # of the last flush
        self._commits: dict[int, Commit] = {}
        self._early_commits: dict[int, Commit] = {}

    def observe(self, *observers: RowObserver) -> None:
        """Call observers with the folded rows of every batch from now on."""
        self._observers = observers

    def assign(self, partition: int, resume: Resume | None, clock_ms: int | None = None) -> None:
        """Add a partition; reading must begin at `resume.offset` (None: at the log's start).

        `clock_ms`: the agent's clock, by which events from the future are rejected, besides the
        records' timestamps; None: by timestamps only, as in a replay.
        """
        self.revoke(partition)
        begin = resume or Resume(0, 0, None, None)
        clock = None if clock_ms is None else self._clock.step_end_ms(clock_ms)
        self.sources[partition] = SourceProgress.resumed(begin, clock)
        self._resumes[partition] = begin
        self._frames.assign(partition, begin.offset > 0 and begin.floor_ms is None)

    def revoke(self, partition: int) -> None:
        """Drop all state of a partition."""
        self.sources.pop(partition, None)
        for by_partition in (self._resumes, self._commits, self._early_commits):
            by_partition.pop(partition, None)
        self._frames.revoke(partition)
        for contract_verdicts in self._contract_verdicts:
            contract_verdicts.revoke(partition)
        for fold in self._folds:
            fold.revoke(partition)

    def decode(self, batch: Batch) -> Decoded:
        """Decode one batch, for `fold`. Independent of earlier batches, so thread-safe."""
        return self._decoder.decode(batch)

    def add(self, batch: Batch) -> FoldResult:
        """Decode and fold one batch."""
        return self.fold(batch, self.decode(batch))

    def fold(self, batch: Batch, decoded: Decoded, clock_ms: int | None = None) -> FoldResult:
        """Give each record of a batch its verdict, and fold it. The partitions of the batch must be
        assigned here, and its offsets continue those folded before. `clock_ms`: the agent's clock
        when the batch was fetched."""
        outcomes = Outcomes(len(batch.values), [contract.name for contract in self._contracts])
        if not len(batch.values):
            return outcomes.fold_result(np.zeros(0, np.bool_), {})
        outcomes.assign(np.asarray(decoded.empty, np.int64), Outcome.EMPTY)
        for row, reject in decoded.rejects:
            outcomes.reject(row, reject)
        decoded, newest = self._resolve_times(batch, decoded, clock_ms, outcomes)
        watermarks = self._advance(batch, newest)
        as_of = self._lookups.read(batch, self.sources, self._clock.span_ms)
        counted = self._counted(batch)
        rows = {
            contract.name: self._assign_verdicts(
                contract_verdicts,
                _with_computed(contract, self._lookups.join(contract.name, table, as_of)),
                watermarks,
                outcomes,
            )
            for contract, contract_verdicts in zip(
                self._contracts, self._contract_verdicts, strict=True
            )
            if (table := decoded.tables[contract.name]).height
        }
        fields = {
            contract.name: count_fields(
                contract,
                rows[contract.name].table,
                decoded.wrong_types,
                counted,
                self._casts[contract.name],
            )
            for contract in self._contracts
            if contract.name in rows and (contract.fields or contract.lookups)
        }
        return outcomes.fold_result(counted, self._fold(rows, counted), fields)

    def flush(
        self,
        clock_ms: int,
        idle_ms: Mapping[int, int | None],
        partitions: int,
        topics: Mapping[str, int] = NO_TOPICS,
    ) -> list[tuple[int, bytes]]:
        """The partials that changed since the last flush, as (state partition, frame bytes) in
        sending order.

        Every live source sends at least one frame to every state partition. `idle_ms`: by source
        partition, for how long it has been idle (None: it is not). `partitions`: the number of
        partitions of this topic. `topics`: that number for each source topic that exists.
        """
        for source in self.sources.values():
            if not source.rebuilding:
                source.set_clock(source.covered, self._clock.step_end_ms(clock_ms))
        frames = self._frames.build(
            self._folds, self.sources, clock_ms, idle_ms, partitions, self.siblings(topics)
        )
        for partition, source in self.sources.items():
            for contract_verdicts in self._contract_verdicts:
                contract_verdicts.forget_finished(partition, source)
        live = {p: source for p, source in self.sources.items() if not source.rebuilding}
        self._early_commits = {
            partition: replace(self._resumes[partition], lookups=text).commit()
            for partition, source in live.items()
            if (text := source.fix_lookups()) != self._resumes[partition].lookups
        }
        self._resumes |= {p: source.resume() for p, source in live.items()}
        self._commits = {p: self._resumes[p].commit() for p in live}
        return frames

    def siblings(self, topics: Mapping[str, int]) -> dict[str, int]:
        """The other topics, with their numbers of partitions, that share a contract with this
        topic."""
        return {
            topic: count
            for topic, count in topics.items()
            if topic != self.topic and any(topic in shared for shared in self._shared_topics)
        }

    def early_commits(self) -> dict[int, Commit]:
        """What must be committed, by partition, before the last flush's frames are sent: the
        commits of the flush before, with the lookup steps that these frames depend on."""
        return dict(self._early_commits)

    def commits(self) -> dict[int, Commit]:
        """What may be committed, by partition, once the last flush's frames are acknowledged."""
        return dict(self._commits)

    def shortened(self) -> dict[str, int]:
        """The number of series with a shortened dimension value, by KPI."""
        return {kpi.name: fold.shortened for fold in self._folds for kpi in fold.kpis}

    def _resolve_times(
        self, batch: Batch, decoded: Decoded, clock_ms: int | None, outcomes: Outcomes
    ) -> tuple[Decoded, Ints]:
        """The batch without events from the future, and with local times that occur twice resolved;
        and the event time of each record."""
        newest = _newest_times(batch, decoded)
        past = self._clock.reject(batch, decoded, newest, self.sources, clock_ms, outcomes)
        if past is not decoded:
            newest = _newest_times(batch, past)
        if past.repeated_ms:
            watermarks = {p: source.watermark_ms for p, source in self.sources.items()}
            past = replace(past, tables=settle_repeated_hours(batch, past, newest, watermarks))
            newest = _newest_times(batch, past)
        if any(contract.restated for contract in self._contracts):
            tables = {c.name: _within_restated(c, past.tables[c.name]) for c in self._contracts}
            past = replace(past, tables=tables)
        return past, newest

    def _advance(self, batch: Batch, times: Ints) -> Ints:
        """Advance the watermarks over the batch; returns the watermark before each record."""
        before = np.empty(len(batch.values), np.int64)
        for partition, start, stop in segments(batch.partitions):
            source = self.sources[partition]
            before[start:stop] = source.advance(times[start:stop], int(batch.offsets[stop - 1]) + 1)
            # Missing records were written before the first record after the gap.
            source.bound_missed(int(batch.timestamps[start]) + self._clock.most_ms)
        return before

    def _counted(self, batch: Batch) -> Bools:
        """Which records to count: others were counted before a restart."""
        counted = np.ones(len(batch.values), np.bool_)
        for partition, start, stop in segments(batch.partitions):
            counted[start:stop] = batch.offsets[start:stop] >= self.sources[partition].sent_covered
        return counted

    def _assign_verdicts(
        self,
        contract_verdicts: ContractVerdicts,
        table: pl.DataFrame,
        watermarks: Ints,
        outcomes: Outcomes,
    ) -> RowsToFold:
        rows, counts = contract_verdicts.assign(
            table, watermarks[table["_row"].to_numpy()], self.sources, outcomes
        )
        if self._observers:
            folded = filter_rows(table, counts)
            for observer in self._observers:
                observer(contract_verdicts.contract.name, folded)
        return rows

    def _fold(self, rows: Mapping[str, RowsToFold], counted: Bools) -> Counter[str]:
        """Fold the rows that count; returns how many were too late for a window, by KPI."""
        folding = [
            (fold, number, lazy)
            for fold in self._folds
            if fold.contract in rows
            for number, lazy in fold.fold(rows[fold.contract], counted)
        ]
        collected = pl.collect_all([lazy for _, _, lazy in folding], engine="in-memory")
        for (fold, number, _), folded in zip(folding, collected, strict=True):
            fold.buffer(number, folded)
        late: Counter[str] = Counter()
        for fold in self._folds:
            late.update(fold.drain_late())
        return late


def _within_restated(contract: Contract, table: pl.DataFrame) -> pl.DataFrame:
    """The rows within the period of a restatement; all rows without one."""
    period = contract.restated
    if period is None:
        return table
    return table.filter(pl.col("_time").is_between(period.from_ms, period.until_ms, closed="left"))


def _newest_times(batch: Batch, decoded: Decoded) -> Ints:
    """The newest event time of each record over all contracts; `NO_TIME_MS`: it has none."""
    times = np.full(len(batch.values), NO_TIME_MS, np.int64)
    for table in decoded.tables.values():
        rows = table["_row"].to_numpy()
        event_times = table["_time"].to_numpy()
        if len(rows) > 1 and (rows[1:] == rows[:-1]).any():  # several events in a record
            np.maximum.at(times, rows, event_times)
        else:
            times[rows] = np.maximum(times[rows], event_times)
    return times


def _with_computed(contract: Contract, table: pl.DataFrame) -> pl.DataFrame:
    """A table of events with the fields that are computed from others."""
    return table.with_columns(f.value.alias(f.name) for f in contract.computed)
