"""The results of the core: closed and open windows, target states, alert transitions, outcomes.

All are frozen; those that are created in large numbers are msgspec structs. Times are integer
milliseconds since the epoch, `value` is a finite number, or None for no value (an empty window, a
division by zero).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Literal

import msgspec

from agent.core.model.kpis import Dimensions, Target
from agent.core.model.rules import Flapping, Severity

Number = float | int | None
"""A value: a float, or an int if it is a whole number that no float represents exactly."""

_EXACT = 2**53
"""All whole numbers up to here are exact as floats."""


def number(value: float | int | None) -> Number:
    """A computed value as it is published: None if it is None, NaN or infinite."""
    if type(value) is not int:
        return finite(value)
    near = float(value)
    # Integers of more than 64 bits fit no format that values are published in.
    return near if -_EXACT <= value <= _EXACT or near == value or not _fits(value) else value


def _fits(value: int) -> bool:
    return -(2**63) <= value < 2**63


def finite(value: float | None) -> float | None:
    """The number, or None if it is None, NaN or infinite."""
    return value if value is not None and isfinite(value) else None


class Outcome(StrEnum):
    """The outcome of a consumed record; every record has exactly one."""

    FOLDED = "folded"
    REJECTED = "rejected"  # to the dead-letter topic
    LATE = "late"  # to the late topic
    DUPLICATE = "duplicate"
    EMPTY = "empty"  # tombstones and empty values
    IGNORED = "ignored"  # no contract matches it


class Reason(StrEnum):
    """Why a record was rejected."""

    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NOT_AVRO = "not_avro"
    NOT_PROTOBUF = "not_protobuf"
    UNKNOWN_SCHEMA = "unknown_schema"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    OUT_OF_BOUNDS = "out_of_bounds"
    NO_TIME = "no_time"
    BAD_TIME = "bad_time"
    FUTURE_TIME = "future_time"
    PAST_TIME = "past_time"


@dataclass(frozen=True, slots=True)
class Reject:
    """One rejected record. `detail` says what was expected and what the record has instead."""

    partition: int
    offset: int
    contract: str | None
    reason: Reason
    detail: str


class WindowValue(msgspec.Struct, frozen=True, gc=False):
    """One window of one series.

    `events` is the number of rows for which the KPI's `where` is true. `maintenance` names the
    maintenance that the window overlaps. `incomplete`: records of it may have been deleted from
    their topic before the agent read them. `hidden`: it has fewer people than `Kpi.minimum_people`,
    so value and events are not shown.
    """

    kpi: str
    dimensions: Dimensions
    start_ms: int
    end_ms: int
    value: Number
    events: int
    open: bool = False
    maintenance: str | None = None
    incomplete: bool = False
    hidden: bool = False


class TargetState(StrEnum):
    """The state of a value compared with its target."""

    NO_DATA = "no_data"
    MET = "met"
    AT_RISK = "at_risk"
    MISSED = "missed"


TARGET_STATE_NUMBER = {
    TargetState.NO_DATA: 0,
    TargetState.MET: 1,
    TargetState.AT_RISK: 2,
    TargetState.MISSED: 3,
}


class TargetStatus(msgspec.Struct, frozen=True):
    """A window's value compared with its target. Without a value, and in maintenance, the state is
    no data and `attainment` is None."""

    window: WindowValue
    state: TargetState
    previous: TargetState | None
    attainment: float | None
    target: Target


class Correction(msgspec.Struct, frozen=True):
    """A closed window that was computed again, with its target state if it has a target. `before`:
    the window as published; None: it was not published."""

    window: WindowValue
    before: WindowValue | None
    status: TargetStatus | None = None


class AlertPhase(StrEnum):
    """The phase of an alert in its lifecycle (`agent.core.state.alert_state`)."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    INHIBITED = "inhibited"  # would be firing, but an alert that the rule depends on is firing
    RESOLVED = "resolved"


ALERT_PHASE_NUMBER = {
    AlertPhase.INACTIVE: 0,
    AlertPhase.PENDING: 1,
    AlertPhase.FIRING: 2,
    AlertPhase.INHIBITED: 3,
    AlertPhase.RESOLVED: 0,
}


@dataclass(frozen=True, slots=True)
class Fact:
    """The result of one history function in a condition: the call as written in the rule, its value
    and the value in words."""

    asked: str
    value: Number
    words: str


@dataclass(frozen=True, slots=True)
class Transition:
    """One transition of an alert from one phase to another, at the event time `at_ms`.

    `episode_ms` is when the episode began. Rule, severity, series, episode and state identify a
    transition, so consumers can recognise one that is published again; transitions into and out of
    inhibition can occur several times in an episode, and need `at_ms` in addition. `kpi` is the
    rule's KPI, or the subject of a composite rule. `bound` is the condition in words: the rule's
    SQL, or how long there was no event. `facts` are the results of the history functions in the
    condition. `flaps`: for a transition into firing that flaps, how often the alert has fired
    within which time.
    """

    rule: str
    severity: Severity
    kpi: str
    dimensions: Dimensions
    at_ms: int
    episode_ms: int
    state: AlertPhase
    previous: AlertPhase
    value: Number
    bound: str
    start_ms: int
    end_ms: int
    reason: Literal[
        "when", "clear", "no_data", "data", "for", "keep_firing_for", "depends_on", "removed"
    ]
    facts: tuple[Fact, ...] = ()
    flaps: Flapping | None = None


@dataclass(frozen=True, slots=True)
class Emitted:
    """The results of one advance of the watermark, in event-time order.

    `late`: the number of partials that arrived too late; `stale`: of frames that covered less than
    an earlier one; `full`: the name of the KPI, once for each new series beyond its limits.
    """

    windows: tuple[WindowValue, ...] = ()
    targets: tuple[TargetStatus, ...] = ()
    transitions: tuple[Transition, ...] = ()
    late: int = 0
    stale: int = 0
    full: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        emitted = self.windows or self.targets or self.transitions
        return bool(emitted or self.late or self.stale or self.full)


class PastWindow(msgspec.Struct, frozen=True, gc=False):
    """A closed window in the history of a KPI that the context names. `target` None: it had none,
    or the target is unknown. `corrected`: its value and number of events before its last
    correction."""

    dimensions: Dimensions
    end_ms: int
    value: Number
    events: int | None = None
    maintenance: str | None = None
    target: Target | None = None
    hidden: bool = False
    corrected: tuple[Number, int] | None = None


@dataclass(frozen=True, slots=True)
class PastWindows:
    """Closed windows of a KPI, by their ends. `is_complete`: all requested windows are there."""

    windows: tuple[PastWindow, ...] = ()
    is_complete: bool = False


class SeriesView(msgspec.Struct, frozen=True):
    """One series as the board and `/metrics` show it. `dimensions` None: the KPI as a whole, which
    has phases only. `history` is (end_ms, value) of the last closed windows, oldest first;
    `phases` is the phase of each alert by (rule, severity)."""

    kpi: str
    dimensions: Dimensions | None
    closed: WindowValue | None
    current: WindowValue | None
    target: Target | None
    status: TargetStatus | None
    history: tuple[tuple[int, float | None], ...] = ()
    phases: dict[tuple[str, Severity], AlertPhase] = {}

    @property
    def series(self) -> Dimensions:
        """The dimension values; empty for the KPI as a whole."""
        return self.dimensions or ()
