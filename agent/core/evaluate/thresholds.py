"""Threshold rules: conditions over a KPI's windows and over the history before them; and their
inputs: a window with its target, its history and its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from agent.core.evaluate.targets import MAX_CACHED_SERIES, Targets
from agent.core.evaluate.transitions import (
    LevelConditions,
    condition_columns,
    conditions,
    due_changes,
    step_threshold,
)
from agent.core.history.peers import Deviation
from agent.core.model.history import Feature, FeatureContext, Floats
from agent.core.model.kpis import Dimensions, Kpi, Target
from agent.core.model.results import Fact, Transition, WindowValue
from agent.core.model.rules import (
    Rule,
    Severity,
    ThresholdRule,
    override_for,
    variant_for,
    variants,
)
from agent.core.model.window_history import MAINTENANCE, WindowHistory
from agent.core.model.windows import previous_end
from agent.core.state.alert_state import AlertState
from agent.core.state.archive import Archive
from agent.core.state.series import Series


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """A window of a series to evaluate at an instant (ms), with its target and its history.

    `past` ends with the window itself; None: no rule reads the history. `memory` is what history
    functions keep from window to window. `step_ms`: the time that the evaluation covers; None: the
    time since the window before.
    """

    series: Series
    window: WindowValue
    at_ms: int
    target: Target | None
    past: WindowHistory | None
    memory: dict[str, Any]
    step_ms: int | None = None

    @property
    def bound(self) -> float | None:
        """The value of `target` in conditions: `at_least` if the target has it, else `at_most`."""
        if self.target is None:
            return None
        least = self.target.at_least
        return least if least is not None else self.target.at_most


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The evaluation of one level of a rule at an instant (ms). `rule` is the variant that applies
    to the series; `window` None: the rule does not evaluate windows."""

    rule: Rule
    severity: Severity
    window: WindowValue | None
    at_ms: int
    when: bool | None
    clear: bool | None
    before: AlertState
    after: AlertState


OnEvaluation = Callable[[Evaluation], None]
"""Called for evaluations, including those that change nothing: rule tests measure coverage."""

FeatureFacts = dict[Feature, Fact]
"""The results of history functions for one window."""

Variant = tuple[str, int | None]
"""A rule's name, and the index of the override that applies; None: the rule as declared."""


class Thresholds:
    """The threshold rules of one KPI on closed windows, or those on current values."""

    def __init__(
        self,
        kpi: Kpi,
        rules: Sequence[ThresholdRule],
        on_evaluation: OnEvaluation | None = None,
    ) -> None:
        self.rules = tuple(rules)
        self.needs_ms = max(
            (f.needs_ms(kpi.window) for rule in self.variants() for f in rule.features), default=0
        )
        self.has_features = any(rule.features for rule in self.variants())
        self.depends_on_alerts = any(
            f.depends_on_alerts for rule in self.variants() for f in rule.features
        )
        self.compares_peers = any(
            isinstance(f, Deviation) for rule in self.variants() for f in rule.features
        )
        self._on_evaluation = on_evaluation
        self._kpi = kpi
        self._has_overrides = any(rule.overrides for rule in rules)
        self._as_declared = tuple(((rule.name, None), rule) for rule in rules)
        self._overridden = lru_cache(MAX_CACHED_SERIES)(self._find)
        self._columns: dict[Variant, Sequence[pl.Expr]] = {}

    def __bool__(self) -> bool:
        return bool(self.rules)

    def variants(self) -> list[ThresholdRule]:
        """Every rule, and the variants that its overrides define."""
        return [variant for rule in self.rules for variant in variants(rule)]

    def rules_of(self, dimensions: Dimensions) -> tuple[ThresholdRule, ...]:
        """The rules of one series, with its overrides."""
        return tuple(rule for _, rule in self._variants_of(dimensions))

    def _variants_of(self, dimensions: Dimensions) -> tuple[tuple[Variant, ThresholdRule], ...]:
        return self._overridden(dimensions) if self._has_overrides else self._as_declared

    def _find(self, dimensions: Dimensions) -> tuple[tuple[Variant, ThresholdRule], ...]:
        variants_of_series = []
        for rule in self.rules:
            own = variant_for(rule, self._kpi.by, dimensions)
            if own is not None:
                number = override_for(rule, self._kpi.by, dimensions)
                variants_of_series.append(((rule.name, number), own))
        return tuple(variants_of_series)

    def compute_features(self, input_: EvaluationInput, peers: Peers) -> FeatureFacts:
        """Compute the history functions that the rules of a window's series call. Must be called
        before a later window of the series is added to its history."""
        facts: FeatureFacts = {}
        context = self._context(input_, peers)
        for rule in self.rules_of(input_.series.dimensions or ()):
            for feature in rule.features:
                if feature not in facts:
                    result = feature.compute(context)
                    words = feature.describe(result, input_.memory)
                    facts[feature] = Fact(feature.text, result, words)
        return facts

    def preview(
        self, rule: ThresholdRule, input_: EvaluationInput, peers: Peers
    ) -> tuple[pl.DataFrame, LevelConditions, tuple[Fact, ...]]:
        """The table that a rule's conditions read for a window, their results, and the results of
        history functions. Changes nothing."""
        inputs = [(input_, self.compute_features(input_, peers))]
        table = _table(rule, inputs)
        [row] = _conditions(rule, inputs, table, condition_columns(rule))
        return table, row, _facts(rule, inputs[0][1])

    def _context(self, input_: EvaluationInput, peers: Peers) -> FeatureContext:
        window, target = input_.window, input_.target
        past = input_.past or WindowHistory()
        return FeatureContext(
            self._kpi.window, past, window.start_ms, window.end_ms, window.value,
            input_.series.first_ms, target.at_least if target else None,
            target.at_most if target else None, input_.memory,
            lambda by: peers.group_of(window, by),
        )  # fmt: skip

    def evaluate(
        self, inputs: Sequence[tuple[EvaluationInput, FeatureFacts]]
    ) -> list[list[Transition]]:
        """Evaluate windows, per series in the order of their instants. Returns the transitions of
        each window."""
        out: list[list[Transition]] = [[] for _ in inputs]
        windows_of: dict[Variant, list[int]] = {}
        rules: dict[Variant, ThresholdRule] = {}
        for i, (input_, _) in enumerate(inputs):
            for variant, rule in self._variants_of(input_.series.dimensions or ()):
                rules[variant] = rule
                windows_of.setdefault(variant, []).append(i)
        for variant, indices in windows_of.items():
            rule, some = rules[variant], [inputs[i] for i in indices]
            if variant not in self._columns:
                self._columns[variant] = condition_columns(rule)
            rows = _conditions(rule, some, _table(rule, some), self._columns[variant])
            for i, row in zip(indices, rows, strict=True):
                out[i] += self._step(rule, *inputs[i], row)
        return out

    def next_change_ms(self, series: Series, at_ms: int) -> int | None:
        """When an alert of a series that was evaluated at an instant changes next if the results of
        its conditions stay the same; None: it does not."""
        changes = (
            change_ms
            for rule in self.rules_of(series.dimensions or ())
            for change_ms in due_changes(rule, series)
            if change_ms > at_ms
        )
        return min(changes, default=None)

    def _step(
        self,
        rule: ThresholdRule,
        input_: EvaluationInput,
        facts: FeatureFacts,
        row: LevelConditions,
    ) -> tuple[Transition, ...]:
        series = input_.series
        states = tuple(series.alert(rule.name, level.severity) for level in rule.levels)
        rule_facts = _facts(rule, facts)
        step_ms = input_.step_ms
        if step_ms is None:
            step_ms = input_.window.end_ms - previous_end(self._kpi.window, input_.window.end_ms)
        after, transitions = step_threshold(
            rule, states, input_.window, row, input_.at_ms, rule_facts, step_ms
        )
        if after != states:
            severities = (level.severity for level in rule.levels)
            series.set_alerts(rule.name, dict(zip(severities, after, strict=True)))
        if self._on_evaluation is not None:
            for level, (when, clear), old, new in zip(rule.levels, row, states, after, strict=True):
                self._on_evaluation(
                    Evaluation(
                        rule, level.severity, input_.window, input_.at_ms, when, clear, old, new
                    )
                )
        return transitions


class Peers:
    """The values of all series of one KPI in the same windows, grouped on demand by window end and
    shared dimensions."""

    def __init__(self, windows: Iterable[WindowValue]) -> None:
        self._windows = [window for window in windows if window.value is not None]
        self._groups: dict[tuple[int, ...], dict[tuple[object, ...], Floats]] = {}

    def group_of(self, window: WindowValue, by: tuple[int, ...]) -> Floats:
        """The values of all windows with the same end and the same dimensions at the indices `by`,
        including the window itself."""
        groups = self._groups.get(by)
        if groups is None:
            lists: dict[tuple[object, ...], list[float]] = {}
            for window_ in self._windows:
                lists.setdefault(_group(window_, by), []).append(window_.value or 0.0)
            groups = self._groups[by] = {k: np.array(v) for k, v in lists.items()}
        return groups.get(_group(window, by), _NOBODY)


_NOBODY: Floats = np.empty(0)


def _group(window: WindowValue, by: tuple[int, ...]) -> tuple[object, ...]:
    return (window.end_ms, *(window.dimensions[index] for index in by))


def _conditions(
    rule: ThresholdRule,
    inputs: Sequence[tuple[EvaluationInput, FeatureFacts]],
    table: pl.DataFrame,
    columns: Sequence[pl.Expr],
) -> list[LevelConditions]:
    """`when` and `clear` of each window, a pair for each level of the rule."""
    levels = conditions(rule, table, columns)
    unknown = ((None, None),) * len(rule.levels)
    rows: list[LevelConditions] = []
    for i, (input_, _) in enumerate(inputs):
        known = input_.window.end_ms - input_.series.first_ms >= rule.min_history_ms
        rows.append(tuple((when[i], clear[i]) for when, clear in levels) if known else unknown)
    return rows


def _table(
    rule: ThresholdRule, inputs: Sequence[tuple[EvaluationInput, FeatureFacts]]
) -> pl.DataFrame:
    """The columns that a rule's conditions read, a row per window."""
    return pl.DataFrame(
        [
            pl.Series("value", [input_.window.value for input_, _ in inputs], pl.Float64),
            pl.Series("events", [input_.window.events for input_, _ in inputs], pl.Int64),
            pl.Series("target", [input_.bound for input_, _ in inputs], pl.Float64),
            *(
                pl.Series(f"f{i}", [facts[feature].value for _, facts in inputs], pl.Float64)
                for i, feature in enumerate(rule.features)
            ),
        ]
    )


def _facts(rule: ThresholdRule, facts: FeatureFacts) -> tuple[Fact, ...]:
    return tuple(facts[feature] for feature in rule.features)


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Makes the inputs of one KPI's threshold rules. `archive` None: no rule reads the history."""

    _kpi: Kpi
    _targets: Targets
    _closed_rules: Thresholds
    _current_rules: Thresholds
    _archive: Archive | None

    def closed(self, series: Series, window: WindowValue, target: Target | None) -> EvaluationInput:
        """The input for a window that closes now, which is appended to the history."""
        past = None
        if self._archive is not None:
            past = self._archive.past(series)
            flags = 0 if window.maintenance is None else MAINTENANCE
            past.append((window.end_ms, window.value, window.events, flags))
        return EvaluationInput(series, window, window.end_ms, target, past, series.memory)

    def last(self, series: Series) -> EvaluationInput | None:
        """The input of the last closed window of a series, as it was evaluated; changes nothing."""
        window = series.closed
        if window is None:
            return None
        past = self._archive.past(series) if self._archive is not None else None
        target = series.status.target if series.status is not None else None
        return EvaluationInput(series, window, window.end_ms, target, past, deepcopy(series.memory))

    def current(
        self, series: Series, window: WindowValue, at_ms: int, step_ms: int | None = None
    ) -> EvaluationInput:
        """The input for an open window at an instant (ms), for rules on current values. `step_ms`:
        the time that the evaluation covers, by default a slice."""
        past = None
        if self._current_rules.needs_ms and self._archive is not None:
            # Without the window itself, which may be closed by now.
            past = self._archive.past(series).upto(at_ms - 1)
            past.append((window.end_ms, window.value, window.events, 0))
        target = self._targets.for_series(window.dimensions, window.start_ms)
        memory = deepcopy(series.memory) if self._current_rules.has_features else {}
        return EvaluationInput(
            series, window, at_ms, target, past, memory, step_ms or self._kpi.slice_ms
        )

    def peers(self, group: Sequence[tuple[Series, WindowValue]], among: Iterable[Series]) -> Peers:
        """The windows of all series with the ends of those in `group`, outside maintenance.
        `among`: all series of the KPI."""
        outside = [window for _, window in group if window.maintenance is None]
        if not self._closed_rules.compares_peers:
            return Peers(())
        ends = {window.end_ms for _, window in group}
        here = {(window.end_ms, window.dimensions) for _, window in group}
        for series in among:
            dimensions = series.dimensions or ()
            for end, value, events, flags in series.history:
                if end in ends and (end, dimensions) not in here and not flags & MAINTENANCE:
                    start = self._kpi.window.start_of(end)
                    outside.append(
                        WindowValue(self._kpi.name, dimensions, start, end, value, events)
                    )
        return Peers(outside)
