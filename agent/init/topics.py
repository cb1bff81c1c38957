"""The topics of a sample: those whose records are alike share their contracts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from agent.init.naming import snake
from agent.init.places import chosen_names
from agent.init.reading import Sample, read
from agent.init.sample import profile
from agent.replay.record_forms import FileBatch

LEAST_ALIKE = 0.5
"""The share of fields that the records of two topics must have in common."""


def samples(batches: Iterable[FileBatch]) -> list[Sample]:
    """The samples of the topics that records name, the events of each in the order of the records;
    one for topics whose records are alike."""
    files = list(batches)
    topics = list(dict.fromkeys(t for file in files for t in file.topics or (None,)))
    groups: list[tuple[Sample, list[str | None]]] = []
    for topic in topics:
        sample = _sample(files, [topic])
        alike = next((members for first, members in groups if _are_alike(first, sample)), None)
        if alike is not None:
            alike.append(topic)
        elif sample.events:
            groups.append((sample, [topic]))
    return [first if len(members) == 1 else _sample(files, members) for first, members in groups]


def _sample(files: Sequence[FileBatch], topics: Sequence[str | None]) -> Sample:
    """The sample of the records of some topics."""
    own = (
        file.of([row for row, topic in enumerate(file.topics) if topic in topics])
        if file.topics
        else file
        for file in files
        if file.topics or None in topics
    )
    return replace(read(own), topics=[topic for topic in topics if topic])


def chosen(samples: Sequence[Sample], answer: str) -> list[Sample]:
    """The samples of the topics of an answer. Where no record names one of these, the answer names
    the topic of all records."""
    names = tuple(chosen_names(answer))
    own = [sample for sample in samples if {*names} & {*sample.topics}]
    return [
        replace(sample.of_topics(names), topics=tuple(n for n in names if n in sample.topics))
        for sample in own
    ] or [replace(sample, topics=names) for sample in samples]


def common_name(topics: Sequence[str]) -> str:
    """A name for topics: what all of them begin with, `shop` of `shop-no` and `shop-se`; else the
    first."""
    if len(topics) == 1:
        return topics[0]
    begin = topics[0]
    for topic in topics:
        while not topic.startswith(begin):
            begin = begin[:-1]
    begin = begin.rstrip("-_.0123456789")
    return begin if len(snake(begin)) > 1 else topics[0]


def _are_alike(sample: Sample, other: Sample) -> bool:
    if (sample.envelope, sample.decode) != (other.envelope, other.decode):
        return False
    fields, others = ({*profile(each.events)} for each in (sample, other))
    return len(fields & others) >= LEAST_ALIKE * len(fields | others)
