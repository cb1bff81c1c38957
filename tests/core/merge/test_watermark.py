"""How far event time may go on the claims of the sources."""

from __future__ import annotations

from dataclasses import replace

from agent.core.frame import Frame
from agent.core.merge.watermark import Sources
from agent.core.model.events import Contract, TimeSource, Topics

SECOND = 1_000
IDLE_AFTER_MS = 30 * SECOND


def contract() -> Contract:
    return Contract(
        name="sale", topics=Topics(("shop",)), type_path=None, type_value="",
        times=(TimeSource(("at",)),),
        timezone="UTC", ids=(), lateness_ms=0, max_future_ms=0,
        idle_after_ms=IDLE_AFTER_MS, max_bytes=1_000, fields=(), duplicate_window_ms=SECOND,
    )  # fmt: skip


def status(
    sources: Sources,
    partition: int,
    watermark_s: int | None,
    quiet_s: int | None,
    clock_s: int,
) -> int | None:
    """What the watermark is, in s, after a frame of one of two partitions."""
    ms = None if watermark_s is None else watermark_s * SECOND
    idle_ms = None if quiet_s is None else quiet_s * SECOND
    sources.update(Frame("shop", partition, 2, 1, ms, idle_ms, clock_s * SECOND, True, {}, []))
    reached = sources.of_contract("sale").watermark_ms()
    return None if reached is None else reached // SECOND


def test_the_slowest_source_holds_time_back() -> None:
    sources = Sources([contract()])
    assert status(sources, 0, 100, None, 100) is None
    assert status(sources, 1, 60, None, 100) == 60


def test_an_idle_source_holds_time_back_to_its_claim_only() -> None:
    sources = Sources([contract()])
    status(sources, 0, 100, None, 100)
    assert status(sources, 1, 20, 29, 100) == 20
    assert status(sources, 1, 20, 40, 101) == 100


def test_when_all_are_idle_time_moves_by_the_quiet_they_share() -> None:
    sources = Sources([contract()])
    status(sources, 0, 100, 35, 140)
    assert status(sources, 1, 20, 90, 140) == 135


def test_the_claim_of_a_dead_worker_says_nothing_of_the_time_since() -> None:
    sources = Sources([contract()])
    status(sources, 0, 60, 40, 100)  # its worker dies here
    assert status(sources, 1, 105, None, 105) == 100
    assert status(sources, 1, 105, 31, 136) == 100
    assert status(sources, 1, 105, 300, 405) == 100


def test_an_empty_source_counts_from_its_claim() -> None:
    sources = Sources([contract()])
    status(sources, 0, 100, None, 100)
    assert status(sources, 1, None, 29, 99) is None
    assert status(sources, 1, None, 31, 101) == 100


TOPICS = Topics(pattern="shop.*")


def of_topic(sources: Sources, topic: str, watermark_s: int, **siblings: int) -> int | None:
    """What the watermark is, in s, after a frame of a topic of one partition that lists others."""
    ms = watermark_s * SECOND
    sources.update(Frame(topic, 0, 1, 1, ms, None, ms, True, {}, [], siblings=siblings))
    reached = sources.of_contract("sale").watermark_ms()
    return None if reached is None else reached // SECOND


def test_the_slowest_of_all_topics_holds_time_back() -> None:
    sources = Sources([replace(contract(), topics=TOPICS)])
    assert of_topic(sources, "shop", 100, shops=1) is None
    assert of_topic(sources, "shops", 60, shop=1) == 60
    assert of_topic(sources, "shops", 90, shop=1) == 90


def test_a_topic_that_appears_holds_time_back_from_the_first_frame_that_lists_it() -> None:
    sources = Sources([replace(contract(), topics=TOPICS)])
    assert of_topic(sources, "shop", 100) == 100
    assert of_topic(sources, "shop", 200, shops=2) == 100
    assert of_topic(sources, "shops", 300, shop=1) == 100  # one of its two partitions
    assert of_topic(sources, "shop", 210, shops=1) == 210


def test_a_topic_that_is_no_longer_listed_holds_nothing_back() -> None:
    sources = Sources([replace(contract(), topics=TOPICS)])
    of_topic(sources, "shop", 100, shops=1)
    assert of_topic(sources, "shops", 60, shop=1) == 60
    assert of_topic(sources, "shop", 200, shops=1) == 60
    assert of_topic(sources, "shop", 201) == 201
    assert of_topic(sources, "shop", 220, shops=1) == 201  # it is there again


def test_topics_of_other_contracts_hold_nothing_back() -> None:
    sources = Sources([replace(contract(), topics=Topics(("shop", "shops")))])
    assert of_topic(sources, "shop", 100, other=3) == 100


def test_a_source_that_has_ended_holds_nothing_back_until_all_have() -> None:
    sources = Sources([contract()])
    status(sources, 0, 100, None, 100)
    assert status(sources, 1, 20, None, 100) == 20
    sources.of_topic("shop").ended.add(1)
    assert status(sources, 1, 20, None, 100) == 100
    sources.of_topic("shop").ended.add(0)
    assert status(sources, 0, 120, None, 120) == 100


def of_log(
    sources: Sources, log: int, watermark_s: int | None, quiet_s: int | None, clock_s: int
) -> int | None:
    """What the watermark is, in s, after a frame of the only partition of a topic, in its first,
    second, ... log."""
    ms = None if watermark_s is None else watermark_s * SECOND
    idle_ms = None if quiet_s is None else quiet_s * SECOND
    sources.update(
        Frame(
            "shop", 0, 1, 1, ms, idle_ms, clock_s * SECOND, True, {}, [],
            topic_id=f"log {log}", epoch=log,
        )
    )  # fmt: skip
    reached = sources.of_contract("sale").watermark_ms()
    return None if reached is None else reached // SECOND


def test_time_goes_on_while_a_topic_that_was_created_again_is_empty() -> None:
    sources = Sources([contract()])
    assert of_log(sources, 0, 100, 0, 100) == 100
    assert of_log(sources, 1, None, 0, 110) == 100
    assert of_log(sources, 1, None, 35, 145) == 135
    assert of_log(sources, 1, None, 45, 155) == 145
    assert of_log(sources, 2, None, 0, 160) == 145  # and again
    assert of_log(sources, 2, None, 30, 190) == 175
    assert of_log(sources, 2, 140, 0, 195) == 175  # time never goes back
    assert of_log(sources, 2, 200, 0, 200) == 200


def test_a_topic_of_which_nothing_was_ever_read_has_no_time() -> None:
    sources = Sources([contract()])
    assert of_log(sources, 0, None, 100, 100) is None
    assert of_log(sources, 1, None, 200, 200) is None
