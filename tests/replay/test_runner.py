"""Which topic the records of one file belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.model.results import Outcome
from agent.language.load import load
from agent.replay.runner import replay, sources

RULES = """
version: 1
defaults: {lateness: 0s}
events:
  "3": {topic: numbers, type_field: kind, time: at}
  "true": {topic: booleans, type_field: kind, time: at}
  text: {topic: texts, type_field: kind, time: at}
kpis:
  threes: {from: "3", value: count(*), window: 1m}
  trues: {from: "true", value: count(*), window: 1m}
  texts: {from: text, value: count(*), window: 1m}
"""


def test_numbers_and_booleans_name_a_topic_as_text_does(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    events = tmp_path / "all.ndjson"
    kinds = ["3", "3", '"3"', "true", '"true"', '"text"', "4", "null"]
    events.write_text("".join(f'{{"kind": {kind}, "at": 1700000000000}}\n' for kind in kinds))
    plan = load(tmp_path / "rules.yaml")
    out = replay(plan, sources(plan, [str(events)]), 1_800_000_000_000)
    closed = [*out.emitted.windows, *out.open]
    assert {w.kpi: w.value for w in closed} == {"threes": 3, "trues": 2, "texts": 1}


TOPICS = """
version: 1
defaults: {lateness: 0s}
events:
  sale:
    topic: [shop, shop-eu]
    time: at
    fields: {topic: {path: {record: topic}, type: string}}
  visit: {topic: {pattern: "web-.*"}, time: at}
kpis:
  sales: {from: sale, value: count(*), by: [topic], window: 1m}
  visits: {from: visit, value: count(*), window: 1m}
"""


@pytest.mark.parametrize(
    ("files", "sales"),
    [
        pytest.param(["all.ndjson"], {"shop": 2, "shop-eu": 1}, id="records name their topics"),
        pytest.param(["plain.ndjson"], {"shop": 3}, id="events name none: the first"),
        pytest.param(["shop-eu=plain.ndjson", "web-a.ndjson"], {"shop-eu": 3}, id="files do"),
    ],
)
def test_a_record_of_a_contract_with_several_topics_belongs_to_one(
    tmp_path: Path, files: list[str], sales: dict[str, float]
) -> None:
    (tmp_path / "rules.yaml").write_text(TOPICS)
    topics = ["shop", "web-a", "shop-eu", "web-b", "shop"]
    events = [
        f'{{"type": "{"sale" if "shop" in topic else "visit"}", "at": {1_700_000_000_000 + i}}}'
        for i, topic in enumerate(topics)
    ]
    lines = [f'{{"topic": "{t}", "value": {e}}}' for t, e in zip(topics, events, strict=True)]
    visits = [event for event in events if "visit" in event]
    contents = {"all": lines, "plain": events, "web-a": visits}
    for name, content in contents.items():
        (tmp_path / f"{name}.ndjson").write_text("\n".join(content))
    plan = load(tmp_path / "rules.yaml")
    named = [file if "=" not in file else file.replace("=", f"={tmp_path}/") for file in files]
    paths = [file if "=" in file else str(tmp_path / file) for file in named]
    out = replay(plan, sources(plan, paths), 1_800_000_000_000)
    closed = [*out.emitted.windows, *out.open]
    assert {w.dimensions[0]: w.value for w in closed if w.kpi == "sales"} == sales
    assert [w.value for w in closed if w.kpi == "visits"] == [2]


ONE_TOPIC = """
version: 1
defaults: {lateness: 0s}
events:
  sale: {topic: shop, time: at}
  refund: {topic: refunds, time: at}
kpis:
  sales: {from: sale, value: count(*), window: 1m}
  refunds: {from: refund, value: count(*), window: 1m}
"""


@pytest.mark.parametrize(
    ("file", "values", "unread"),
    [
        pytest.param(
            "dump", {"sales": 1, "refunds": 1}, {"shop-old": 2}, id="no contract reads it"
        ),
        pytest.param("shop", {"sales": 1, "refunds": 1}, {"shop-old": 2}, id="nor by file's name"),
        pytest.param("shop=dump", {"sales": 3}, {}, id="the command line names the topic"),
    ],
)
def test_a_record_of_a_topic_that_no_contract_reads_is_ignored(
    tmp_path: Path, file: str, values: dict[str, float], unread: dict[str, int]
) -> None:
    (tmp_path / "rules.yaml").write_text(ONE_TOPIC)
    records = [("shop", "sale"), ("shop-old", "sale"), ("shop-old", "sale"), ("refunds", "refund")]
    topic, _, name = file.rpartition("=")
    path = tmp_path / f"{name}.ndjson"
    at = 1_700_000_000_000
    lines = [
        f'{{"topic": "{named}", "value": {{"type": "{type}", "at": {at}}}}}'
        for named, type in records
    ]
    path.write_text("\n".join(lines))
    plan = load(tmp_path / "rules.yaml")
    files = sources(plan, [f"{topic}={path}" if topic else str(path)])
    out = replay(plan, files, 1_800_000_000_000)
    closed = [*out.emitted.windows, *out.open]
    assert {w.kpi: w.value for w in closed if w.value} == values
    assert out.unread == unread
    assert out.outcomes[Outcome.IGNORED] == 4 - sum(values.values())
    assert out.records == 4
