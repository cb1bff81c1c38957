"""What happens to the agent's own topics is noticed, and what exactness needs is not made again."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agent.kafka.topic_watch import (
    Logs,
    StateLost,
    TopicLog,
    TopicWatch,
    check_state_is_whole,
)
from agent.kafka.topics import TopicNames
from agent.settings import load_settings

SETTINGS = load_settings(brokers="one:9092")
NAMES = TopicNames.of(SETTINGS)
ALL: Logs = {topic: TopicLog("first", {0: 100, 1: 200}) for topic in NAMES.configs()}


def without(*topics: str) -> Logs:
    return {topic: log for topic, log in ALL.items() if topic not in topics}


def recreated(*topics: str) -> Logs:
    return {**ALL, **{topic: TopicLog("first", {0: 3, 1: 200}) for topic in topics}}


def renamed(*topics: str) -> Logs:
    """Created again, and longer than before already."""
    return {**ALL, **{topic: TopicLog("second", {0: 900, 1: 900}) for topic in topics}}


def watched(*looks: Logs) -> TopicWatch:
    watch = TopicWatch(SETTINGS)
    for ends in looks:
        watch.see(ends)
    return watch


OUTPUTS = [NAMES.values, NAMES.alerts, NAMES.board, NAMES.late, NAMES.dead_letters]


@pytest.mark.parametrize("topic", OUTPUTS)
def test_an_output_topic_that_is_deleted_is_reported_once(topic: str) -> None:
    watch = watched(ALL, without(topic))
    assert watch.see(without(topic)).deleted == {topic}
    assert not watch.see(without(topic)).deleted


def test_what_is_found_once_only_has_not_happened() -> None:
    watch = watched(ALL)
    for doubtful in (without(NAMES.values), recreated(NAMES.frames), without(NAMES.series)):
        changes = watch.see(doubtful)
        assert not changes.deleted and not changes.recreated
        watch.see(ALL)


def test_an_output_topic_that_is_made_again_is_reported() -> None:
    watch = watched(ALL, recreated(NAMES.board))
    assert watch.see(recreated(NAMES.board)).recreated == {NAMES.board}


@pytest.mark.parametrize("topic", [NAMES.frames, NAMES.series])
@pytest.mark.parametrize("harm", [without, recreated, renamed])
def test_lost_frames_or_state_stop_the_process_for_good(topic: str, harm: object) -> None:
    harmed: Logs = harm(topic)  # type: ignore[operator]
    watch = watched(ALL, harmed)
    with pytest.raises(StateLost, match=topic) as lost:
        watch.see(harmed)
    assert lost.value.hint is not None and "Stop all agents" in lost.value.hint
    with pytest.raises(StateLost):
        watch.refuse_after_loss()
    with pytest.raises(StateLost):  # made again by hand: what it held is not in it
        watch.see({**ALL, topic: TopicLog("second", {0: 0, 1: 0})})


def test_without_ids_only_a_log_that_is_shorter_is_another_one() -> None:
    old: Logs = {topic: TopicLog("", {0: 5, 1: 0}) for topic in NAMES.configs()}
    watch = watched(old, ALL)
    assert watch.see(ALL).recreated == frozenset()


def test_both_topics_gone_while_running_are_not_a_beginning() -> None:
    gone = without(NAMES.frames, NAMES.series)
    watch = watched(ALL, gone)
    with pytest.raises(StateLost, match=f"{NAMES.frames}.*{NAMES.series}"):
        watch.see(gone)


def test_topics_that_grow_or_get_partitions_are_fine() -> None:
    watch = watched(ALL)
    for _ in range(2):
        changes = watch.see({topic: TopicLog("first", {0: 101, 1: 200, 2: 0}) for topic in ALL})
        assert not changes.deleted and not changes.recreated


@pytest.mark.parametrize(
    ("ends", "lost"),
    [
        ({}, None),  # the first start
        ({NAMES.values: {0: 7}}, None),  # both were deleted while no agent ran
        ({NAMES.frames: {0: 0}}, None),
        ({NAMES.series: {0: 0}}, None),
        ({NAMES.frames: {0: 0, 1: 5}}, NAMES.series),
        ({NAMES.series: {0: 5}}, NAMES.frames),
        ({topic: log.ends for topic, log in ALL.items()}, None),
    ],
)
def test_a_missing_state_topic_is_not_created_beside_one_that_has_records(
    ends: Mapping[str, Mapping[int, int]], lost: str | None
) -> None:
    logs = {topic: TopicLog("first", of) for topic, of in ends.items()}
    if lost is None:
        check_state_is_whole(SETTINGS, NAMES, logs)
    else:
        with pytest.raises(StateLost, match=f"topic {lost} is missing"):
            check_state_is_whole(SETTINGS, NAMES, logs)
