"""Log messages about source partitions that are not simply read on from their commits."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiokafka import TopicPartition

from agent.kafka.ingest_assignment import Begin, Kind


def in_words(tp: TopicPartition, begin: Begin) -> tuple[int, str] | None:
    """The log message about a finding, with its level; None: the partition is read on as usual."""
    finding = begin.finding
    message = WORDS.get((finding.kind, finding.missed > 0))
    if message is None:
        return None
    level, text = message
    text = text.format(
        at=begin.resume.offset,
        lost=f"offsets {finding.first} to {finding.last - 1} were not read (at most "
        f"{finding.missed} records)",
    )
    marked = ". Windows that may lack them are marked as incomplete" if finding.missed else ""
    return level, f"topic {tp.topic} partition {tp.partition}: {text}{marked}"


WORDS: Mapping[tuple[Kind, bool], tuple[int, str]] = {
    (Kind.RECREATED, False): (
        logging.WARNING,
        "the topic was deleted and created again; its log is read from offset {at}. Records of the "
        "old log that were not read are lost, and repeats of those that were would count again: "
        "windows that are open now are marked as incomplete",
    ),
    (Kind.RECREATED, True): (
        logging.ERROR,
        "the topic was deleted and created again; its log is read from offset {at}, and {lost}: "
        "retention had deleted them",
    ),
    (Kind.LOOKUP_RECREATED, False): (
        logging.WARNING,
        "a lookup topic was deleted and created again; events from offset {at} on are joined with "
        "its rows, and those before keep what they were joined with. Repeats of them would not be "
        "noticed: windows that are open now are marked as incomplete",
    ),
    (Kind.TRUNCATED, False): (
        logging.WARNING,
        "the log ends at {at}, before the last offset that was read: the broker has lost its end "
        "(an unclean leader election?). Reading continues there",
    ),
    (Kind.SKIPPED, True): (
        logging.ERROR,
        "{lost}: somebody moved the group's offset forward",
    ),
    (Kind.DELETED, True): (
        logging.ERROR,
        "{lost}: they were deleted from the log before (retention.ms, retention.bytes)",
    ),
    (Kind.DELETED, False): (
        logging.WARNING,
        "records of unfinished windows were deleted from the log; all of them had been counted, "
        "and reading continues at {at}. Repeats of them would not be noticed: windows that are "
        "open now are marked as incomplete",
    ),
    (Kind.MOVED_BACK, False): (
        logging.WARNING,
        "the group's offset was moved from outside; reading continues at {at}, where it was: "
        "windows that are closed are not opened again",
    ),
}
"""Level and text of the message, by the kind of the finding and whether records are missing."""
