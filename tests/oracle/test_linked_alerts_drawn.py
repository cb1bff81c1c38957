"""Drawn rules that depend on each other (absence, composite, `depends_on`), compared with a second
reading of docs/rules; `KPI_AGENT_FUZZ_CASES` as in `test_alerts_drawn`."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest

from .alert_cases import Drawing
from .alert_links_truth import (
    Absence,
    Composite,
    Intervals,
    absence,
    composite,
    firing,
    inhibited,
    missed,
    union,
    within,
)
from .alert_truth import Rule, Series, Steps, life
from .test_alerts_drawn import SEEDS, SLICE_MS, Key, replayed, series_of

SHAPES: dict[str, Callable[[bool, bool], bool]] = {
    "{0} and {1}": lambda a, b: a and b,
    "{0} or {1}": lambda a, b: a or b,
    "{0} and not {1}": lambda a, b: a and not b,
}


class Linked:
    """Rules by name: three on values, three of absence, four composite ones over those."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(f"linked {seed}")
        drawing = Drawing(seed)
        drawing.window = rng.choice(("10m", "1h", "1h every 15m"))
        drawing.hop = SLICE_MS * {"10m": 2, "1h": 12}.get(drawing.window, 3)
        drawing.size = drawing.hop * (4 if "every" in drawing.window else 1)
        drawing.value, drawing.level, drawing.noise = "total", 10, 5
        drawing.end = drawing.start + 150 * drawing.hop
        self.case = case = drawing.draw()
        self._everybody_is_silent()
        self.at_least = 12
        case.document["kpis"]["k"]["target"] = {"at_least": self.at_least}
        case.targets = [(0, self.at_least)]
        self.rules: dict[str, Any] = case.document["rules"]
        self.rules.clear()
        self.values: dict[str, Rule] = {}
        self.absences: dict[str, tuple[Absence, bool]] = {}
        self.composites: dict[str, tuple[str, str, str, int, int]] = {}
        for number in range(3):
            self._value(f"v{number}")
            self._absence(f"a{number}")
        for number in range(4):
            self._composite(f"c{number}")
        self.order = [*self.absences, *self.values, *self.composites]
        for i, name in enumerate(self.order[1:], 1):
            if rng.random() < 0.35:
                self.rules[name]["depends_on"] = [rng.choice(self.order[:i])]

    def _everybody_is_silent(self) -> None:
        for _ in range(self.rng.choice((0, 2, 4))):
            start = self.rng.choice(self.case.events)["at"]
            end = start + self.rng.choice((2, 4, 9)) * self.case.hop
            self.case.events = [e for e in self.case.events if not start < e["at"] < end]

    def _times(self, *slices: int) -> int:
        return self.rng.choice(slices) * SLICE_MS

    def _value(self, name: str) -> None:
        bound, hold = self.rng.choice((8, 12, 20)), self.case.hop * self.rng.choice((0, 1, 2))
        self.values[name] = Rule(
            lambda s, i: None if s.windows[i].known is None else s.windows[i].known > bound,
            hold=hold,
        )
        self.rules[name] = {"kpi": "k", "when": f"value > {bound}", "for": f"{hold}ms"}

    def _absence(self, name: str) -> None:
        rule = Absence(
            self._times(1, 2, 3, 6),
            self._times(0, 0, 2, 5),
            self._times(0, 0, 7),
            (2, 30 * SLICE_MS) if self.rng.random() < 0.3 else None,
        )
        by_series = self.rng.random() < 0.5
        self.absences[name] = rule, by_series
        self.rules[name] = {
            "kpi": "k",
            "no_data_for": f"{rule.no_data_for}ms",
            "per": "series" if by_series else "kpi",
            "keep_firing_for": f"{rule.keep}ms",
        }
        if rule.min_history:
            self.rules[name]["min_history"] = f"{rule.min_history}ms"
        if rule.flapping is not None:
            self.rules[name]["flapping"] = f"2 in {rule.flapping[1]}ms"

    def _composite(self, name: str) -> None:
        a, b = self.rng.sample([*self.values, *self.absences, "k"], 2)
        shape = self.rng.choice(list(SHAPES))
        hold, keep = self._times(0, 1, 5), self._times(0, 0, 1, 5)
        self.composites[name] = shape, a, b, hold, keep
        self.rules[name] = {
            "when": shape.format(a, b),
            "owner": "o",
            "for": f"{hold}ms",
            "keep_firing_for": f"{keep}ms",
        }


class Reading:
    """What the alerts of a case should be, in the order of their dependencies."""

    def __init__(self, linked: Linked, series: dict[Key, Series]) -> None:
        self._linked = linked
        self._series = series
        self.steps: dict[str, dict[Key, Steps]] = {}
        for name in linked.order:
            if name in linked.rules:
                self.steps[name] = self._published(name, self._own(name))

    def _own(self, name: str) -> dict[Key, Steps]:
        linked = self._linked
        if name in linked.values:
            return {key: life(series, linked.values[name]) for key, series in self._series.items()}
        if name in linked.composites:
            return self._composite(*linked.composites[name])
        rule, by_series = linked.absences[name]
        events: dict[Key, list[int]] = defaultdict(list)
        for event in linked.case.events:
            events[(event["g"], event["s"]) if by_series else ()].append(event["at"])
        calm = linked.case.maintenance
        return {
            key: absence(
                rule,
                times,
                SLICE_MS,
                [(a, z) for a, z, only in calm if only is None or (key and only == key[1])],
            )
            for key, times in events.items()
        }

    def _published(self, name: str, own: dict[Key, Steps]) -> dict[Key, Steps]:
        for feed in self._linked.rules[name].get("depends_on", ()):
            on_windows = name in self._linked.values
            return {
                key: inhibited(
                    steps, self._firing(feed, key), self._series[key] if on_windows else None
                )
                for key, steps in own.items()
            }
        return own

    def _firing(self, name: str, key: Key) -> Intervals:
        """When an alert of a rule fires that shares the dimensions; of the KPI: a missed target."""
        if name == "k":
            by_key = {
                k: missed(series, self._linked.at_least) for k, series in self._series.items()
            }
        else:
            by_key = {k: firing(steps) for k, steps in self.steps[name].items()}
        return union(
            pair for k, pairs in by_key.items() if () in (k, key) or k == key for pair in pairs
        )

    def _composite(self, shape: str, a: str, b: str, hold: int, keep: int) -> dict[Key, Steps]:
        whole = any(
            name in self._linked.absences and not self._linked.absences[name][1] for name in (a, b)
        )
        out = {}
        for key in [()] if whole else list(self._series):
            inputs = [self._firing(name, key) for name in (a, b)]

            def when(at: float, inputs: list[Intervals] = inputs) -> bool:
                return SHAPES[shape](*(within(intervals, at) for intervals in inputs))

            rule = Composite(when, lambda at, when=when: not when(at), hold, keep)
            instants = {at for pairs in inputs for pair in pairs for at in pair if at < inf}
            out[key] = composite(rule, instants)
        return out


@pytest.mark.parametrize("seed", SEEDS)
def test_alerts_that_depend_on_others_are_those_of_a_second_reading(
    seed: int, tmp_path: Path
) -> None:
    linked = Linked(seed)
    emitted = replayed(linked.case, tmp_path)
    expected = Reading(linked, series_of(linked.case, emitted)).steps
    actual: dict[str, dict[Key, Steps]] = defaultdict(lambda: defaultdict(list))
    for t in emitted.transitions:
        actual[t.rule][tuple(map(str, t.dimensions))].append((t.at_ms, t.state.value))
    # Composite rules and inhibition wait until event time is final for all of their inputs.
    final = linked.case.events[-1]["at"] - 3 * SLICE_MS - linked.case.hop
    for name, by_series in expected.items():
        for key, steps in by_series.items():
            until = [step for step in steps if step[0] <= final]
            published = [step for step in actual[name][key] if step[0] <= final]
            assert published == until, (name, key, linked.rules[name])
