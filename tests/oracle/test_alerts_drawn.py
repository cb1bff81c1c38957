"""Drawn rules over drawn events: values, maintenance, and every change of every alert, compared
with a second reading of docs/rules.

`KPI_AGENT_FUZZ_CASES=1000` (and `KPI_AGENT_FUZZ_FIRST=…`) draws more than the usual few.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, WindowValue
from agent.language.load import check, load
from agent.replay.runner import replay, sources

from .alert_cases import Case, Drawing
from .alert_truth import Series, Steps, Window, life

CASES = int(os.environ.get("KPI_AGENT_FUZZ_CASES", "60"))
QUICK_CASES = 15
FIRST = int(os.environ.get("KPI_AGENT_FUZZ_FIRST", "0"))
NOW_MS = 2_000_000_000_000
SLICE_MS = 300_000
SEEDS = [
    pytest.param(seed, marks=[pytest.mark.slow] * (seed >= FIRST + QUICK_CASES))
    for seed in range(FIRST, FIRST + CASES)
]

Key = tuple[str, ...]


@pytest.mark.parametrize("seed", SEEDS)
def test_alerts_are_those_of_a_second_reading(seed: int, tmp_path: Path) -> None:
    case = Drawing(seed).draw()
    emitted = replayed(case, tmp_path)
    series = series_of(case, emitted)
    actual: dict[tuple[str, Key], Steps] = defaultdict(list)
    for t in emitted.transitions:
        actual[t.rule, tuple(map(str, t.dimensions))].append((t.at_ms, t.state.value))
    for name in case.document["rules"]:
        for key, windows in series.items():
            expected = life(windows, case.rules[name])
            where = (name, key, case.document["rules"][name])
            assert actual.pop((name, key), []) == expected, where
    assert not actual


def test_enough_is_drawn_to_show_something(tmp_path: Path) -> None:
    states: dict[str, int] = defaultdict(int)
    for seed in range(FIRST, FIRST + 5):
        folder = tmp_path / str(seed)
        folder.mkdir()
        for t in replayed(Drawing(seed).draw(), folder).transitions:
            states[t.state.value] += 1
    assert all(states[state] > 10 for state in ("pending", "inactive", "firing", "resolved"))


def replayed(case: Case, folder: Path) -> Emitted:
    """What the agent publishes. Rules that `check` rejects (a condition that is never true) are
    dropped from the case."""
    plan = loaded(case, folder / "rules.yaml")
    (folder / "t.ndjson").write_text(case.lines())
    return replay(plan, sources(plan, [f"t={folder / 't.ndjson'}"]), NOW_MS).emitted


def loaded(case: Case, path: Path) -> Plan:
    path.write_text(yaml.safe_dump(case.document, sort_keys=False))
    _, problems = check(path)
    errors = [problem for problem in problems if problem.severity == "error"]
    for problem in errors:
        section, name = str(problem.where).split(".")[:2]
        assert section == "rules", problem
        case.document["rules"].pop(name, None)
    path.write_text(yaml.safe_dump(case.document, sort_keys=False))
    return load(path)


def series_of(case: Case, emitted: Emitted) -> dict[Key, Series]:
    """All closed windows as the reference reads them, their values and maintenance compared."""
    closed: dict[Key, list[WindowValue]] = defaultdict(list)
    for window in emitted.windows:
        closed[tuple(map(str, window.dimensions))].append(window)
    events: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for event in case.events:
        events[event["g"], event["s"]].append(event)
    unit = case.window if case.window in ("day", "week", "month") else None
    all_series: dict[Key, Series] = {}
    for key, windows in closed.items():
        windows.sort(key=lambda w: w.end_ms)
        first = events[key][0]["at"] // SLICE_MS * SLICE_MS
        mine = [as_window(case, window, events[key]) for window in windows]
        all_series[key] = Series(
            key, mine, case.size, case.hop, unit, case.zone, first, all_series
        )  # fmt: skip
    return all_series


def as_window(case: Case, window: WindowValue, events: list[dict[str, Any]]) -> Window:
    start, end = window.start_ms, window.end_ms
    inside = [event for event in events if start <= event["at"] < end]
    value = case.value_of(inside)
    assert window.events == len(inside)
    assert window.value == (None if value is None else pytest.approx(value, rel=1e-12))
    calm = any(
        a < end and start < z and only in (None, window.dimensions[1])
        for a, z, only in case.maintenance
    )
    assert (window.maintenance is not None) == calm
    bound = next(bound for at, bound in reversed(case.targets) if at <= start)
    return Window(start, end, window.value, window.events, calm, bound)
