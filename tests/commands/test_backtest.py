"""`kpi-agent backtest`, as a person or a program calls it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agent.cli import main

START = "2025-03-03T"
RULES = """\
version: 1
events:
  order: {topic: orders, time: at, fields: {amount: {type: float}, region: string}}
kpis:
  revenue: {unit: eur, from: order, value: sum(amount), by: [region], window: 10m}
rules:
  low: {kpi: revenue, when: {warning: value < 40, critical: value < 15}, for: 20m, runbook: https://example.org}
  high: {kpi: revenue, when: value > 1000}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rules, and six hours of one order a minute; low from two o'clock to three."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.yaml").write_text(RULES)
    with (tmp_path / "orders.ndjson").open("w") as out:
        for minute in range(360):
            amount = 1 if 120 <= minute < 180 else 3 if minute < 30 else 9
            at = f"{START}{minute // 60:02}:{minute % 60:02}:30Z"
            event = {"type": "order", "at": at, "amount": amount, "region": "<emea>"}
            out.write(json.dumps(event) + "\n")
    return tmp_path


def backtest(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["backtest", "orders.ndjson", *arguments]) == 0
    return capsys.readouterr().out


def test_every_episode_is_reported_with_its_times(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = json.loads(backtest(capsys, "--format", "json"))
    assert [(e["severity"], e["began"], e["fired"], e["resolved"]) for e in shown["episodes"]] == [
        ("warning", f"{START}00:10:00Z", f"{START}00:30:00Z", f"{START}00:40:00Z"),
        ("critical", f"{START}02:10:00Z", f"{START}02:30:00Z", f"{START}03:10:00Z"),
        ("warning", f"{START}02:10:00Z", f"{START}02:30:00Z", f"{START}03:10:00Z"),
    ]
    assert shown["episodes"][1]["peak"] == 10.0
    assert shown["episodes"][1]["dimensions"] == {"region": "<emea>"}
    assert shown["episodes"][1]["lasted_seconds"] == 2400.0
    assert [(r["rule"], r["episodes"]) for r in shown["rules"]] == [("high", 0), ("low", 3)]
    assert shown["rules"][1]["per_week"] == pytest.approx(3 / (350 / (7 * 24 * 60)), abs=0.01)
    assert shown["records"]["outcomes"]["folded"] == 360


def test_people_get_a_table_and_a_chart(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = backtest(capsys, "--rule", "low", "--since", "2025-03-03T01:00")
    assert "2025-03-03 01:00 to 2025-03-03 05:50 UTC" in text
    assert "low on revenue: 2 episodes, " in text
    assert "high" not in text
    assert "  critical  region=<emea>  2025-03-03 02:10  2025-03-03 02:30  2025-03-03 03:10" in text
    [fires] = [line for line in text.splitlines() if line.strip().startswith("fires")]
    row = fires.partition("│")[2]
    # 290 minutes in 96 columns: pending from the 70th minute, firing from the 90th to the 130th.
    assert (row.index("·"), row.index("━"), len(row)) == (23, 29, 44)
    assert text.endswith("360 records: 360 folded\n")


def test_a_change_says_what_is_gained_and_lost(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = RULES.replace("for: 20m", "for: 40m").replace("value > 1000", "value > 80")
    (shop / "new.yaml").write_text(changed)
    shown = json.loads(
        backtest(capsys, "--rules", "new.yaml", "--against", "rules", "--format", "json")
    )
    assert [(e["rule"], e["fired"]) for e in shown["lost"]] == [("low", f"{START}00:30:00Z")]
    assert [(e["rule"], e["fired"][11:16]) for e in shown["gained"]] == [
        ("high", "00:40"), ("high", "03:10"),
    ]  # fmt: skip
    assert [(k["before"]["fired"][11:16], k["after"]["fired"][11:16]) for k in shown["kept"]] == [
        ("02:30", "02:50"),
        ("02:30", "02:50"),
    ]
    text = backtest(capsys, "--rules", "new.yaml", "--against", "rules")
    assert "against rules: 2 gained, 1 lost" in text
    assert "  + warning   region=<emea>  2025-03-03 00:40" in text
    assert "  - warning   region=<emea>  2025-03-03 00:10" in text


def test_the_page_is_whole_in_itself(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "new.yaml").write_text(RULES.replace("for: 20m", "for: 40m"))
    text = backtest(capsys, "--rules", "new.yaml", "--against", "rules", "--format", "html")
    assert not re.search(r"(src|href)=|url\(|@import|<script", text)
    assert "&lt;emea&gt;" in text and "<emea>" not in text
    [drawing] = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    svg = ElementTree.fromstring(drawing)
    shapes = [(e.tag, e.get("class")) for e in svg.iter() if e.get("class")]
    assert shapes.count(("rect", "critical fires")) == 1
    assert shapes.count(("rect", "warning fires")) == 1
    assert shapes.count(("rect", "former")) == 3
    assert shapes.count(("line", "bound")) == 2  # 40 and 15
    assert shapes.count(("path", "value")) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["orders.ndjson", "--rule", "hihg"], 1, "no rule is called hihg"),
        (["missing.ndjson"], 3, "no such file"),
        (["--brokers", "localhost:1"], 3, "can't be read from localhost:1"),
        (["orders.ndjson", "--against", "nowhere"], 3, "git"),
    ],
)
def test_what_can_not_be_tested_is_reported(
    shop: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    assert main(["backtest", *arguments]) == code
    assert said in capsys.readouterr().err
