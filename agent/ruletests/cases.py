"""Tests, ready to run: every name resolved, every time an instant. Made by `resolve`.

All times are ms since the epoch. A `Span` says where in the test file something is wanted.
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
    """An event on its way to the broker, and where it is written."""

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
class WindowWanted:
    """What a closed window must be. `value` None with `says_value`: it has none; `events` None:
    any number."""

    kpi: str
    dimensions: Dimensions
    end_ms: int
    value: float | None
    says_value: bool
    tolerance: float | None
    events: int | None
    span: Span


@dataclass(frozen=True, slots=True)
class StateWanted:
    """Where a closed window must stand against its target."""

    kpi: str
    dimensions: Dimensions
    end_ms: int
    state: TargetState
    span: Span


@dataclass(frozen=True, slots=True)
class StandingWanted:
    """The state of an objective at an instant, or its score."""

    objective: str
    at_ms: int
    standing: TargetState | float
    span: Span


@dataclass(frozen=True, slots=True)
class AlertWanted:
    """An alert in a phase, and what it must say; None: anything."""

    alert: Alert
    phase: AlertPhase
    value: float | None
    summary: str | None
    description: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant, and exactly the alerts that are pending or firing then."""

    at_ms: int
    alerts: tuple[AlertWanted, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class StepWanted:
    """A step of an alert: what it becomes, when."""

    alert: Alert
    at_ms: int
    phase: AlertPhase
    span: Span


@dataclass(frozen=True, slots=True)
class Expectations:
    """All that a test expects. `steps` and `outcomes` None: not said."""

    windows: tuple[WindowWanted, ...] = ()
    states: tuple[StateWanted, ...] = ()
    standings: tuple[StandingWanted, ...] = ()
    moments: tuple[Moment, ...] = ()
    steps: tuple[StepWanted, ...] | None = None
    steps_span: Span | None = None
    outcomes: Mapping[Outcome, int] | None = None
    outcomes_span: Span | None = None
    tolerance: float | None = None

    @property
    def latest_ms(self) -> int | None:
        """The latest time that is named."""
        return max(
            [
                *(w.end_ms for w in self.windows),
                *(s.end_ms for s in self.states),
                *(o.at_ms for o in self.standings),
                *(m.at_ms for m in self.moments),
                *(s.at_ms for s in self.steps or ()),
            ],
            default=None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A test. Exactly one of `records`, `windows` and `file` is not None. `until_ms` None: up to
    the last event of the file. `rules` are those that it looks at."""

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
