"""The rules on values: conditions over a KPI's windows, and over what was before them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from agent.core.evaluate import transitions as core_rules
from agent.core.evaluate.transitions import Row
from agent.core.history.peers import Deviation
from agent.core.model.history import Feature, FeatureContext, Floats
from agent.core.model.plan import (
    Dimensions,
    Kpi,
    Rule,
    Severity,
    Target,
    ThresholdRule,
    as_for,
    variants,
)
from agent.core.model.results import Fact, Transition, WindowValue
from agent.core.model.window_history import Past
from agent.core.model.windows import previous_end
from agent.core.state import alert_state as alerts
from agent.core.state.alert_state import AlertState
from agent.core.state.series import Series


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """A window of a series as rules see it: at an instant (ms), against its target, after what was
    before. `past` ends with the window; None where no rule looks back."""

    series: Series
    window: WindowValue
    at_ms: int
    target: Target | None
    past: Past | None
    memory: dict[str, Any]

    @property
    def bound(self) -> float | None:
        """What conditions call `target`."""
        if self.target is None:
            return None
        least = self.target.at_least
        return least if least is not None else self.target.at_most


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One level of a rule, as it is for the series, judged at an instant (ms). `window` is what it
    was held against; None: it judges no windows."""

    rule: Rule
    severity: Severity
    window: WindowValue | None
    at_ms: int
    when: bool | None
    clear: bool | None
    before: AlertState
    after: AlertState


OnEvaluation = Callable[[Evaluation], None]
"""Told of every judgement, also of those that change nothing: for coverage."""

Answers = dict[Feature, Fact]

MOST_KNOWN = 100_000
"""Series of which a KPI remembers what is declared otherwise for them: those that were asked for
last, because series come and go."""


class Thresholds:
    """Some rules of one KPI."""

    def __init__(self, kpi: Kpi, rules: Sequence[ThresholdRule]) -> None:
        self.rules = tuple(rules)
        self.needs_ms = max(
            (f.needs_ms(kpi.window) for rule in self.variants() for f in rule.features), default=0
        )
        self.asks = any(rule.features for rule in self.variants())
        self.heeds_alerts = any(f.heeds_alerts for rule in self.variants() for f in rule.features)
        self.looks_aside = any(
            isinstance(f, Deviation) for rule in self.variants() for f in rule.features
        )
        self.on_evaluation: OnEvaluation | None = None
        self._kpi = kpi
        self._varied = any(rule.overrides for rule in rules)
        self._of = lru_cache(MOST_KNOWN)(self._find)

    def __bool__(self) -> bool:
        return bool(self.rules)

    def variants(self) -> list[ThresholdRule]:
        """Every rule, and what overrides make of it."""
        return [one for rule in self.rules for one in variants(rule)]

    def of(self, dimensions: Dimensions) -> tuple[ThresholdRule, ...]:
        """The rules as they are for one series."""
        return self._of(dimensions) if self._varied else self.rules

    def _find(self, dimensions: Dimensions) -> tuple[ThresholdRule, ...]:
        found = (as_for(rule, self._kpi.by, dimensions) for rule in self.rules)
        return tuple(rule for rule in found if rule is not None)

    def ask(self, one: EvaluationInput, peers: Peers) -> Answers:
        """What the rules' features say of a window. Must be asked before a later window of the
        series is added to its past."""
        answers: Answers = {}
        for rule in self.of(one.series.dimensions or ()):
            for feature in rule.features:
                if feature not in answers:
                    answer = feature.of(self._look(one, peers))
                    words = feature.words(answer, one.memory)
                    answers[feature] = Fact(feature.text, answer, words)
        return answers

    def look(
        self, rule: ThresholdRule, one: EvaluationInput, peers: Peers
    ) -> tuple[pl.DataFrame, Row, tuple[Fact, ...]]:
        """What a rule's conditions read of a window, what they say, and what its features answer.
        Nothing is judged."""
        found = [(one, self.ask(one, peers))]
        return _table(rule, found), _conditions(rule, found)[0], _facts(rule, found[0][1])

    def _look(self, one: EvaluationInput, peers: Peers) -> FeatureContext:
        window, target = one.window, one.target
        return FeatureContext(
            self._kpi.window, one.past or Past(), window.start_ms, window.end_ms, window.value,
            one.series.first_ms, target.at_least if target else None,
            target.at_most if target else None, one.memory,
            lambda by: peers.of(window, by),
        )  # fmt: skip

    def evaluate(self, judged: Sequence[tuple[EvaluationInput, Answers]]) -> list[list[Transition]]:
        """Judge windows, per series in the order of their instants; the transitions of each."""
        out: list[list[Transition]] = [[] for _ in judged]
        rows: dict[int, tuple[ThresholdRule, list[int]]] = {}
        for i, (one, _) in enumerate(judged):
            for rule in self.of(one.series.dimensions or ()):
                rows.setdefault(id(rule), (rule, []))[1].append(i)
        for rule, places in rows.values():
            some = [judged[i] for i in places]
            for i, row in zip(places, _conditions(rule, some), strict=True):
                out[i] += self._step(rule, *judged[i], row)
        return out

    def _step(
        self, rule: ThresholdRule, one: EvaluationInput, answers: Answers, row: Row
    ) -> tuple[Transition, ...]:
        known = one.series.alerts.get(rule.name, {})
        states = tuple(known.get(level.severity, alerts.INACTIVE) for level in rule.levels)
        facts = _facts(rule, answers)
        step_ms = self._step_ms(rule, one.window)
        after, transitions = core_rules.step_threshold(
            rule, states, one.window, row, one.at_ms, facts, step_ms
        )
        if after != states:
            one.series.alerts[rule.name] = {
                level.severity: state for level, state in zip(rule.levels, after, strict=True)
            }
        if self.on_evaluation is not None:
            for level, (when, clear), old, new in zip(rule.levels, row, states, after, strict=True):
                self.on_evaluation(
                    Evaluation(rule, level.severity, one.window, one.at_ms, when, clear, old, new)
                )
        return transitions

    def _step_ms(self, rule: ThresholdRule, window: WindowValue) -> int:
        """The time that the judgement of a window is for."""
        if rule.on == "current":
            return self._kpi.slice_ms
        return window.end_ms - previous_end(self._kpi.window, window.end_ms)


class Peers:
    """The values of the series of one KPI, by instant and shared dimensions."""

    def __init__(self, windows: Iterable[WindowValue]) -> None:
        self._windows = [window for window in windows if window.value is not None]
        self._groups: dict[tuple[int, ...], dict[tuple[object, ...], Floats]] = {}

    def of(self, window: WindowValue, by: tuple[int, ...]) -> Floats:
        """The group of a window, itself included."""
        groups = self._groups.get(by)
        if groups is None:
            lists: dict[tuple[object, ...], list[float]] = {}
            for window_ in self._windows:
                lists.setdefault(_group(window_, by), []).append(window_.value or 0.0)
            groups = self._groups[by] = {k: np.array(v) for k, v in lists.items()}
        return groups.get(_group(window, by), _NOBODY)


_NOBODY: Floats = np.empty(0)


def _group(window: WindowValue, by: tuple[int, ...]) -> tuple[object, ...]:
    return (window.end_ms, *(window.dimensions[place] for place in by))


def _conditions(
    rule: ThresholdRule, judged: Sequence[tuple[EvaluationInput, Answers]]
) -> list[Row]:
    """`when` and `clear` of each window, a pair for each level of the rule."""
    levels = core_rules.conditions(rule, _table(rule, judged))
    unknown = ((None, None),) * len(rule.levels)
    rows: list[Row] = []
    for i, (one, _) in enumerate(judged):
        known = one.window.end_ms - one.series.first_ms >= rule.min_history_ms
        rows.append(tuple((when[i], clear[i]) for when, clear in levels) if known else unknown)
    return rows


def _table(rule: ThresholdRule, judged: Sequence[tuple[EvaluationInput, Answers]]) -> pl.DataFrame:
    """The columns that a rule's conditions read, a row per window."""
    columns = {
        "value": pl.Series([one.window.value for one, _ in judged], dtype=pl.Float64),
        "events": pl.Series([one.window.events for one, _ in judged], dtype=pl.Int64),
        "target": pl.Series([one.bound for one, _ in judged], dtype=pl.Float64),
    }
    for i, feature in enumerate(rule.features):
        answers = [found[feature].value for _, found in judged]
        columns[f"f{i}"] = pl.Series(answers, dtype=pl.Float64)
    return pl.DataFrame(columns)


def _facts(rule: ThresholdRule, answers: Answers) -> tuple[Fact, ...]:
    return tuple(answers[feature] for feature in rule.features)
