"""What is known not to have been read of a topic that is gone."""

from __future__ import annotations

from aiokafka import TopicPartition

from agent.kafka.partition_counts import UnreadRecords

ONE, TWO = TopicPartition("orders", 0), TopicPartition("orders", 1)


def test_what_lies_between_the_frames_and_the_end_of_the_log_is_not_read() -> None:
    unread = UnreadRecords()
    unread.begin(ONE, 10)
    unread.begin(TWO, 0)
    assert unread.of_topic("orders") == {}  # nobody has said how long the logs are
    unread.ended({ONE: 30, TWO: 5})
    unread.acknowledged({ONE: 20, TWO: 5})
    assert unread.of_topic("orders") == {ONE: range(20, 30)}
    assert unread.of_topic("visits") == {}


def test_nothing_is_known_of_a_partition_that_was_taken_away() -> None:
    unread = UnreadRecords()
    unread.begin(ONE, 0)
    unread.ended({ONE: 5})
    unread.forget(ONE)
    unread.acknowledged({ONE: 3})
    unread.ended({ONE: 9})
    assert unread.of_topic("orders") == {}
    unread.begin(ONE, 3)  # of another log, perhaps
    assert unread.of_topic("orders") == {}
