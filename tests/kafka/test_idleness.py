"""When a partition may be called quiet."""

from __future__ import annotations

from aiokafka import TopicPartition

from agent.kafka.idleness import IdleDetector

TP = TopicPartition("orders", 0)
SESSION_SECONDS = 15.0


def watch_at(seconds: float, watch: IdleDetector | None = None) -> IdleDetector:
    """A watch whose loop has turned every second up to then, and whose membership is alive."""
    watch = watch or IdleDetector(SESSION_SECONDS)
    for second in range(int(seconds) + 1):
        watch.tick(second, second * 1000)
    watch.alive(seconds)
    return watch


def test_quiet_is_as_long_as_the_answers_prove() -> None:
    watch = IdleDetector(SESSION_SECONDS)
    watch.fetched(TP, 2_000)
    watch_at(5, watch)
    assert watch.quiet_ms(TP, 4_500) == 2_500
    watch.tick(7, 7_000)
    assert watch.quiet_ms(TP, 7_000) == 5_000


def test_the_first_answer_after_a_sleep_proves_nothing_of_the_time_before() -> None:
    watch = IdleDetector(SESSION_SECONDS)
    watch.begin(TP, 1_000)  # and the worker sleeps, with an answer to its first fetch in a buffer
    watch_at(1, watch)
    assert watch.quiet_ms(TP, 28_000) == 0


def test_an_answer_from_before_the_last_record_proves_nothing() -> None:
    watch = watch_at(10)
    watch.fetched(TP, 9_000)
    assert watch.quiet_ms(TP, 8_999) is None


def test_a_partition_that_is_not_at_its_end_is_not_quiet() -> None:
    watch = watch_at(10)
    watch.fetched(TP, 2_000)
    assert watch.quiet_ms(TP, None) is None


def test_an_empty_partition_is_quiet_from_when_it_was_taken_on() -> None:
    watch = IdleDetector(SESSION_SECONDS)
    watch.begin(TP, 1_000)
    watch_at(5, watch)
    assert watch.quiet_ms(TP, 5_000) == 4_000


def test_a_worker_that_slept_begins_its_quiet_anew() -> None:
    watch = IdleDetector(SESSION_SECONDS)
    watch.fetched(TP, 2_000)
    watch_at(5, watch)
    watch.tick(65, 65_000)
    watch.alive(65)
    assert watch.quiet_ms(TP, 65_200) == 200


def test_a_suspended_machine_is_noticed_though_its_monotonic_clock_stood_still() -> None:
    watch = IdleDetector(SESSION_SECONDS)
    watch.fetched(TP, 2_000)
    watch_at(5, watch)
    watch.tick(5.1, 65_000)
    watch.alive(5.1)
    assert watch.quiet_ms(TP, 65_200) == 200


def test_a_worker_that_may_have_lost_its_membership_says_nothing() -> None:
    watch = IdleDetector(SESSION_SECONDS)
    watch.fetched(TP, 1_000)
    watch_at(2, watch)
    for second in range(3, 19):
        watch.tick(second, second * 1000)
    assert watch.quiet_ms(TP, 18_000) is None


def test_a_partition_given_back_is_forgotten() -> None:
    watch = watch_at(10)
    watch.fetched(TP, 2_000)
    watch.forget(TP)
    assert watch.quiet_ms(TP, 9_000) is None


def test_an_answer_of_long_ago_proves_nothing_of_now() -> None:
    """The partition's leader is out of reach while others are not."""
    watch = IdleDetector(SESSION_SECONDS)
    watch.fetched(TP, 2_000)
    watch_at(5, watch)
    assert watch.quiet_ms(TP, 5_000) == 3_000
    watch.tick(7.5, 7_500)
    watch.tick(9, 9_000)
    assert watch.quiet_ms(TP, 5_900) is None
    assert watch.quiet_ms(TP, 6_000) == 4_000


def test_quiet_begins_anew_when_answers_come_again() -> None:
    """Producers were cut off too: what they hold must not come to closed windows."""
    watch = IdleDetector(SESSION_SECONDS)
    watch.fetched(TP, 2_000)
    for second in range(30):
        watch.tick(second, second * 1000)
        watch.alive(second)
        watch.quiet_ms(TP, min(second * 1000, 5_000))
    watch.tick(30, 30_000)
    assert watch.quiet_ms(TP, 29_900) == 0
    watch.tick(31, 31_000)
    assert watch.quiet_ms(TP, 30_900) == 1_000


def test_nobody_asks_while_nothing_is_acknowledged() -> None:
    watch = IdleDetector(SESSION_SECONDS)
    watch.fetched(TP, 2_000)
    watch_at(5, watch)
    assert watch.quiet_ms(TP, 5_000) == 3_000
    for second in range(6, 31):
        watch.tick(second, second * 1000)
    watch.alive(30)
    assert watch.quiet_ms(TP, 29_900) == 0


def test_asking_seldom_makes_no_quiet_shorter() -> None:
    watch = IdleDetector(SESSION_SECONDS, asked_every_seconds=40)
    watch.fetched(TP, 0)
    for second in range(100):
        watch.tick(second, second * 1000)
        watch.alive(second)
        if second % 40 == 0:
            assert watch.quiet_ms(TP, second * 1000) == second * 1000
