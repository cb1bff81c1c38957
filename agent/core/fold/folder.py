"""Stage 1: records of one topic in, frames out. Every verdict is a pure function of the log.

`Folder.decode` makes a batch a table for each contract. `Folder.take` judges each record by the
watermark just before it and folds what counts into partials by (source partition, slice,
dimensions). `Folder.flush` says what changed as frames; `Folder.commits` what may be committed once
those frames are acknowledged.

A record's verdict, in this order:

1. *rejected*, if it breaks its contract, or its time is further in the future than `max_future`, by
   its own timestamp or by the agent's clock. It moves no watermark and is remembered nowhere.
2. *folded*, if it counts in a window: one of a KPI's that its time lies in, is open
   (`agent.core.fold.lateness`), and has no event with its id yet (`agent.core.fold.duplicates`).
3. *duplicate*, if it would count in one but for an event with its id.
4. *late*, else: all of them have closed.

Each is decided by the partition's log before the record: how records are batched, which worker
reads them, and which other KPIs there are changes nothing. The agent's clock is no part of the log,
so what it was for which offsets is part of each commit (`agent.core.source`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.core.aggregate.columns import Ints
from agent.core.decode.batch import Batch, Decoded
from agent.core.decode.decoder import Decoder
from agent.core.fold.checkpoint import NO_TIME_MS, Commit, Needs, Resume, SourceProgress
from agent.core.fold.duplicates import Deduplicator, first_of_each
from agent.core.fold.field_counts import count_fields
from agent.core.fold.kpi_fold import KpiFold, Rows, sharing
from agent.core.fold.lateness import Bools, counts_somewhere, frontiers
from agent.core.fold.outcomes import Added, CountKey, Verdicts
from agent.core.fold.repeated_hour import settle_repeated_hours
from agent.core.frame import Block, Frame, encode
from agent.core.model.plan import AbsenceRule, Contract, Kpi, Plan
from agent.core.model.results import Outcome, Reason, Reject
from agent.core.model.windows import MAX_SLICE_MS, Window

__all__ = ["Added", "Commit", "CountKey", "Folder", "Resume"]

Reader = Callable[[str, pl.DataFrame], None]
"""Shown the name of a contract and rows of it that are folded, for who asks for the events."""

_NO_CLOCK = np.iinfo(np.int64).max // 2
CLOCK_STEPS = 16
"""The clock that judges events from the future goes on in steps, of which a commit holds about so
many at most."""


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
        self._windows = {
            name: tuple(dict.fromkeys(kpi.window for kpi in kpis))
            for name, kpis in self._kpis.items()
        }
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
        ahead = [c.max_future_ms for c in self._contracts]
        span = max((c.lateness_ms + c.duplicate_window_ms for c in self._contracts), default=0)
        self._max_future_ms = max(ahead, default=0)
        self._clock_step_ms = max(
            min(ahead, default=0) // 4, (span + MAX_SLICE_MS) // CLOCK_STEPS, 1
        )
        # Until when (ms) events may lie before a reading that began with nothing known; None until
        # the clock is known.
        self._unseen: dict[int, int | None] = {}
        self._duplicates = {c.name: Deduplicator(c, self._kpis[c.name]) for c in self._contracts}
        self._fresh: set[int] = set()
        self._flushed: dict[int, Commit] = {}

    def assign(self, partition: int, resume: Resume | None, clock_ms: int | None = None) -> None:
        """Take on a partition; reading must begin at `resume.offset` (None: at the log's start).

        `clock_ms`: the agent's clock, which judges events from the future beside their timestamps;
        None where the timestamps alone do, as in a replay.
        """
        self.revoke(partition)
        begin = resume or Resume(0, 0, None, None)
        now = None if clock_ms is None else self._rounded(clock_ms)
        self.sources[partition] = SourceProgress.resumed(begin, now)
        self._fresh.add(partition)
        if begin.offset > 0 and begin.floor_ms is None:
            self._unseen[partition] = None

    def revoke(self, partition: int) -> None:
        """Forget everything about a partition."""
        self.sources.pop(partition, None)
        self._flushed.pop(partition, None)
        self._fresh.discard(partition)
        self._unseen.pop(partition, None)
        for duplicates in self._duplicates.values():
            duplicates.revoke(partition)
        for fold in self._folds:
            fold.revoke(partition)

    def decode(self, batch: Batch) -> Decoded:
        """Decode one batch, for `take`. It depends on nothing before: several threads may."""
        return self._decoder.decode(batch)

    def add(self, batch: Batch) -> Added:
        """Decode, judge and fold one batch."""
        return self.take(batch, self.decode(batch))

    def take(self, batch: Batch, decoded: Decoded, clock_ms: int | None = None) -> Added:
        """Judge and fold one batch, whose partitions are all assigned here and whose offsets go on
        from what was taken before. `clock_ms`: the agent's clock when it was fetched."""
        records = len(batch.values)
        verdicts = Verdicts(records, [contract.name for contract in self._contracts])
        if not records:
            return verdicts.account(np.zeros(0, np.bool_), {})
        verdicts.give(np.asarray(decoded.empty, np.int64), Outcome.EMPTY)
        for row, reject in decoded.rejects:
            verdicts.reject(row, reject)
        newest = _newest_times(batch, decoded)
        clocks = self._clocks(batch, newest, clock_ms)
        if clocks is not None:
            decoded = self._without_future(batch, decoded, clocks, verdicts)
            newest = _newest_times(batch, decoded)
        if decoded.repeated_ms:
            known = {p: source.watermark_ms for p, source in self.sources.items()}
            tables = settle_repeated_hours(batch, decoded, newest, known)
            decoded = replace(decoded, tables=tables)
            newest = _newest_times(batch, decoded)
        before = self._advance(batch, newest)
        counted = np.ones(records, np.bool_)
        for partition, start, stop in _segments(batch.partitions):
            counted[start:stop] = batch.offsets[start:stop] >= self.sources[partition].told
        rows = {
            contract.name: self._judge(contract, index, table, before, counted, verdicts)
            for index, contract in enumerate(self._contracts)
            if (table := decoded.tables.get(contract.name)) is not None and table.height
        }
        fields = {
            contract.name: count_fields(
                contract, rows[contract.name].table, decoded.wrong_types, counted
            )
            for contract in self._contracts
            if contract.name in rows and contract.fields
        }
        return verdicts.account(counted, self._fold(rows), fields)

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
        for source in telling.values():
            source.set_clock(source.covered, self._rounded(clock_ms))
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
            latest_ms = self._rounded(clock_ms) + self._max_future_ms
            bound = self._unseen[partition] = latest_ms
        return bound if known is None else max(bound, known)

    def commits(self) -> dict[int, Commit]:
        """What may be committed, by partition, once the last flush's frames are acknowledged."""
        return dict(self._flushed)

    def shortened(self) -> dict[str, int]:
        """How many series have had a dimension value that was too long, by KPI."""
        return {kpi.name: fold.shortened for fold in self._folds for kpi in fold.kpis}

    def _settle(self, telling: Mapping[int, SourceProgress]) -> None:
        for p, source in self.sources.items():
            for contract in self._contracts:
                source.forget_finished(contract.name, contract.lateness_ms)
                self._duplicates[contract.name].forget(
                    p, source.watermark_ms, source.ids.setdefault(contract.name, Needs())
                )
        self._flushed = {p: source.resume().commit() for p, source in telling.items()}

    def _rounded(self, clock_ms: int) -> int:
        """The end of the step that a clock is in: it judges until the next one."""
        return (clock_ms // self._clock_step_ms + 1) * self._clock_step_ms

    def _clocks(self, batch: Batch, newest: Ints, clock_ms: int | None) -> Ints | None:
        """The clock that judges each record; None where all of them are plainly past."""
        clocks = np.full(len(batch.values), _NO_CLOCK)
        least = min((contract.max_future_ms for contract in self._contracts), default=0)
        doubtful = False
        for partition, start, stop in _segments(batch.partitions):
            source = self.sources[partition]
            if source.clocks and int(newest[start:stop].max()) > source.clocks[0][1] + least:
                doubtful = True
                if clock_ms is not None:  # the last flush may be long ago
                    begin = max(source.told, int(batch.offsets[start]))
                    source.set_clock(begin, self._rounded(clock_ms))
                clocks[start:stop] = source.clocks_at(batch.offsets[start:stop])
        return clocks if doubtful else None

    def _without_future(
        self, batch: Batch, decoded: Decoded, clocks: Ints, verdicts: Verdicts
    ) -> Decoded:
        """The batch without the events that lie too far ahead of the agent's clock, which are
        rejected: a machine whose clock is ahead stamps its records alike."""
        tables = dict(decoded.tables)
        for contract in self._contracts:
            table = tables[contract.name]
            rows = table["_row"].to_numpy()
            future = table["_time"].to_numpy() - clocks[rows] > contract.max_future_ms
            for place in np.flatnonzero(future).tolist():
                row = int(rows[place])
                verdicts.reject(row, _future(contract, batch, row, int(table["_time"][place])))
            tables[contract.name] = _only(table, ~future)
        return replace(decoded, tables=tables)

    def _advance(self, batch: Batch, times: Ints) -> Ints:
        """Move the watermarks over the batch; the watermark before each row."""
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
        counted: Bools,
        verdicts: Verdicts,
    ) -> Rows:
        """The rows of one contract's table that may count, and the outcome of each."""
        rows = table["_row"].to_numpy().astype(np.int64)
        times, watermarks = table["_time"].to_numpy(), before[rows]
        limits = frontiers(watermarks, contract.lateness_ms)
        behind = times < limits
        stored = np.maximum(times, limits) if behind.any() else times
        horizons = _horizons(stored, self._steps[contract.name])
        repeats: Mapping[Window, Bools] = {}
        if self._duplicates[contract.name].is_used:
            repeats = self._repeats(contract, table, stored, horizons, watermarks, limits)
        counts = np.ones(len(rows), np.bool_)
        if windows := self._windows[contract.name]:
            # Of most rows it is plain that they count everywhere.
            unsure = np.flatnonzero(np.logical_or.reduce([behind, *repeats.values()]))
            left, repeated = unsure, np.zeros(len(rows), np.bool_)
            for window in windows:
                opened = counts_somewhere(window, times[left], limits[left])
                if window in repeats:
                    repeated |= repeats[window]
                    opened &= ~repeats[window][left]
                left = left[~opened]
            counts[left] = False
            verdicts.give(rows[left[repeated[left]]], Outcome.DUPLICATE, index)
            verdicts.give(rows[left[~repeated[left]]], Outcome.LATE, index)
        verdicts.give(rows[counts], Outcome.FOLDED, index)
        self._note_slices(contract, table, counts, horizons, watermarks)
        for reader in self.readers:
            reader(contract.name, _only(table, counts))
        limit = limits if stored is not times or repeats else None
        return Rows(table, limit, repeats, counted[rows])

    def _repeats(
        self,
        contract: Contract,
        table: pl.DataFrame,
        stored: Ints,
        horizons: Ints,
        before: Ints,
        limits: Ints,
    ) -> Mapping[Window, Bools]:
        """For each window, which rows are repeats, none at all if there are none for any; and note
        where a restart would have to begin for the sake of ids."""
        duplicates = self._duplicates[contract.name]
        masks: dict[Window, Bools] = {}
        offsets = table["_offset"].to_numpy()
        for partition, start, stop in _segments(table["_partition"].to_numpy()):
            source, part = self.sources[partition], slice(start, stop)
            needs = source.ids.setdefault(contract.name, Needs())
            duplicates.note(needs, stored[part], offsets[part], before[part])
            rows, last, of_window = duplicates.repeats(
                partition, table["_id"][part], stored[part], limits[part]
            )
            if not len(rows):
                continue
            for window, mask in of_window.items():
                whole = masks.setdefault(window, np.zeros(table.height, np.bool_))
                whole[start + rows] = mask
            slices = source.slices.setdefault(contract.name, Needs())
            for row, at in zip((start + rows).tolist(), last.tolist(), strict=True):
                # Without the event before it, a restart would fold it.
                needed = duplicates.needed(needs, at)
                if needed is not None:
                    slices.note(int(horizons[row]), *needed)
        return masks

    def _note_slices(
        self, contract: Contract, table: pl.DataFrame, folded: Bools, horizons: Ints, before: Ints
    ) -> None:
        """Note where a restart would have to begin for the sake of unfinished slices."""
        offsets = table["_offset"].to_numpy()
        for partition, start, stop in _segments(table["_partition"].to_numpy()):
            needs = self.sources[partition].slices.setdefault(contract.name, Needs())
            rows = start + np.flatnonzero(folded[start:stop])
            for row in rows[first_of_each(horizons[rows])].tolist():
                needs.note(int(horizons[row]), int(offsets[row]), int(before[row]))

    def _fold(self, rows: Mapping[str, Rows]) -> Counter[str]:
        """Fold what counts; how many rows came too late for a window, by KPI."""
        made = [
            (fold, number, frame)
            for fold in self._folds
            if fold.contract in rows and rows[fold.contract].table.height
            for number, frame in fold.fold(rows[fold.contract])
        ]
        collected = pl.collect_all([frame for _, _, frame in made], engine="in-memory")
        for (fold, number, _), folded in zip(made, collected, strict=True):
            fold.take(number, folded)
        late: Counter[str] = Counter()
        for fold in self._folds:
            late.update(fold.late)
            fold.late.clear()
        return late


def _newest_times(batch: Batch, decoded: Decoded) -> Ints:
    """The event time of each record, the newest of all contracts; `NO_TIME_MS`: it has none."""
    times = np.full(len(batch.values), NO_TIME_MS, np.int64)
    for table in decoded.tables.values():
        rows = table["_row"].to_numpy()
        times[rows] = np.maximum(times[rows], table["_time"].to_numpy())
    return times


def _future(contract: Contract, batch: Batch, row: int, at_ms: int) -> Reject:
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return Reject(
        int(batch.partitions[row]),
        int(batch.offsets[row]),
        contract.name,
        Reason.FUTURE_TIME,
        f"{'.'.join(contract.time_path)}: {at} is ahead of the agent's clock by more than "
        f"{timedelta(milliseconds=contract.max_future_ms)} (max_future)",
    )


def _only(table: pl.DataFrame, rows: Bools) -> pl.DataFrame:
    return table if rows.all() else table.filter(pl.Series(rows))


def _segments(partitions: npt.NDArray[Any]) -> Iterator[tuple[int, int, int]]:
    """Runs of equal partitions as (partition, start, stop)."""
    if not len(partitions):
        return
    cuts = np.flatnonzero(np.diff(partitions)) + 1
    edges = [0, *cuts.tolist(), len(partitions)]
    for start, stop in pairwise(edges):
        yield int(partitions[start]), start, stop


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
