"""The names and configurations of the topics that the agent writes."""

from __future__ import annotations

from dataclasses import asdict

from agent.kafka.topics import DAY_MS, TopicNames
from agent.settings import load_settings


def test_internal_topics_have_the_prefix_and_public_ones_their_own_names() -> None:
    names = TopicNames.of(load_settings(topic_prefix="shop"))
    assert asdict(names) == {
        "frames": "shop-frames",
        "series": "shop-series",
        "board": "shop-board",
        "dead_letters": "shop-dead-letters",
        "late": "shop-late",
        "values": "kpi-values",
        "alerts": "kpi-alerts",
    }


def test_each_name_can_be_chosen() -> None:
    chosen = {f"{name}_topic": f"my.{name}" for name in asdict(TopicNames.of(load_settings()))}
    names = TopicNames.of(load_settings(**chosen))
    assert asdict(names) == {name: f"my.{name}" for name in asdict(names)}


def test_only_the_state_and_the_board_are_compacted() -> None:
    names = TopicNames.of(load_settings())
    configs = names.configs()
    assert configs.keys() == set(asdict(names).values())
    policies = {topic: config["cleanup.policy"] for topic, config in configs.items()}
    assert {t for t, policy in policies.items() if policy == "compact"} == {
        names.series, names.board,
    }  # fmt: skip


def test_frames_are_kept_over_a_weekend_and_what_people_read_for_a_month() -> None:
    names = TopicNames.of(load_settings())
    kept = {t: c.get("retention.ms") for t, c in names.configs().items()}
    assert kept[names.frames] == str(3 * DAY_MS)
    assert kept[names.values] == kept[names.dead_letters] == str(30 * DAY_MS)
