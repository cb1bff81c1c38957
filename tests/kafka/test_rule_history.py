"""Rule changes on the board topic: each is marked once, however workers adopt it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.core.model.plan import Plan
from agent.kafka import rule_history
from agent.kafka.board_topic import BoardReader
from agent.kafka.explain_requests import ExplainRequests
from agent.kafka.rule_history import MOST_CHANGES, RULES_KEY, UNKNOWN
from agent.language.load import load
from agent.settings import load_settings
from tests.kafka.support import RULES

TARGET = RULES.replace("at_least: 20", "at_least: 10")
MORE = RULES.replace("value < 20", "value < 15")


def plan_of(folder: Path, text: str) -> Plan:
    file = folder / "shop.yaml"
    file.write_text(text)
    return load(file)


class Topic:
    """The board topic of several workers: what one writes, all read."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self.workers: list[BoardReader] = []

    def start(self, plan: Plan) -> BoardReader:
        """A worker starts with these rules, reads the topic, and announces them."""
        worker = BoardReader(load_settings(), "board", plan, ExplainRequests("test"))
        for key, row in self.rows.items():
            worker.add(key, row)
        self.workers.append(worker)
        self.tick(worker)
        return worker

    def reload(self, worker: BoardReader, plan: Plan) -> None:
        worker.replan(plan)
        self.tick(worker)

    def tick(self, worker: BoardReader) -> None:
        history = worker.rule_history
        if history.is_announced(worker.plan):
            return
        written = history.announcement(worker.plan)
        history.announced(worker.plan)
        self.rows |= written
        for reader in self.workers:
            for key, row in written.items():
                reader.add(key, row)


def texts(worker: BoardReader) -> list[str]:
    return [change.about["revenue"] for change in worker.rule_history.changes()]


NEW_TARGET = "target: at_least 20 → at_least 10"


def test_a_rolling_change_is_one_change_on_every_worker(tmp_path: Path) -> None:
    topic, old = Topic(), plan_of(tmp_path, RULES)
    first, second = topic.start(old), topic.start(old)
    assert first.rule_history.changes() == []
    new = plan_of(tmp_path, TARGET)
    topic.reload(first, new)
    topic.tick(second)  # it still runs the old rules
    restarted = topic.start(new)
    topic.reload(second, new)
    assert texts(first) == texts(second) == texts(restarted) == [NEW_TARGET]
    [change] = first.rule_history.changes()
    assert change.text == "1 KPI changed; all state is kept"
    assert not change.is_general


def test_a_change_while_no_worker_ran_is_known_and_one_that_is_taken_back_is_another(
    tmp_path: Path,
) -> None:
    topic = Topic()
    topic.start(plan_of(tmp_path, RULES))
    worker = topic.start(plan_of(tmp_path, TARGET))
    topic.reload(worker, plan_of(tmp_path, MORE))
    topic.reload(worker, plan_of(tmp_path, RULES))
    assert [text.split("; ") for text in texts(worker)] == [
        [NEW_TARGET],
        ["target: at_least 10 → at_least 20", "rule low, when.warning: value < 20 → value < 15"],
        ["rule low, when.warning: value < 15 → value < 20"],
    ]


def test_the_topic_keeps_the_last_changes(tmp_path: Path) -> None:
    topic, plans = Topic(), [plan_of(tmp_path, RULES), plan_of(tmp_path, TARGET)]
    worker = topic.start(plans[0])
    for number in range(1, MOST_CHANGES + 4):
        topic.reload(worker, plans[number % 2])
    changes = worker.rule_history.changes()
    assert [change.number for change in changes] == list(range(4, MOST_CHANGES + 4))
    assert len(topic.rows) == MOST_CHANGES + 1


def test_of_rules_that_are_too_large_or_of_another_version_a_change_is_known_but_not_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic()
    monkeypatch.setattr(rule_history, "MOST_OUTLINE_CHARS", 10)
    topic.start(plan_of(tmp_path, RULES))
    worker = topic.start(plan_of(tmp_path, TARGET))
    [change] = worker.rule_history.changes()
    assert (change.text, change.is_general) == (UNKNOWN, True)
    rules = msgspec.json.decode(topic.rows[RULES_KEY] or b"")
    topic.rows[RULES_KEY] = msgspec.json.encode(rules | {"outline": "bm90IHBhY2tlZA=="})
    worker = topic.start(plan_of(tmp_path, RULES))
    assert [change.text for change in worker.rule_history.changes()] == [UNKNOWN, UNKNOWN]
