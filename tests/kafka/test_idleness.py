"""For how long a partition has been idle, by what a worker can know."""

from __future__ import annotations

from aiokafka import TopicPartition

from agent.kafka.idleness import IdleDetector

TP = TopicPartition("orders", 0)
SESSION_SECONDS = 15.0


def detector_at(seconds: float, detector: IdleDetector | None = None) -> IdleDetector:
    """A detector whose loop has turned every second up to then, and that is a member then."""
    detector = detector or IdleDetector(SESSION_SECONDS)
    for second in range(int(seconds) + 1):
        detector.tick(second, second * 1000)
    detector.confirm_membership(seconds)
    return detector


def test_idle_time_is_as_long_as_the_answers_prove() -> None:
    detector = IdleDetector(SESSION_SECONDS)
    detector.received(TP, 2_000)
    detector_at(5, detector)
    assert detector.idle_ms(TP, 4_500) == 2_500
    detector.tick(7, 7_000)
    assert detector.idle_ms(TP, 7_000) == 5_000


def test_the_first_answer_after_a_sleep_proves_nothing_of_the_time_before() -> None:
    detector = IdleDetector(SESSION_SECONDS)
    detector.begin(TP, 1_000)  # then it sleeps, an answer in a buffer
    detector_at(1, detector)
    assert detector.idle_ms(TP, 28_000) == 0


def test_an_answer_from_before_the_last_record_proves_nothing() -> None:
    detector = detector_at(10)
    detector.received(TP, 9_000)
    assert detector.idle_ms(TP, 8_999) is None


def test_a_partition_that_is_not_at_its_end_is_not_idle() -> None:
    detector = detector_at(10)
    detector.received(TP, 2_000)
    assert detector.idle_ms(TP, None) is None


def test_an_empty_partition_is_idle_from_when_it_was_assigned() -> None:
    detector = IdleDetector(SESSION_SECONDS)
    detector.begin(TP, 1_000)
    detector_at(5, detector)
    assert detector.idle_ms(TP, 5_000) == 4_000


def test_a_worker_that_slept_begins_again() -> None:
    detector = IdleDetector(SESSION_SECONDS)
    detector.received(TP, 2_000)
    detector_at(5, detector)
    detector.tick(65, 65_000)
    detector.confirm_membership(65)
    assert detector.idle_ms(TP, 65_200) == 200


def test_a_suspended_machine_is_noticed_though_its_monotonic_clock_stood_still() -> None:
    detector = IdleDetector(SESSION_SECONDS)
    detector.received(TP, 2_000)
    detector_at(5, detector)
    detector.tick(5.1, 65_000)
    detector.confirm_membership(5.1)
    assert detector.idle_ms(TP, 65_200) == 200


def test_a_worker_that_may_have_lost_its_membership_says_nothing() -> None:
    detector = IdleDetector(SESSION_SECONDS)
    detector.received(TP, 1_000)
    detector_at(2, detector)
    for second in range(3, 19):
        detector.tick(second, second * 1000)
    assert detector.idle_ms(TP, 18_000) is None


def test_a_partition_revoked_is_forgotten() -> None:
    detector = detector_at(10)
    detector.received(TP, 2_000)
    detector.forget(TP)
    assert detector.idle_ms(TP, 9_000) is None


def test_an_answer_of_long_ago_proves_nothing_of_now() -> None:
    """The partition's leader is out of reach while others are not."""
    detector = IdleDetector(SESSION_SECONDS)
    detector.received(TP, 2_000)
    detector_at(5, detector)
    assert detector.idle_ms(TP, 5_000) == 3_000
    detector.tick(7.5, 7_500)
    detector.tick(9, 9_000)
    assert detector.idle_ms(TP, 5_900) is None
    assert detector.idle_ms(TP, 6_000) == 4_000


def test_idle_time_begins_again_when_answers_come_again() -> None:
    """Producers were cut off too: what they hold must not come to closed windows."""
    detector = IdleDetector(SESSION_SECONDS)
    detector.received(TP, 2_000)
    for second in range(30):
        detector.tick(second, second * 1000)
        detector.confirm_membership(second)
        detector.idle_ms(TP, min(second * 1000, 5_000))
    detector.tick(30, 30_000)
    assert detector.idle_ms(TP, 29_900) == 0
    detector.tick(31, 31_000)
    assert detector.idle_ms(TP, 30_900) == 1_000


def test_nobody_asks_while_nothing_is_acknowledged() -> None:
    detector = IdleDetector(SESSION_SECONDS)
    detector.received(TP, 2_000)
    detector_at(5, detector)
    assert detector.idle_ms(TP, 5_000) == 3_000
    for second in range(6, 31):
        detector.tick(second, second * 1000)
    detector.confirm_membership(30)
    assert detector.idle_ms(TP, 29_900) == 0


def test_asking_seldom_makes_no_idle_time_shorter() -> None:
    detector = IdleDetector(SESSION_SECONDS, asked_every_seconds=40)
    detector.received(TP, 0)
    for second in range(100):
        detector.tick(second, second * 1000)
        detector.confirm_membership(second)
        if second % 40 == 0:
            assert detector.idle_ms(TP, second * 1000) == second * 1000
