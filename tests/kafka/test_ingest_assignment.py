"""Where reading goes on: a line for each case of decision 0028."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiokafka import TopicPartition

from agent.core.fold.checkpoint import MissedSpan, Resume
from agent.core.frame import Frame, encode
from agent.kafka.assignment_words import WORDS, in_words
from agent.kafka.frame_batches import join
from agent.kafka.ingest_assignment import (
    Begin,
    Finding,
    Kind,
    LastFrame,
    SourceLog,
    begin_at,
    epoch_of_log,
    last_frames,
    needs_last_frame,
)

W = 1_700_000_000_000
F = W - 60_000
H, C = 40, 60
OURS = Resume(H, C, W, F, "first", 2)
LAST = LastFrame("first", 2, C, W)


def moved(offset: int) -> Resume:
    return Resume.parse(offset, "")


def source(start: int, end: int, topic_id: str = "first") -> SourceLog:
    return SourceLog(topic_id, start, end)


OPEN = MissedSpan(W, W)
"""Windows that are open where ids were forgotten: a repeat may count in them again."""


def behind(begin: int, epoch: int = 3, missed: MissedSpan | None = OPEN) -> Resume:
    """A new epoch of the same log."""
    return Resume(begin, begin, W, W, "first", epoch, missed)


def fresh(begin: int, epoch: int, topic_id: str = "second", missed: bool = False) -> Resume:
    span = MissedSpan(None, None) if missed else None
    return Resume(begin, begin, None, None, topic_id, epoch, span)


def new_log(begin: int, epoch: int, topic_id: str = "second") -> Resume:
    """A topic that was created again: any window that is open may lack records."""
    return fresh(begin, epoch, topic_id, missed=True)


SPAN = MissedSpan(W, None)


@pytest.mark.parametrize(
    ("commit", "last", "log", "resume", "finding"),
    [
        # our commit
        (OURS, None, source(0, 100), OURS, Finding(Kind.ORDINARY)),
        (OURS, None, source(H, C), OURS, Finding(Kind.ORDINARY)),
        (OURS, None, source(H + 1, 100), behind(C), Finding(Kind.DELETED, C, C)),
        (OURS, None, source(C, 100), behind(C), Finding(Kind.DELETED, C, C)),
        (OURS, None, source(75, 100), behind(75, 3, SPAN), Finding(Kind.DELETED, C, 75)),
        (OURS, None, source(100, 100), behind(100, 3, SPAN), Finding(Kind.DELETED, C, 100)),
        (OURS, None, source(0, C - 1), behind(C - 1), Finding(Kind.TRUNCATED)),
        (
            OURS, LastFrame("first", 2, 80, W), source(75, 100), behind(80),
            Finding(Kind.DELETED, 80, 80),
        ),
        (
            OURS, LastFrame("first", 2, 70, W), source(75, 100), behind(75, 3, SPAN),
            Finding(Kind.DELETED, 70, 75),
        ),
        # a commit was lost: what frames say is missing stays so
        (
            OURS, LastFrame("first", 3, 75, W, MissedSpan(W - 9, W + 5)), source(75, 100),
            behind(75, 4, MissedSpan(W - 9, W + 5)), Finding(Kind.DELETED, 75, 75),
        ),
        (
            replace(OURS, missed=SPAN), None, source(H + 1, 100), behind(C, 3, SPAN),
            Finding(Kind.DELETED, C, C),
        ),
        # another log
        (OURS, LAST, source(0, 100, "second"), new_log(0, 3), Finding(Kind.RECREATED)),
        (OURS, LAST, source(0, 5, "second"), new_log(0, 3), Finding(Kind.RECREATED)),
        (None, LAST, source(0, 5, "second"), new_log(0, 3), Finding(Kind.RECREATED)),
        (
            OURS, LAST, source(7, 100, "second"), new_log(7, 3),
            Finding(Kind.RECREATED, 0, 7),
        ),
        (
            OURS, LastFrame("second", 5, 3, None), source(0, 100, "second"), new_log(0, 5),
            Finding(Kind.RECREATED),
        ),
        (moved(50), LAST, source(0, 100, "second"), new_log(50, 3), Finding(Kind.RECREATED)),
        # no ids: the length is all there is to go by
        (
            replace(OURS, topic_id=""), None, source(0, C - 1, ""), new_log(0, 3, ""),
            Finding(Kind.RECREATED),
        ),
        (replace(OURS, topic_id=""), None, source(0, C, "first"), OURS, Finding(Kind.ORDINARY)),
        # an offset that is not ours
        (moved(75), LAST, source(0, 100), behind(75, 3, SPAN), Finding(Kind.SKIPPED, C, 75)),
        (moved(75), LAST, source(80, 100), behind(80, 3, SPAN), Finding(Kind.DELETED, C, 80)),
        (moved(500), LAST, source(0, 100), behind(100, 3, SPAN), Finding(Kind.SKIPPED, C, 100)),
        (moved(0), LAST, source(0, 100), behind(C), Finding(Kind.MOVED_BACK, C, C)),
        (moved(0), LAST, source(70, 100), behind(70, 3, SPAN), Finding(Kind.DELETED, C, 70)),
        (moved(C), LAST, source(0, 100), behind(C), Finding(Kind.MOVED_BACK, C, C)),
        (moved(5), LAST, source(0, C - 1), behind(C - 1), Finding(Kind.TRUNCATED)),
        (moved(50), None, source(0, 100), fresh(50, 0, "first"), Finding(Kind.ORDINARY, 50, 50)),
        (
            moved(50), None, source(70, 100), fresh(70, 0, "first", missed=True),
            Finding(Kind.DELETED, 50, 70),
        ),
        (moved(500), None, source(3, 100), new_log(3, 0, "first"), Finding(Kind.RECREATED, 0, 3)),
        # no commit
        (None, None, source(9, 100), fresh(9, 0, "first"), Finding(Kind.ORDINARY)),
        (None, LAST, source(0, 100), fresh(0, 2, "first"), Finding(Kind.ORDINARY)),
        (
            None, LastFrame("second", 3, 6, W, MissedSpan(None, W)), source(0, 9, "second"),
            replace(fresh(0, 3), missed=MissedSpan(None, W)), Finding(Kind.ORDINARY),
        ),
        (None, LAST, source(9, 100), behind(C), Finding(Kind.MOVED_BACK, C, C)),
        (None, LAST, source(70, 100), behind(70, 3, SPAN), Finding(Kind.DELETED, C, 70)),
    ],
)  # fmt: skip
def test_reading_goes_on(
    commit: Resume | None,
    last: LastFrame | None,
    log: SourceLog,
    resume: Resume,
    finding: Finding,
) -> None:
    assert begin_at(commit, last, log) == Begin(resume, finding)


def test_a_topic_that_was_never_read_may_begin_at_its_end() -> None:
    begin = begin_at(None, None, source(9, 100), from_end=True)
    assert begin == Begin(fresh(100, 0, "first"), Finding(Kind.ORDINARY))


JOINED = replace(OURS, lookups="60|rates:first|40 0.0+7")


@pytest.mark.parametrize(
    ("commit", "logs", "resume", "kind"),
    [
        (JOINED, ["rates:first"], JOINED, Kind.ORDINARY),
        (JOINED, ["rates:second"], behind(C), Kind.LOOKUP_RECREATED),
        (JOINED, [], JOINED, Kind.ORDINARY),  # the rules don't name it any more
        (JOINED, ["tiers:second"], JOINED, Kind.ORDINARY),
        (JOINED, ["rates"], JOINED, Kind.ORDINARY),  # the broker gives no ids
        (OURS, ["rates:second"], OURS, Kind.ORDINARY),  # nothing was joined
    ],
)
def test_what_was_joined_with_a_lookup_topic_that_is_gone_is_not_read_again(
    commit: Resume, logs: list[str], resume: Resume, kind: Kind
) -> None:
    begin = begin_at(commit, None, source(0, 100), lookup_logs=logs)
    assert (begin.resume, begin.finding.kind, begin.finding.missed) == (resume, kind, 0)
    assert needs_last_frame(commit, source(0, 100), logs) == (kind is not Kind.ORDINARY)


def test_frames_may_cover_more_than_the_commit_where_a_lookup_topic_is_gone() -> None:
    last = LastFrame("first", 2, 80, W)
    begin = begin_at(JOINED, last, source(0, 100), lookup_logs=["rates:second"])
    assert begin == Begin(behind(80), Finding(Kind.LOOKUP_RECREATED, 80, 80))


def test_a_new_log_begins_above_every_epoch_of_the_old_one() -> None:
    begin = begin_at(OURS, LAST, source(0, 9, "second"), log_epoch=8)
    assert begin.resume.epoch == 8


@pytest.mark.parametrize(
    ("frames", "epoch"),
    [
        ([], 0),
        ([("first", 2), ("first", 4)], 5),
        ([("second", 5), ("first", 4)], 5),  # begun on another partition
        ([("second", 7), ("second", 5)], 5),  # records were missed since, on one
        ([("", 3)], 4),
    ],
)
def test_all_partitions_of_a_new_log_begin_with_one_epoch(
    frames: list[tuple[str, int]], epoch: int
) -> None:
    last = {
        TopicPartition("orders", n): LastFrame(topic_id, of, C, W)
        for n, (topic_id, of) in enumerate(frames)
    }
    other = {TopicPartition("visits", 0): LastFrame("third", 9, C, W)}
    assert epoch_of_log(last | other, "orders", "second") == epoch


def test_a_partition_that_only_the_new_log_has_begins_with_its_epoch() -> None:
    # With a lower one, the merge would take its frames for those of the old log.
    begin = begin_at(None, None, source(0, 9, "second"), log_epoch=8)
    assert begin == Begin(fresh(0, 8), Finding(Kind.ORDINARY))


def test_an_earlier_span_of_missing_records_is_kept() -> None:
    commit = replace(OURS, missed=MissedSpan(W - 9_000, W - 8_000))
    assert begin_at(commit, None, source(75, 100)).resume.missed == MissedSpan(W - 9_000, None)
    assert begin_at(commit, None, source(H + 1, 100)).resume.missed == MissedSpan(W - 9_000, W)


@pytest.mark.parametrize(
    ("commit", "log", "needed"),
    [
        (OURS, source(0, 100), False),
        (OURS, source(75, 100), True),
        (OURS, source(0, 100, "second"), True),
        (replace(OURS, topic_id=""), source(0, C - 1, ""), True),
        (moved(5), source(0, 100), True),
        (None, source(0, 100), True),
    ],
)
def test_the_newest_frames_are_read_only_where_the_commit_does_not_say(
    commit: Resume | None, log: SourceLog, needed: bool
) -> None:
    assert needs_last_frame(commit, log) == needed


def frames() -> Iterator[tuple[int, bytes]]:
    for partition, covered, epoch in [(0, 5, 1), (1, 9, 0), (0, 4, 1), (0, 2, 2)]:
        frame = Frame(
            "orders", partition, 2, covered, W, None, W, True, {}, [], topic_id="id", epoch=epoch
        )
        for message in encode(frame):
            yield 0, message


def test_the_newest_frame_of_each_source_is_found() -> None:
    messages = [message for _, message in join(frames())]
    assert last_frames([b"rubbish", *messages]) == {
        TopicPartition("orders", 0): LastFrame("id", 2, 2, W),
        TopicPartition("orders", 1): LastFrame("id", 0, 9, W),
    }


@pytest.mark.parametrize("case", WORDS)
def test_what_was_found_is_said_with_topic_and_partition(case: tuple[Kind, bool]) -> None:
    kind, is_missing = case
    begin = Begin(behind(75), Finding(kind, C, 75 if is_missing else C))
    said = in_words(TopicPartition("orders", 4), begin)
    assert said is not None
    assert said[1].startswith("topic orders partition 4: ")
    if is_missing:
        assert "offsets 60 to 74 were not read (at most 15 records)" in said[1]
        assert said[1].endswith("marked as incomplete")


def test_an_ordinary_restart_is_nothing_to_talk_about() -> None:
    begin = Begin(OURS, Finding(Kind.ORDINARY))
    assert in_words(TopicPartition("orders", 4), begin) is None
