"""Stage 2: frames in, closed windows, target states and alert transitions out.

One `Merger` per state partition, a pure function of that partition's log of frames. It is the last
judge of lateness: a partial for a slice that it has sealed is dropped and counted.

After a crash: `restore` the table rows, then `apply` the frames again from the committed offset
(`needed_position` at the time). What the rows' last step told is told once more, because the crash
may have come before the telling was done; consumers drop repeated keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import TypeVar

from agent.core.evaluate.composite import CompositeRule
from agent.core.evaluate.rule_graph import Place, RuleGraph
from agent.core.evaluate.targets import benchmarks_of
from agent.core.evaluate.thresholds import OnEvaluation
from agent.core.evaluate.transitions import ended
from agent.core.frame import Frame, decode, gathering_partition, watch_partition
from agent.core.merge.backfill_buffer import Due, Waiting, Waitings, mark_key
from agent.core.merge.base_kpi import BaseKpi, SeriesLimit, Step, limit_of
from agent.core.merge.benchmark_targets import Benchmarked
from agent.core.merge.derived_kpi import DerivedKpi, KpiState, Reader, used
from agent.core.merge.kpi_absence import KpiAbsence
from agent.core.merge.missed_records import MissedRecords
from agent.core.merge.views import Views, view_of
from agent.core.merge.watermark import TopicSources
from agent.core.model.plan import HOME, Contract, Dimensions, Kpi, Plan, Rule, heeds, is_whole
from agent.core.model.results import Emitted, SeriesView, TargetStatus, Transition, WindowValue
from agent.core.state.archive import Chunk, read_chunk
from agent.core.state.rows import SeriesRows, Write, is_chunk, is_marker, kpi_of, row_key
from agent.core.state.series import Series

STRIDE_WINDOWS = 4_000
"""About how many windows one call closes: a tenth of a second's work."""
ROUND_WINDOWS = 8_000
"""So many windows that no row has yet make a round due: a row must not grow with them."""
FOREIGN_KEPT_MS = 3_600_000
"""How long rows that this rule set does not know are kept: longer than a rolling restart takes."""

Told = tuple[list[WindowValue], list[TargetStatus], list[Transition]]
Item = TypeVar("Item", WindowValue, TargetStatus, Transition)


class Merger:
    """Stage 2 of one state partition. Not thread-safe."""

    def __init__(self, plan: Plan, state_partition: int, state_partitions: int) -> None:
        self.plan = plan
        self._partition = state_partition
        self._partitions = state_partitions
        self._rows = SeriesRows()
        self._sources = {topic: TopicSources() for topic in plan.topics}
        self._missed = {
            topic: MissedRecords(max(c.lateness_ms for c in plan.contracts_of(topic)))
            for topic in plan.topics
        }
        read = {name for k in plan.kpis.values() for name in (*k.inputs, *benchmarks_of(k))}
        self.states: dict[str, KpiState] = {
            name: self._state(kpi, name in read) for name, kpi in plan.kpis.items()
        }
        self._benchmarked = {
            name: Benchmarked(plan, state, {b: self.states[b] for b in state.evaluator.benchmarks})
            for name, state in self.states.items()
            if state.evaluator.benchmarks
        }
        self._readers: dict[str, list[Reader]] = {name: [] for name in read}
        for name, state in self.states.items():
            for one in state.kpi.inputs:
                self._readers[one].append(partial(getattr, state, "frontier_ms"))
            for one in state.evaluator.benchmarks:
                reader = partial(getattr, self._benchmarked[name], "written_ms")
                self._readers[one].append(reader)
        self._views = Views(self.states)
        self._order = {name: i for i, name in enumerate(plan.kpis)}
        heeded = {h.home for r in plan.rules.values() for h in heeds(r) if h.whole}
        self._watched: dict[str, KpiAbsence] = {}
        for name, state in self.states.items():
            if isinstance(state, BaseKpi) and state.evaluator.kpi_absences:
                tells = watch_partition(plan, name, state_partitions) == state_partition
                if tells or name in heeded:
                    self._watched[name] = KpiAbsence(state, tells)
        self._coupled = RuleGraph(
            plan,
            gathering_partition(state_partitions) == state_partition,
            self._all_series,
            self._series,
            self._judged_ms,
        )
        self.until_ms: int | None = None  # event time stands still there
        self._behind: set[str] = set()  # topics of which some windows are still to be closed
        self._unwritten = 0  # windows that are in no row yet
        self._position = -1
        self._dirty: dict[Place, Told] = {}
        # Rows to delete. One that expired keeps its row for one round more: what its last step
        # told must be told again if a crash comes before the telling is done.
        self._gone: set[Place] = set()
        self._foreign: set[bytes] = set()  # rows that nobody here knows
        self._given_up: dict[bytes, None] = {}  # those of them that are to be deleted, in order
        self._waitings = Waitings(plan, self._sources)
        self._tell_derived()
        self._began_ms: int | None = None
        self._expired: set[Place] = set()
        self._again = Emitted()
        # What the rows told before a restart: part of their next telling too, because the one
        # that repeats it may be cut short as well.
        self._carried: dict[Place, Emitted] = {}
        self._repeated = False

    def _state(self, kpi: Kpi, kept: bool) -> KpiState:
        if kpi.contract is None:
            topics = {self.plan.contracts[c].topic for c in self.plan.contracts_under(kpi.name)}
            missed = [self._missed[topic] for topic in sorted(topics)]
            return DerivedKpi(self.plan, kpi, kept, missed)
        topic = self.plan.contracts[kpi.contract].topic
        return BaseKpi(self.plan, kpi, self._limit(kpi), kept, self._missed[topic])

    def _limit(self, kpi: Kpi) -> SeriesLimit:
        return limit_of(kpi, self._partitions, partial(self._rows.bytes_of, kpi.name))

    def set_on_evaluation(self, witness: OnEvaluation | None) -> None:
        """Tell somebody of every judgement."""
        for state in self.states.values():
            state.evaluator.set_on_evaluation(witness)
        for combination in self._coupled.combinations.values():
            combination.on_evaluation = witness

    # --- rows ------------------------------------------------------------------------------

    def restore(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Take on the table rows of this partition, before any frame.

        Rows of KPIs that are not declared, or otherwise, are passed over: their state means
        something else. They are deleted after a while only, because in a rolling restart with new
        rules they may be what a new worker wrote and an old one does not know.

        Raises UnknownVersion and DamagedRow: a row that can't be read is never written over.
        """
        told: Told = ([], [], [])
        whole = self._without_halves(list(rows))
        chunks = [row for row in whole if is_chunk(row[0])]
        found, lost = self._rows.read(row for row in whole if not is_chunk(row[0]))
        self._given_up.update(dict.fromkeys(lost))
        for key, series in found:
            home = self._home(series)
            if home is None:
                self._foreign.add(key)
                told[2].extend(_last_of(series))
                continue
            self._carried[series.kpi, series.dimensions] = series.told
            told[0].extend(series.told.windows)
            told[1].extend(series.told.targets)
            told[2].extend(series.told.transitions)
            rules = home if isinstance(home, CompositeRule) else home.evaluator
            gone = [*rules.drop_undeclared(series), *self._coupled.unsilenced(series)]
            if series.dimensions is not None:
                home.restore(series)
            elif series.kpi in self._watched:
                self._watched[series.kpi].series = series
            if gone:
                self._mark((series.kpi, series.dimensions))[2].extend(gone)
                told[2].extend(gone)
        for key, data in chunks:
            if not self._restore_chunk(read_chunk(key, data)):
                self._foreign.add(key)
        for name, state in self.states.items():
            if state.series:
                self._waitings.had_state(name)
        self._tell_derived()
        self._again = Emitted(tuple(told[0]), tuple(told[1]), tuple(told[2]))

    def _without_halves(self, rows: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The rows of series and chunks. A past that was written in part only is to be deleted:
        its rows, and then the mark that tells of it."""
        half, foreign = self._waitings.restore(row for row in rows if is_marker(row[0]))
        self._foreign.update(foreign)
        kept = [row for row in rows if not is_marker(row[0])]
        if half:
            lost = [key for key, _ in kept if kpi_of(key) in half]
            self._given_up = dict.fromkeys([*lost, *map(mark_key, sorted(half))])
        return [row for row in kept if row[0] not in self._given_up]

    def _home(self, series: Series) -> KpiState | CompositeRule | None:
        """Whose row it is; None: not declared, or otherwise."""
        state = self.states.get(series.kpi)
        if state is not None:
            return state if state.kpi.fingerprint == series.fingerprint else None
        combination = self._coupled.combinations.get(series.kpi)
        known = combination is not None and len(series.dimensions or ()) == len(combination.rule.by)
        return combination if known else None

    def _restore_chunk(self, chunk: Chunk) -> bool:
        """Take on windows that a series' row no longer has; False: nobody asks for them."""
        state = self.states.get(chunk.kpi)
        series = state.series.get(chunk.dimensions) if state else None
        archive = state.evaluator.archive if state else None
        if series is None or archive is None:
            return False
        if (series.fingerprint, series.first_ms) != (chunk.fingerprint, chunk.first_ms):
            return False
        archive.restore(chunk)
        return True

    def dirty_rows(self) -> list[Write]:
        """The rows to write (None: to delete) for what was applied since the last call.

        A crash may leave any first part of them written. So KPIs over others go first: an input
        whose row says that its window was used must not be written before the row that used it,
        and the windows that a row no longer has before that row.
        """
        out: list[Write] = []
        for key in self._given_up:
            out += self._rows.delete(key)
        out += self._waitings.rows
        self._given_up, self._waitings.rows = {}, []
        for state in self.states.values():
            if state.evaluator.archive is not None:
                out += state.evaluator.archive.rows()
        dirty = sorted(self._dirty.items(), key=lambda item: -self._order.get(item[0][0], 0))
        for (kpi, dimensions), told in dirty:
            series = self._series(kpi, dimensions)
            if series is not None:
                now = Emitted(tuple(told[0]), tuple(told[1]), tuple(told[2]))
                self._coupled.prune(series)
                series.told = _joined(self._carried.get((kpi, dimensions), Emitted()), now)
                out += self._rows.write(series)
        for row in self._gone:
            out += self._rows.delete(row_key(*row))
        self._dirty, self._gone, self._expired = {}, self._expired, set()
        self._unwritten = 0
        if self._repeated:
            self._carried = {}
        self.safe()
        return out

    def safe(self) -> None:
        """Say that what was applied is in rows, or that no crash can undo it: what only a repeat
        would need again may be forgotten."""
        self._coupled.written()
        for benchmarked in self._benchmarked.values():
            benchmarked.written_ms = benchmarked.frontier_ms

    def needed_position(self) -> int:
        """The first offset of the frames log that a restart would need."""
        # The frame whose watermark is not reached yet is needed to get there.
        needed = self._position if self._behind else self._position + 1
        for state in self.states.values():
            if isinstance(state, BaseKpi):
                needed = min(needed, min(state.first_positions.values(), default=needed))
        for watch in self._watched.values():
            needed = min(needed, min(watch.slices.values(), default=needed))
        waited = self._waitings.first_position
        return needed if waited is None else min(needed, waited)

    def _series(self, kpi: str, dimensions: Dimensions | None) -> Series | None:
        if dimensions is None:
            watch = self._watched.get(kpi)
            return watch.series if watch else None
        if kpi in self._coupled.combinations:
            return self._coupled.combinations[kpi].series.get(dimensions)
        state = self.states[kpi]
        found = state.series.get(dimensions)
        if found is None and isinstance(state, BaseKpi):
            found = state.departed.get(dimensions)
        leaving = (s for s in state.leaving if s.dimensions == dimensions)
        return next(leaving, None) if found is None else found

    def _judged_ms(self, name: str) -> int | None:
        """How far the windows of a KPI are judged."""
        if name in self._benchmarked:
            return self._benchmarked[name].frontier_ms
        return self.states[name].frontier_ms if name in self.states else None

    def _all_series(self, home: str, whole: bool) -> Sequence[Series]:
        """The series of a KPI or a combination rule; or what is watched of it as a whole."""
        if whole:
            watch = self._watched.get(home)
            return [watch.series] if watch and watch.series else []
        if home in self._coupled.combinations:
            return list(self._coupled.combinations[home].series.values())
        return list(self.states[home].series.values()) if home in self.states else []

    def _mark(self, row: Place) -> Told:
        self._gone.discard(row)
        if self._foreign:
            self._foreign.discard(row_key(*row))
        self._expired.discard(row)
        if row[1] is not None and row[0] in self.states:
            self.states[row[0]].touched.add(row[1])
        return self._dirty.setdefault(row, ([], [], []))

    # --- frames ----------------------------------------------------------------------------

    def apply(self, data: bytes, position: int) -> Emitted:
        """Apply one frame; `position` is the offset of its message in the frames log, not
        falling.

        A watermark that lets very many windows close is not reached at once: while `is_behind`,
        `catch_up` closes the next of them. Where the caller doesn't, the next frame does.
        Raises `msgspec.DecodeError` when the bytes are not a frame; nothing has changed then.
        """
        frame = decode(data)
        before = Emitted()
        while self._behind:
            before = _joined(before, self.catch_up())
        return _joined(before, self._apply(frame, position))

    def _apply(self, frame: Frame, position: int) -> Emitted:
        self._position = position
        self._repeated = True
        again, self._again = self._again, Emitted()
        self._clear_foreign(frame.clock_ms)
        sources = self._sources.get(frame.topic)
        if sources is None:
            return again
        if sources.is_stale(frame):
            return _joined(again, Emitted(stale=1))
        late, full = self._take(frame, position)
        # What is told over was in time when it was told first.
        counted = Emitted(late=late if sources.is_news(frame) else 0, full=full)
        again = _joined(again, counted)
        if not frame.last:
            return again
        sources.take(frame)
        self._missed[frame.topic].note(frame)
        for waiting in self._waitings.hear(frame):
            self._begin(waiting)
        return _joined(again, self._advance(frame.topic))

    def note_lost_frames(self) -> None:
        """Note, before any frame, that some were gone before they were merged: windows that are
        open now may lack what they held, and are marked."""
        for missed in self._missed.values():
            missed.note_lost_frames()

    @property
    def is_behind(self) -> bool:
        """Whether windows are still to be closed by the frames that were applied."""
        return bool(self._behind)

    @property
    def is_full(self) -> bool:
        """Whether so much was closed since `dirty_rows` that the rows should be written."""
        return self._unwritten >= ROUND_WINDOWS

    def catch_up(self) -> Emitted:
        """Close the next windows that frames applied before let close."""
        return self._advance(min(self._behind)) if self._behind else Emitted()

    def _clear_foreign(self, clock_ms: int) -> None:
        """Delete the rows that nobody has known for long."""
        if self._began_ms is None:
            self._began_ms = clock_ms
        if self._foreign and clock_ms - self._began_ms > FOREIGN_KEPT_MS:
            self._given_up.update(dict.fromkeys(self._foreign))
            self._foreign = set()

    def finish(self, topic: str, watermark_ms: int) -> Emitted:
        """Close what ends by a watermark without any frame, for files at their end."""
        found = self._advance(topic, watermark_ms)
        while self._behind:
            found = _joined(found, self._advance(topic, watermark_ms))
        return found

    def _take(self, frame: Frame, position: int) -> tuple[int, tuple[str, ...]]:
        """How many partials came too late, and the KPI of each new series that found no room."""
        late = 0
        full: tuple[str, ...] = ()
        for block in frame.blocks:
            state = self.states.get(block.kpi)
            if not isinstance(state, BaseKpi) or state.kpi.fingerprint != block.fingerprint:
                continue
            if not self._waitings.take(block, frame.partition, position):
                before = len(state.turned_away)
                late += state.take(block, frame.source, position)
                full += (block.kpi,) * (len(state.turned_away) - before)
        for kpi, slices in frame.active.items():
            if kpi in self._watched:
                self._watched[kpi].take(slices, position)
        return late, full

    def _advance(self, topic: str, watermark_ms: int | None = None) -> Emitted:
        steps: list[tuple[str, Step]] = []
        sources = self._sources[topic]
        reached = [
            (contract, now)
            for contract in self.plan.contracts_of(topic)
            if (now := sources.watermark_ms(contract) if watermark_ms is None else watermark_ms)
            is not None
        ]
        stride_ms = self._stride_end_ms(reached)
        self._behind.discard(topic)
        if stride_ms is not None:
            self._behind.add(topic)
        for contract, now in reached:
            steps += self._advance_contract(contract, now, stride_ms)
        if not steps:
            return Emitted()
        for name, state in self.states.items():
            if isinstance(state, DerivedKpi):
                inputs = [self.states[i] for i in state.kpi.inputs]
                steps.append((name, state.advance(inputs)))
        for name, benchmarked in self._benchmarked.items():
            steps.append((name, benchmarked.advance()))
        used(self.states, self._readers)
        return self._closings(steps)

    def _stride_end_ms(self, reached: Sequence[tuple[Contract, int]]) -> int | None:
        """Up to where the KPIs of a topic close windows now; None: as far as they can."""
        ends, waiting = [], self._waitings.names
        for contract, watermark_ms in reached:
            for kpi in self.plan.kpis_of(contract.name):
                state = self.states[kpi.name]
                frontier = self._frontier_ms(kpi, watermark_ms)
                if not isinstance(state, BaseKpi) or kpi.name in waiting:
                    continue
                if state.frontier_ms is None or frontier > state.frontier_ms:
                    end = state.stride_end_ms(frontier, STRIDE_WINDOWS)
                    if end < frontier:
                        ends.append(end)
        return min(ends, default=None)

    def _frontier_ms(self, kpi: Kpi, watermark_ms: int) -> int:
        frontier = watermark_ms - kpi.lateness_ms
        return frontier if self.until_ms is None else min(frontier, self.until_ms)

    def _advance_contract(
        self, contract: Contract, watermark_ms: int, stride_ms: int | None
    ) -> list[tuple[str, Step]]:
        steps = []
        for kpi in self.plan.kpis_of(contract.name):
            state = self.states[kpi.name]
            frontier = self._frontier_ms(kpi, watermark_ms)
            if stride_ms is not None:
                frontier = min(frontier, stride_ms)
            if self._waitings.reached(kpi.name, frontier):
                continue
            if isinstance(state, BaseKpi) and (
                state.frontier_ms is None or frontier > state.frontier_ms
            ):
                steps.append((kpi.name, state.advance(frontier)))
                if kpi.name in self._watched:
                    self._watch(kpi.name, frontier)
        return steps

    def _watch(self, kpi: str, frontier_ms: int) -> None:
        watch = self._watched[kpi]
        found = self._coupled.route((kpi, None), watch.advance(frontier_ms))
        if not watch.tells:
            found = []
        if watch.changed:
            self._mark((kpi, None))[2].extend(found)
        self._again = _joined(self._again, Emitted(transitions=tuple(found)))

    def _closings(self, steps: Iterable[tuple[str, Step]]) -> Emitted:
        """The steps of all KPIs in event-time order, and their rows marked for writing."""
        closed: list[tuple[WindowValue, TargetStatus | None]] = []
        transitions: list[Transition] = []
        for name, step in steps:
            for dimensions in step.changed:
                self._mark((name, dimensions))
            for window, status, steps_ in step.closed:
                place = name, window.dimensions
                told = self._mark(place)
                if status is not None:
                    self._coupled.judged(place, status)
                found = self._coupled.route(place, steps_)
                told[0].append(window)
                told[1].extend([status] if status else [])
                told[2].extend(found)
                closed.append((window, status))
                transitions += found
            for transition in step.transitions:
                place = name, transition.dimensions
                found = self._coupled.route(place, [transition])
                if self._series(*place) is not None:
                    self._mark(place)[2].extend(found)
                transitions += found
            for dimensions in step.expired:
                self._dirty.pop((name, dimensions), None)
                self._expired.add((name, dimensions))
        transitions += self._heard()
        watched, self._again = self._again.transitions, Emitted()
        self._unwritten += len(closed)
        closed.sort(key=lambda pair: (pair[0].end_ms, self._order[pair[0].kpi]))
        transitions = sorted([*transitions, *watched], key=lambda t: t.at_ms)
        targets = tuple(status for _, status in closed if status is not None)
        return Emitted(tuple(w for w, _ in closed), targets, tuple(transitions))

    def _heard(self) -> list[Transition]:
        """What the rules that look at others tell, and their rows marked for writing."""
        heard = self._coupled.advance()
        for place in heard.changed:
            self._mark(place)
        told = []
        for place, transition in heard.told:
            watch = self._watched.get(place[0]) if place[1] is None else None
            news = [transition] if watch is None or watch.tells else []
            if self._series(*place) is not None:
                self._mark(place)[2].extend(news)
            told += news
        for place in heard.expired:
            self._dirty.pop(place, None)
            self._expired.add(place)
        return told

    # --- backfills -------------------------------------------------------------------------

    @property
    def waiting(self) -> frozenset[str]:
        """The KPIs that wait for their past."""
        return self._waitings.names

    def due(self) -> list[Due]:
        """The KPIs whose past can be read."""
        return self._waitings.due()

    def adopt(
        self,
        kpi: str,
        cut_ms: int,
        sources: Collection[int],
        rows: Sequence[tuple[bytes, bytes]],
    ) -> bool:
        """Take on a KPI's past up to `cut_ms`, read from these partitions, as the rows that it
        would have left. The next frame moves the KPI on from there.

        False, and nothing has changed: it is not waiting, or not all that came since is here.
        """
        waiting = self._waitings.adopt(kpi, cut_ms, sources, rows)
        if waiting is None:
            return False
        state = self.states[kpi]
        for key, _ in rows:
            self._foreign.discard(key)
            self._given_up.pop(key, None)
        for _, series in self._rows.read(row for row in rows if not is_chunk(row[0]))[0]:
            state.restore(series)
        for key, data in rows:
            if is_chunk(key):
                self._restore_chunk(read_chunk(key, data))
        state.frontier_ms = cut_ms
        self._begin(waiting)
        return True

    def _begin(self, waiting: Waiting) -> None:
        """Let a KPI that waited take part, with what came of it since the cut."""
        name = waiting.kpi.name
        state = self.states[name]
        if isinstance(state, BaseKpi):
            for source, block in waiting.blocks(self._waitings.cuts[name]):
                state.take(block, source, waiting.first_position or 0)
        self._foreign.discard(mark_key(name))
        self._tell_derived()

    def _tell_derived(self) -> None:
        """Let the KPIs over others know which of those wait, and the last cut: the windows before
        it, which the others may still have, are not theirs."""
        waiting, cuts = set(self._waitings.names), dict(self._waitings.cuts)
        for name, state in self.states.items():
            if isinstance(state, DerivedKpi):
                state.waits = not waiting.isdisjoint(state.kpi.inputs)
                waiting |= {name} if state.waits else set()
                found = [cuts[one] for one in state.kpi.inputs if one in cuts]
                if found:
                    state.begins_ms = cuts[name] = max(found)

    # --- looking at it ---------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many series are held here."""
        return sum(len(state.series) for state in self.states.values())

    def views(self) -> list[SeriesView]:
        """Every series held here, with its open window as it stands; and, with `dimensions` None,
        the phases of what is watched of a KPI as a whole. A view that did not change is the same
        object as before."""
        watched = [w for w in self._watched.values() if w.tells]
        return [
            *self._views.read(),
            *(view_of(w.state, w.series, None) for w in watched if w.series),
            *self._coupled.views(),
        ]

    def watched(self, rule: Rule) -> Sequence[Series]:
        """The series here that a rule watches and tells of."""
        if is_whole(rule):
            watch = self._watched.get(rule.kpi)
            return [watch.series] if watch and watch.tells and watch.series else []
        return self._all_series(rule.kpi, False)

    @property
    def coupled(self) -> RuleGraph:
        """The rules that look at others."""
        return self._coupled

    def open_windows(self) -> dict[str, list[WindowValue]]:
        """The windows not yet closed that hold rows, by KPI."""
        out: dict[str, list[WindowValue]] = {}
        for name, state in self.states.items():
            if isinstance(state, BaseKpi):
                out[name] = state.open_windows(state.open_ends())
            else:
                inputs = [self.states[i] for i in state.kpi.inputs]
                out[name] = state.open_windows(inputs, [out[i] for i in state.kpi.inputs])
        return out


def _last_of(series: Series) -> list[Transition]:
    """What ends the alerts of a combination rule that is declared no more."""
    if not series.kpi.startswith(HOME):
        return []
    alerts = [(rule, s, a) for rule, states in series.alerts.items() for s, a in states.items()]
    return ended(series.kpi, series.dimensions, series.judged_ms, alerts)


def _joined(first: Emitted, second: Emitted) -> Emitted:
    if not first:
        return second
    return Emitted(
        first.windows + second.windows,
        first.targets + second.targets,
        first.transitions + second.transitions,
        first.late + second.late,
        first.stale + second.stale,
        first.full + second.full,
    )
