"""The steps of the core in order, without Kafka.

1. Decode and fold, in `Folder.add`: the records of a batch become tables (`core/decode`), get
   their verdicts, and are aggregated into partials (`core/fold`).
2. Flush, in `Folder.flush`: the partials that changed leave as frames (`core/frame.py`).
3. Merge, in `Merger.apply`: frames update slices, watermarks advance, windows close
   (`core/merge`).
4. Evaluate, called by the merger for each closed window: value, target state and alert
   transitions (`core/evaluate`). They come back as `Emitted`.

`replay`, the rule tests and the test suite use `Pipeline`; `run` makes the same calls on Kafka, in
`kafka/ingest_stage.py` (1, 2) and `kafka/merge_stage.py` (3, 4). Each source (a file, or a
partition in a test) has its own watermark, as a Kafka partition has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.core.decode.batch import Batch
from agent.core.evaluate.thresholds import OnEvaluation
from agent.core.fold.folder import CountKey, Folder, FoldResult, RowObserver
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.merge.emission import concatenated
from agent.core.merge.merger import Merger
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, SeriesView, WindowValue
from agent.core.model.windows import MAX_SLICE_MS


class Pipeline:
    """The core over a fixed set of sources: the partitions of topics.

    `partitions`: their number by topic. A contract none of whose topics is named reads one
    partition of its own. `until_ms`: windows that end later stay open, so the state is that of this
    instant. `on_evaluation` is called with every evaluation of a rule. `lookups`: the tables of the
    lookup topics, to which rows can be added.
    """

    def __init__(
        self,
        plan: Plan,
        partitions: Mapping[str, int] | None = None,
        state_partitions: int = 1,
        until_ms: int | None = None,
        on_evaluation: OnEvaluation | None = None,
        lookups: LookupTopics | None = None,
    ) -> None:
        self.plan = plan
        self.counts: Counter[CountKey] = Counter()
        partitions = partitions or {}
        self._partitions = {t: partitions.get(t, 1) for t in plan.topics_with(partitions)}
        self.lookups = lookups or LookupTopics(plan.lookups)
        self._folders = {
            t: Folder(plan, t, state_partitions, lookups=self.lookups) for t in self._partitions
        }
        self.mergers = [
            Merger(plan, p, state_partitions, until_ms, on_evaluation)
            for p in range(state_partitions)
        ]
        self._position = 0
        for topic, folder in self._folders.items():
            for partition in range(self._partitions[topic]):
                folder.assign(partition, None)

    def observe(self, observers: Sequence[RowObserver]) -> None:
        """Pass the folded rows of every batch from now on to observers, by contract."""
        for folder in self._folders.values():
            folder.observe(*observers)

    def add(self, batch: Batch) -> FoldResult:
        """Decode and fold a batch of one topic."""
        added = self._folders[batch.topic].add(batch)
        self.counts.update(added.counts)
        return added

    def flush(self, clock_ms: int = 0) -> Emitted:
        """Send the frames of what was added, merge them, and close every window that can close.

        A source that has ended does not hold back the watermark.
        """
        emitted: list[Emitted] = []
        for topic, folder in self._folders.items():
            frames = folder.flush(clock_ms, {}, self._partitions[topic], self._partitions)
            for target, message in frames:
                merger = self.mergers[target]
                emitted.append(merger.apply(message, self._position))
                while merger.is_behind:
                    emitted.append(merger.catch_up())
                self._position += 1
        for merger in self.mergers:
            merger.mark_durable()
        return in_event_time_order(emitted)

    def is_past(self, topic: str, partition: int, at_ms: int) -> bool:
        """Whether every later record of a source is too late for windows that end by an instant."""
        watermark = self._folders[topic].sources[partition].watermark_ms
        lateness = max(c.lateness_ms for c in self.plan.contracts_of(topic))
        return watermark is not None and watermark >= at_ms + lateness

    def end(self, topic: str, partition: int = 0) -> None:
        """Mark a source as ended: it no longer holds back the watermark."""
        for merger in self.mergers:
            merger.end(topic, partition)

    def finish(self, idle_ms: int = 0) -> Emitted:
        """Close every window whose end plus lateness is before the latest event of all sources;
        to be called when all sources have ended. Ended sources are idle, so a topic whose last
        event is older does not hold back the others.

        `idle_ms`: the time since the last record. If it is at least the largest `idle_after`, all
        sources are idle, and event time advances by it.
        """
        emitted = [self.flush()]
        newest_ms = self.newest_ms
        if newest_ms is None:
            return in_event_time_order(emitted)
        idle_after_ms = max(c.idle_after_ms for c in self.plan.contracts.values())
        reached_ms = newest_ms + (idle_ms if idle_ms >= idle_after_ms else 0)
        for topic, folder in self._folders.items():
            if any(source.watermark_ms is not None for source in folder.sources.values()):
                contracts = self._contract_names(topic)
                emitted += [merger.finish(contracts, reached_ms) for merger in self.mergers]
        return in_event_time_order(emitted)

    def advance_to(self, until_ms: int) -> Emitted:
        """Advance event time without events: close every window that ends by an instant, and
        evaluate absence rules up to it. Contracts with a shorter lateness advance further, so later
        results of theirs are emitted, too.
        """
        emitted = [self.flush()]
        for topic in self._folders:
            contracts = self.plan.contracts_of(topic)
            # Absence rules are evaluated by whole slices, once the watermark has passed them.
            watermark_ms = until_ms + max(c.lateness_ms for c in contracts) + MAX_SLICE_MS + 1
            names = self._contract_names(topic)
            emitted += [merger.finish(names, watermark_ms) for merger in self.mergers]
        return in_event_time_order(emitted)

    def _contract_names(self, topic: str) -> list[str]:
        return [contract.name for contract in self.plan.contracts_of(topic)]

    @property
    def newest_ms(self) -> int | None:
        """The latest event time of any source; None before the first event."""
        times = (s.watermark_ms for f in self._folders.values() for s in f.sources.values())
        return max((at for at in times if at is not None), default=None)

    def open_windows(self) -> list[WindowValue]:
        """The open windows that have events, in the order of their ends."""
        open_windows = [
            window
            for merger in self.mergers
            for windows in merger.state.open_windows().values()
            for window in windows
        ]
        return sorted(open_windows, key=lambda w: w.end_ms)

    def views(self) -> list[SeriesView]:
        """Every series, as a board sees it."""
        return [view for merger in self.mergers for view in merger.views()]


def in_event_time_order(emitted: Sequence[Emitted]) -> Emitted:
    """Several results as one, in event-time order."""
    whole = concatenated(emitted)
    return replace(
        whole,
        windows=tuple(sorted(whole.windows, key=lambda w: w.end_ms)),
        targets=tuple(sorted(whole.targets, key=lambda t: t.window.end_ms)),
        transitions=tuple(sorted(whole.transitions, key=lambda t: t.at_ms)),
    )
