"""Drawn rules and drawn events through `kpi-agent replay`, compared with an independent reading.

`KPI_AGENT_FUZZ_CASES=1000` (and `KPI_AGENT_FUZZ_FIRST=…`) draws more than the usual few.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.cli import main
from agent.core.aggregate.sketches import QUANTILE_ERROR

from .fuzz_cases import Drawing, Drawn
from .fuzz_truth import FuzzTruth, Place, Published

CASES = int(os.environ.get("KPI_AGENT_FUZZ_CASES", "30"))
QUICK_CASES = 10
FIRST = int(os.environ.get("KPI_AGENT_FUZZ_FIRST", "0"))


SEEDS = [
    pytest.param(seed, marks=[pytest.mark.slow] * (seed >= FIRST + QUICK_CASES))
    for seed in range(FIRST, FIRST + CASES)
]


@pytest.mark.parametrize("seed", SEEDS)
def test_replay_says_what_a_plain_reading_of_the_rules_says(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = Drawing(seed).draw()
    lines = replayed(drawn, tmp_path, capsys)
    truth = FuzzTruth(drawn)
    summary = lines[-1]
    assert summary["outcomes"] == {
        name: truth.outcomes[name]
        for name in ("folded", "rejected", "late", "duplicate", "empty", "ignored")
    }
    assert summary["reasons"] == dict(truth.reasons)
    assert summary["records"] == sum(len(records) for _, records in drawn.files)
    for kpi in drawn.rules["kpis"]:
        actual = published(lines, kpi)
        expected = truth.windows(kpi)
        assert set(actual) == set(expected), kpi
        sketched = any("quantile" in drawn.theirs[i]["value"] for i in inputs(drawn, kpi))
        for place, window in expected.items():
            compare(
                actual[place], window, QUANTILE_ERROR * 1.0001 if sketched else 1e-9, (kpi, place)
            )
        held_against_target(lines, kpi, drawn, actual)


def replayed(
    drawn: Drawn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    """What the command says."""
    (folder / "rules").mkdir()
    text = yaml.safe_dump(drawn.rules, allow_unicode=True, sort_keys=False)
    (folder / "rules" / "rules.yaml").write_text(text)
    files = []
    for number, (topic, records) in enumerate(drawn.files):
        path = folder / f"{number}.ndjson"
        path.write_bytes(drawn.content(records))
        files.append(f"{topic}={path}")
    now = datetime.fromtimestamp(drawn.now_ms / 1000, UTC).isoformat()
    code = main(
        ["replay", "--rules", str(folder / "rules"), "--format", "json", "--now", now, *files]
    )
    output = capsys.readouterr()
    assert code == 0, output.err
    return [json.loads(line) for line in output.out.splitlines()]


def published(lines: list[dict[str, Any]], kpi: str) -> dict[Place, Published]:
    windows: dict[Place, Published] = {}
    for line in lines:
        if line["kind"] == "window" and line["kpi"] == kpi:
            place = place_of(line)
            assert place not in windows, "published twice"
            windows[place] = (line["value"], line["events"], line.get("open", False))
    return windows


def place_of(line: dict[str, Any]) -> Place:
    return tuple(line["dimensions"].values()), ms(line["start"]), ms(line["end"])


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def inputs(drawn: Drawn, kpi: str) -> list[str]:
    source = drawn.rules["kpis"][kpi]["from"]
    return source if isinstance(source, list) else [kpi]


def compare(actual: Published, expected: Published, tolerance: float, where: Any) -> None:
    assert actual[1:] == expected[1:], where
    if expected[0] is None:
        assert actual[0] is None, where
    else:
        assert actual[0] == pytest.approx(expected[0], rel=tolerance, abs=1e-9), where


def held_against_target(
    lines: list[dict[str, Any]], kpi: str, drawn: Drawn, actual: dict[Place, Published]
) -> None:
    """Every closed window of a KPI with a target has its state, and knows the one before."""
    states = [line for line in lines if line["kind"] == "target" and line["kpi"] == kpi]
    target = drawn.rules["kpis"][kpi].get("target")
    if target is None:
        assert states == []
        return
    closed = {place: window for place, window in actual.items() if not window[2]}
    assert {place_of(line) for line in states} == set(closed)
    for line in states:
        assert line["state"] == state_of(target, closed[place_of(line)][0]), line


def state_of(target: dict[str, Any], value: float | None) -> str:
    if value is None:
        return "no_data"
    if "between" in target:
        low, high = target["between"]
        warn_low, warn_high = target["warn"]
        if not low <= value <= high:
            return "missed"
        return "met" if warn_low <= value <= warn_high else "at_risk"
    sign = 1 if "at_most" in target else -1
    bound = target["at_most"] if "at_most" in target else target["at_least"]
    if sign * value > sign * bound:
        return "missed"
    return "met" if sign * value <= sign * target.get("warn", bound) else "at_risk"
