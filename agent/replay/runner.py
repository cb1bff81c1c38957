"""`kpi-agent replay`: files of events through the very same core, without Kafka.

Each file is a source with its own watermark, as a Kafka partition is. `TOPIC=FILE` names its topic.
Without, the topic is the one that the record itself names: a record whose topic no contract reads
is ignored. Records that name none have the topic that is the file's name, else the only topic there
is, else the one whose contract has the record's type (the first topic of that contract). The files
of lookups' topics are read before all events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

from agent.core.decode.format import WrongPlaceError
from agent.core.decode.tree import text_of, value_at
from agent.core.fold.field_counts import FieldCounts
from agent.core.fold.folder import FoldResult
from agent.core.model.paths import Path as EventPath
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, Outcome, Reason, Reject, WindowValue
from agent.core.pipeline import Pipeline, in_event_time_order
from agent.errors import EnvironmentFault, KpiAgentError
from agent.replay.event_files import STANDARD_INPUT, batches_of, event_file
from agent.replay.file_schemas import FileSchemas
from agent.replay.record_forms import FileBatch

REJECTS_SHOWN = 20

_ACCEPTED = (Outcome.FOLDED, Outcome.LATE, Outcome.DUPLICATE)

Progress = Callable[[int], None]
"""Called with the bytes of the files that were read since the last call."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file, and the topics its records may belong to. `is_named`: to the only one, whatever
    topic they name."""

    name: str
    path: Path
    topics: tuple[str, ...]
    is_named: bool = False

    @property
    def size_bytes(self) -> int:
        """The size of the file on disk."""
        return self.path.stat().st_size


@dataclass(slots=True)
class Replayed:
    """The results: what closed, which windows are still open, and the outcomes of the records.
    `unread`: ignored records by their topic, which no contract reads."""

    emitted: Emitted = field(default_factory=Emitted)
    open: list[WindowValue] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[Reason] = field(default_factory=Counter)
    rejects: list[tuple[str, Reject]] = field(default_factory=list)
    fields: dict[str, FieldCounts] = field(default_factory=dict)
    late_rows: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    @property
    def is_all_lost(self) -> bool:
        """Whether there were records, and none of them counts anywhere."""
        return self.records > 0 and not any(self.outcomes[outcome] for outcome in _ACCEPTED)

    @property
    def records(self) -> int:
        """How many records were read."""
        return sum(self.outcomes.values())

    def note(self, name: str, added: FoldResult) -> None:
        """Note the outcomes of a batch's records; `name` is their file or topic."""
        for (outcome, _, reason), number in added.counts.items():
            self.outcomes[outcome] += number
            if reason is not None:
                self.reasons[reason] += number
        self.late_rows.update(added.late_rows)
        for contract, counts in added.fields.items():
            self.fields.setdefault(contract, FieldCounts()).add(counts)
        room = REJECTS_SHOWN - len(self.rejects)
        self.rejects += [(name, reject) for _, reject in added.rejects[:room]]


def sources(plan: Plan, files: Sequence[str]) -> list[Source]:
    """The files named on the command line. Raises EnvironmentFault for one that can't be read,
    and KpiAgentError for a topic that no contract has."""
    opened = []
    for name in files:
        topic, _, rest = name.partition("=")
        named = bool(rest and (plan.contracts_of(topic) or topic in plan.lookup_topics))
        given = rest if named else name
        path = event_file(given)
        if path is None and rest and not named and event_file(rest) is not None:
            topics_known = {str(c.topics) for c in plan.contracts.values()} | plan.lookup_topics
            known = ", ".join(sorted(topics_known))
            raise KpiAgentError(f"no contract has a topic '{topic}'. Known are: {known}")
        if path is None:
            wrong = "this is a folder" if Path(given).is_dir() else "no such file"
            raise EnvironmentFault(f"{given}: {wrong}. Name files of events, one JSON a line.")
        called = "standard input" if given == STANDARD_INPUT else given
        topics = (topic,) if named else _topics(plan, Path(given).name, path, called)
        opened.append(Source(called, path, topics, named))
    return opened


def _topics(plan: Plan, file: str, path: Path, name: str) -> tuple[str, ...]:
    stem = file.split(".", maxsplit=1)[0]
    known = sorted({*plan.topics, *plan.lookup_topics})
    named = tuple(topic for topic in known if stem in (topic, topic.rsplit(".", 1)[0]))
    if named and (plan.lookup_topics.issuperset(named) or not _name_topics(path, name)):
        return named
    if all(contract.topics.is_one for contract in plan.contracts.values()):
        return plan.topics
    if topics := own_topics(path, name):
        return plan.topics_with(topics)
    return (stem,) if plan.contracts_of(stem) else plan.default_topics


def _name_topics(path: Path, name: str) -> bool:
    """Whether the first records of a file name topics."""
    return any(any(records.topics) for records, _ in islice(batches_of(path, name), 1))


def own_topics(path: Path, name: str) -> set[str]:
    """The topics that the records of a file name."""
    topics: set[str] = set()
    for records, _ in batches_of(path, name):
        if not records.topics:
            break  # no record of the file names one
        topics.update(filter(None, records.topics))
    return topics


def replay(
    plan: Plan, files: Sequence[Source], clock_ms: int, progress: Progress = lambda _: None
) -> Replayed:
    """Send all files through the core. `clock_ms` is used as the broker's timestamp of every
    record: an event further in its future than the contract allows is rejected."""
    out = Replayed()
    out.emitted = in_event_time_order(list(stream(plan, files, clock_ms, out, progress)))
    return out


def pipeline_over(plan: Plan, files: Sequence[Source], until_ms: int | None = None) -> Pipeline:
    """The core over these files, in which nothing that ends after `until_ms` closes."""
    partitions = Counter(t for source in files for t in source.topics if plan.contracts_of(t))
    return Pipeline(plan, partitions, until_ms=until_ms)


def stream(
    plan: Plan,
    files: Sequence[Source],
    clock_ms: int,
    out: Replayed,
    progress: Progress = lambda _: None,
    until_ms: int | None = None,
    pipeline: Pipeline | None = None,
) -> Iterator[Emitted]:
    """Send all files through the core and yield its results batch by batch, each series in the
    order of time.

    Everything but the results goes to `out`. A file is read until every window that ends by
    `until_ms` is closed. `pipeline`: from `pipeline_over`, if the caller needs its state.
    """
    run = _Run(plan, pipeline or pipeline_over(plan, files), out, clock_ms, FileSchemas(plan))
    for source in files:
        run.add_lookups(source, progress)
    next_partition: Counter[str] = Counter()
    for source in (s for s in files if not _is_lookup(plan, s)):
        partitions = {topic: next_partition[topic] for topic in source.topics}
        next_partition.update(source.topics)
        first = 0
        for records, size in batches_of(source.path, source.name):
            run.add(source, partitions, records, first)
            first += len(records.values)
            yield run.pipeline.flush()
            progress(size)
            if until_ms is not None and run.is_past(partitions, until_ms):
                break
        for topic, partition in partitions.items():
            run.pipeline.end(topic, partition)
    yield run.pipeline.finish()
    out.open = run.pipeline.open_windows()


@dataclass(frozen=True, slots=True)
class _Run:
    """One replay under way."""

    plan: Plan
    pipeline: Pipeline
    out: Replayed
    clock_ms: int
    schemas: FileSchemas

    def add(
        self, source: Source, partitions: Mapping[str, int], records: FileBatch, first: int
    ) -> None:
        """Add records of a file; `first`: the number of the first of them in the file."""
        for topic, rows in _rows_by_topic(self.plan, source, records).items():
            if topic not in partitions:
                self.out.outcomes[Outcome.IGNORED] += len(rows)
                self.out.unread[topic] += len(rows)
                continue
            batch = records.batch(topic, partitions[topic], rows, first, self.clock_ms)
            batch = self.schemas.with_schemas(batch)
            self.out.note(source.name, self.pipeline.add(batch))

    def add_lookups(self, source: Source, progress: Progress) -> None:
        """Add all rows of a file of a lookup's topic."""
        if not _is_lookup(self.plan, source):
            return
        first = 0
        for records, size in batches_of(source.path, source.name):
            rows = range(len(records.values))
            batch = records.batch(source.topics[0], 0, rows, first, self.clock_ms)
            for reject in self.pipeline.lookups.add(batch)[:1]:
                where = f"{source.name}: record {reject.offset + 1}"
                raise KpiAgentError(f"{where} is no row of {reject.lookup}: {reject.detail}")
            first += len(rows)
            progress(size)

    def is_past(self, partitions: Mapping[str, int], at_ms: int) -> bool:
        """Whether no later record of a file can belong to a window that ends by `at_ms`."""
        return all(self.pipeline.is_past(*partition, at_ms) for partition in partitions.items())


def _is_lookup(plan: Plan, source: Source) -> bool:
    return not any(plan.contracts_of(topic) for topic in source.topics) and (
        plan.lookup_topics.issuperset(source.topics)
    )


def _rows_by_topic(plan: Plan, source: Source, records: FileBatch) -> dict[str, Sequence[int]]:
    """Which rows belong to which topic: to the one that the record names, else to that of the
    file's topics whose contract has its type, else the first whose contract has all types, else the
    first."""
    topics = source.topics
    if source.is_named or (len(topics) == 1 and not any(records.topics)):
        return {topics[0]: range(len(records.values))}
    named: dict[tuple[EventPath, str], str] = {}
    default = topics[0]
    for topic in reversed(topics):
        for contract in plan.contracts_of(topic):
            if contract.type_path is None:
                default = topic
            else:
                named[contract.type_path, contract.type_value] = topic
    paths = {path for path, _ in named}
    out: dict[str, list[int]] = {}
    for row, value in enumerate(records.values):
        own = records.topics[row] if records.topics else None
        meant = own or _topic_of(value or b"", paths, named)
        out.setdefault(meant or default, []).append(row)
    return dict(out)


def _topic_of(
    line: bytes, paths: set[EventPath], named: dict[tuple[EventPath, str], str]
) -> str | None:
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    for path in paths:
        try:
            value = text_of(value_at(event, path))
        except WrongPlaceError:
            continue
        if value is not None and (path, value) in named:
            return named[path, value]
    return None
