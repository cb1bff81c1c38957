"""Decides where to continue reading a source partition, and finds which records are missing.

    facts                                                        decision
    the commit: offset, covered offset, watermark, id, epoch  ┐
    the newest frame: covered offset, watermark, id, epoch    ├─▶  `begin_at`: a Resume, a Finding
    the log: topic id, start, end                             ┘

An ordinary restart reads from the committed offset. A break in the continuity of the log (records
deleted before they were read, moved offsets, a topic that was created again) begins a new epoch,
and is detected here, before anything is read. The cases are the table of
docs/decisions/0028-gaps-and-recreated-topics.md, tested case by case in
tests/kafka/test_ingest_assignment.py.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from agent.core.fold.checkpoint import MissedSpan, Resume
from agent.core.fold.lookup_steps import LookupSteps
from agent.core.fold.lookup_topics import log_name, topic_of
from agent.core.frame import decode
from agent.core.model.plan import Plan
from agent.errors import UnknownVersionError
from agent.kafka.frame_batches import split
from agent.kafka.source_consumer import SourceConsumer
from agent.kafka.topic_ids import describe
from agent.kafka.topic_reader import read_newest
from agent.kafka.topics import TopicNames
from agent.settings import Settings

log = logging.getLogger(__name__)

NEWEST_FRAME_MESSAGES = 500
"""Messages of one state partition in which the newest frame of each source is searched: some
minutes of an agent with ten workers. A group's offsets can be moved only while no worker runs."""


@dataclass(frozen=True, slots=True)
class SourceLog:
    """The log of a source partition: its records are in `[start, end)`."""

    topic_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LastFrame:
    """The newest frame of a source partition. `missed`: the last span of event time whose records
    were not read."""

    topic_id: str
    epoch: int
    covered: int
    watermark_ms: int | None
    missed: MissedSpan | None = None


class Kind(StrEnum):
    """The kind of a finding."""

    ORDINARY = "ordinary"
    DELETED = "deleted"  # retention was quicker
    SKIPPED = "skipped"  # somebody moved the offset forward
    MOVED_BACK = "moved back"
    TRUNCATED = "truncated"  # the broker lost the end of its log
    RECREATED = "recreated"
    LOOKUP_RECREATED = "lookup recreated"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: records `[first, last)` were not read (an upper bound if the topic is compacted or
    transactional)."""

    kind: Kind
    first: int = 0
    last: int = 0

    @property
    def missed(self) -> int:
        """How many records, at most."""
        return max(0, self.last - self.first)


@dataclass(frozen=True, slots=True)
class Begin:
    """Where to continue reading a source partition, and the finding."""

    resume: Resume
    finding: Finding


def begin_at(
    commit: Resume | None,
    last: LastFrame | None,
    source: SourceLog,
    log_epoch: int = 0,
    from_end: bool = False,
    lookup_logs: Collection[str] = (),
) -> Begin:
    """Decide where to continue reading a source partition.

    `commit` None: there is none. `last`: the newest frame of this source; None: there is none, or
    it is not needed. `log_epoch`: the first epoch of this log, by the topic's frames
    (`epoch_of_log`). `from_end`: a topic that the group never read is read from its end.
    `lookup_logs`: the present logs of lookup topics.
    """
    if _is_another_log(commit, last, source):
        return _from_another_log(commit, last, source, log_epoch)
    if commit is None:
        return _from_nothing(last, source, log_epoch, from_end)
    if not commit.is_plain:
        return _from_commit(commit, last, source, _has_other_lookups(commit, lookup_logs))
    if last is not None:
        return _from_moved(commit.offset, last, source)
    if commit.offset > source.end:  # of another log
        return _new_log(source.start, source, 0)
    begin = max(commit.offset, source.start)
    kind = Kind.DELETED if begin > commit.offset else Kind.ORDINARY
    return _missing(_fresh(begin, source, 0), Finding(kind, commit.offset, begin))


def needs_last_frame(
    commit: Resume | None, source: SourceLog, lookup_logs: Collection[str] = ()
) -> bool:
    """Whether the newest frame is needed to decide, besides the commit."""
    if commit is None or commit.is_plain or _is_another_id(commit.topic_id, source):
        return True
    if _has_other_lookups(commit, lookup_logs):
        return True
    # After a gap, records that frames cover beyond the commit must not be read again.
    return commit.offset < source.start or commit.covered > source.end


def _is_another_id(topic_id: str, source: SourceLog) -> bool:
    return bool(topic_id and source.topic_id) and topic_id != source.topic_id


def _has_other_lookups(commit: Resume, lookup_logs: Collection[str]) -> bool:
    """Whether events were joined with a lookup topic that was created again since."""
    now = {topic_of(log): log for log in lookup_logs}
    known = LookupSteps.parse(commit.lookups).logs
    pairs = ((log, now.get(topic_of(log), log)) for log in known)
    # Without an id there is nothing to compare.
    return any(log != other and topic_of(log) not in (log, other) for log, other in pairs)


def _is_another_log(commit: Resume | None, last: LastFrame | None, source: SourceLog) -> bool:
    if commit is not None and not commit.is_plain:
        known_id, covered = commit.topic_id, commit.covered
    elif last is not None:
        known_id, covered = last.topic_id, last.covered
    else:
        return False
    if known_id and source.topic_id:
        return known_id != source.topic_id
    return covered > source.end  # without ids, only its length can tell


def _from_another_log(
    commit: Resume | None, last: LastFrame | None, source: SourceLog, log_epoch: int
) -> Begin:
    """Read the log of a topic that was created again, from its start or an offset set for it."""
    begin = source.start
    if commit is not None and commit.is_plain:
        begin = min(max(commit.offset, source.start), source.end)
    if last is not None and last.topic_id and last.topic_id == source.topic_id:
        epoch = last.epoch  # begun before, and not committed yet
    else:
        known = (commit.epoch if commit else -1, last.epoch if last else -1)
        epoch = max(log_epoch, *(epoch + 1 for epoch in known))
    return _new_log(begin, source, epoch)


def _new_log(begin: int, source: SourceLog, epoch: int) -> Begin:
    """Read a log of which nothing was read. Records of the previous one may not have been read, and
    its ids are forgotten: any open window may lack records, or count one twice."""
    resume = replace(_fresh(begin, source, epoch), missed=MissedSpan(None, None))
    return Begin(resume, Finding(Kind.RECREATED, 0, source.start))


def _from_nothing(
    last: LastFrame | None, source: SourceLog, log_epoch: int, from_end: bool
) -> Begin:
    if last is not None and source.start > 0:  # what frames cover can't be read again
        return _from_moved(source.start, last, source)
    begin = source.end if from_end else source.start
    if last is None:
        return Begin(_fresh(begin, source, log_epoch), Finding(Kind.ORDINARY))
    # Begun before, and not committed yet: its frames may have reached some state partitions only.
    resume = replace(_fresh(begin, source, last.epoch), missed=last.missed)
    return Begin(resume, Finding(Kind.ORDINARY))


def _from_commit(
    commit: Resume, frame: LastFrame | None, source: SourceLog, has_other_lookups: bool
) -> Begin:
    is_whole = source.start <= commit.offset and commit.covered <= source.end
    if is_whole and not has_other_lookups:
        named = replace(commit, topic_id=source.topic_id or commit.topic_id)
        return Begin(named, Finding(Kind.ORDINARY))
    last = LastFrame(
        commit.topic_id, commit.epoch, commit.covered, commit.watermark_ms, commit.missed
    )
    if frame is not None and (frame.epoch, frame.covered) > (last.epoch, last.covered):
        last = frame  # the last commit was lost
    if commit.covered > source.end:
        return Begin(_next_epoch(source.end, last, source), Finding(Kind.TRUNCATED))
    begin = min(max(last.covered, source.start), source.end)
    resume = _next_epoch(begin, last, source)
    # Records joined with lost rows are not read again: they would count under other rows.
    kind = Kind.LOOKUP_RECREATED if is_whole else Kind.DELETED
    return _missing(resume, Finding(kind, last.covered, begin))


def _from_moved(offset: int, last: LastFrame, source: SourceLog) -> Begin:
    """Continue at the offset that an operator set, if it is beyond the records that were read."""
    if last.covered > source.end:
        return Begin(_next_epoch(source.end, last, source), Finding(Kind.TRUNCATED))
    begin = max(last.covered, source.start)
    kind = Kind.DELETED if begin > last.covered else Kind.MOVED_BACK
    if offset > begin:
        begin, kind = min(offset, source.end), Kind.SKIPPED
    return _missing(_next_epoch(begin, last, source), Finding(kind, last.covered, begin))


def _fresh(begin: int, source: SourceLog, epoch: int) -> Resume:
    return Resume(begin, begin, None, None, source.topic_id, epoch)


def _next_epoch(begin: int, last: LastFrame, source: SourceLog) -> Resume:
    topic_id = source.topic_id or last.topic_id
    at_ms, missed = last.watermark_ms, last.missed
    if at_ms is not None:
        # Ids are forgotten: a repeat may count again in any window that is open here.
        missed = MissedSpan(at_ms, at_ms).union(missed)
    return Resume(begin, begin, at_ms, at_ms, topic_id, last.epoch + 1, missed)


def _missing(resume: Resume, finding: Finding) -> Begin:
    """Note missing records of the finding in the resume."""
    if finding.missed:
        span = MissedSpan(resume.watermark_ms, None).union(resume.missed)
        resume = replace(resume, missed=span)
    return Begin(resume, finding)


# ---- the facts


async def find_begins(
    settings: Settings,
    admin: AIOKafkaAdminClient,
    consumer: SourceConsumer,
    partitions: Sequence[TopicPartition],
    plan: Plan,
) -> Mapping[TopicPartition, Begin]:
    """Decide where to continue reading assigned partitions; without those that another version of
    the agent committed last. Raises KafkaError if no broker answers."""
    if not partitions:
        return {}
    commits = await _commits(admin, consumer.group, partitions)
    partitions = [tp for tp in partitions if tp in commits]
    lookups = {lookup.topic.name for lookup in plan.lookups.values() if lookup.topic is not None}
    topics = await describe(admin, {tp.topic for tp in partitions} | lookups)
    logs = [log_name(topic, topics[topic].topic_id) for topic in lookups if topic in topics]
    starts = await consumer.log_starts(partitions)
    ends = await consumer.log_ends(partitions)
    sources = {
        tp: SourceLog(topics[tp.topic].topic_id if tp.topic in topics else "", starts[tp], ends[tp])
        for tp in partitions
    }
    frames: Mapping[TopicPartition, LastFrame] = {}
    if any(needs_last_frame(commits[tp], sources[tp], logs) for tp in partitions):
        frames = await _last_frames(settings)
    known = {tp.topic for tp in partitions if commits[tp] is not None} | {tp.topic for tp in frames}
    contracts = {contract.name for topic in known for contract in plan.contracts_of(topic)}
    latest = settings.start_from == "latest"
    return {
        tp: begin_at(
            commits[tp],
            frames.get(tp),
            sources[tp],
            epoch_of_log(frames, tp.topic, sources[tp].topic_id),
            # Additions to a topic or a contract that is already read are read from their start.
            from_end=latest and not any(c.name in contracts for c in plan.contracts_of(tp.topic)),
            lookup_logs=logs,
        )
        for tp in partitions
    }


async def _commits(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition]
) -> Mapping[TopicPartition, Resume | None]:
    committed = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
    resumes: dict[TopicPartition, Resume | None] = dict.fromkeys(partitions)
    for tp, at in committed.items():
        if at.offset < 0:
            continue
        try:
            resumes[tp] = Resume.parse(at.offset, at.metadata or "")
        except UnknownVersionError as error:
            del resumes[tp]
            log.error(
                "topic %s partition %d is not read: its commit at offset %d is unreadable: %s",
                tp.topic, tp.partition, at.offset, error,
            )  # fmt: skip
    return resumes


async def _last_frames(settings: Settings) -> Mapping[TopicPartition, LastFrame]:
    """The newest frame of each source partition: every state partition gets one of each flush."""
    messages = await read_newest(
        settings, TopicNames.of(settings).frames, [0], NEWEST_FRAME_MESSAGES
    )
    return last_frames(message.value or b"" for message in messages)


def last_frames(messages: Iterable[bytes]) -> Mapping[TopicPartition, LastFrame]:
    """The newest frame of each source partition in messages of the frames topic."""
    frames: dict[TopicPartition, LastFrame] = {}
    for message in messages:
        for data in split(message):
            try:
                frame = decode(data)
            except (msgspec.DecodeError, UnknownVersionError):
                continue  # the merge reports it
            tp = TopicPartition(frame.topic, frame.partition)
            known = frames.get(tp)
            if known is None or (frame.epoch, frame.covered) >= (known.epoch, known.covered):
                missed = None if frame.missed is None else MissedSpan(*frame.missed)
                frames[tp] = LastFrame(
                    frame.topic_id, frame.epoch, frame.covered, frame.watermark_ms, missed
                )
    return frames


def epoch_of_log(frames: Mapping[TopicPartition, LastFrame], topic: str, topic_id: str) -> int:
    """The first epoch of a topic's log: the same for all partitions, and above every epoch of an
    earlier log."""
    of_topic = [frame for tp, frame in frames.items() if tp.topic == topic]
    own = [frame.epoch for frame in of_topic if topic_id and frame.topic_id == topic_id]
    return min(own) if own else max((frame.epoch for frame in of_topic), default=-1) + 1
