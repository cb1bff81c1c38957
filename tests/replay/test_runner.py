"""Which topic the records of one file belong to."""

from __future__ import annotations

from pathlib import Path

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
