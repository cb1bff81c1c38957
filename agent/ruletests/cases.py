"""Tests that are ready to run: names are resolved, times are instants. Made by `resolve`.

All times are ms since the epoch. A `Span` is the place in the test file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.core.decode.batch import Batch
from agent.core.model.kpis import Dimensions
from agent.core.model.results import AlertPhase, Outcome, TargetState, WindowValue
from agent.core.model.rules import Severity
from agent.language.source import Source, Span
from agent.ruletests.times import Clock


@dataclass(frozen=True, slots=True)
class Record:
    """An event as a Kafka record, and its place in the test file."""

    topic: str
    value: bytes
    arrives_ms: int
    span: Span
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Alert:
    """One alert: a severity of a rule, over a series."""

    rule: str
    severity: Severity
    dimensions: Dimensions


@dataclass(frozen=True, slots=True)
class ExpectedWindow:
    """A closed window that is expected. `value` None with `checks_value`: it must have none;
    `events` None: any number."""

    kpi: str
    dimensions: Dimensions
    end_ms: int
    value: float | None
    checks_value: bool
    tolerance: float | None
    events: int | None
    span: Span


@dataclass(frozen=True, slots=True)
class ExpectedTargetState:
    """The expected target state of a closed window."""

    kpi: str
    dimensions: Dimensions
    end_ms: int
    state: TargetState
    span: Span


@dataclass(frozen=True, slots=True)
class ExpectedObjective:
    """The expected state of an objective at an instant, or its score."""

    objective: str
    at_ms: int
    expected: TargetState | float
    span: Span


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """An alert that is expected in a phase, with value and texts; None: any."""

    alert: Alert
    phase: AlertPhase
    value: float | None
    summary: str | None
    description: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class ExpectedAlerts:
    """All alerts that are expected to be pending or firing at an instant."""

    at_ms: int
    alerts: tuple[ExpectedAlert, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class ExpectedTransition:
    """A transition of an alert that is expected."""

    alert: Alert
    at_ms: int
    phase: AlertPhase
    span: Span


@dataclass(frozen=True, slots=True)
class Expectations:
    """All expectations of a test. `transitions` and `outcomes` None: none are given."""

    windows: tuple[ExpectedWindow, ...] = ()
    states: tuple[ExpectedTargetState, ...] = ()
    objectives: tuple[ExpectedObjective, ...] = ()
    alerts_at: tuple[ExpectedAlerts, ...] = ()
    transitions: tuple[ExpectedTransition, ...] | None = None
    transitions_span: Span | None = None
    outcomes: Mapping[Outcome, int] | None = None
    outcomes_span: Span | None = None
    tolerance: float | None = None

    @property
    def latest_ms(self) -> int | None:
        """The latest time of an expectation."""
        return max(
            [
                *(w.end_ms for w in self.windows),
                *(s.end_ms for s in self.states),
                *(o.at_ms for o in self.objectives),
                *(m.at_ms for m in self.alerts_at),
                *(t.at_ms for t in self.transitions or ()),
            ],
            default=None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A test. Exactly one of `records`, `windows` and `file` is not None. `until_ms` None: up to
    the last event of the file. `rules`: those that it is about."""

    name: str
    source: Source
    span: Span
    clock: Clock
    until_ms: int | None
    rules: frozenset[str]
    expected: Expectations
    records: tuple[Record, ...] | None = None
    windows: tuple[WindowValue, ...] | None = None
    file: Path | None = None
    lookups: tuple[Batch, ...] = ()
    """The rows of lookups in topics."""
