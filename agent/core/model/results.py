"""What the core returns: closed and open windows, target states, rule transitions, outcomes.

All frozen values; those of which there are many are quick to make (msgspec). Times are integer
milliseconds since the epoch, `value` is a finite number or None (no value: an empty window, a
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
"""A value: a float, or an int where a whole number has too many digits for one."""

_EXACT = 2**53
"""Every whole number up to here is a float."""


def number(value: float | int | None) -> Number:
    """The value as it leaves; None where there is none, or where it is NaN or infinite."""
    if type(value) is not int:
        return finite(value)
    near = float(value)
    # Beyond 64 bits no format on the way holds an integer.
    return near if -_EXACT <= value <= _EXACT or near == value or not _fits(value) else value


def _fits(value: int) -> bool:
    return -(2**63) <= value < 2**63


def finite(value: float | None) -> float | None:
    """The number; None where there is none, or where it is NaN or infinite."""
    return value if value is not None and isfinite(value) else None


class Outcome(StrEnum):
    """What became of a consumed record; every record has exactly one."""

    FOLDED = "folded"
    REJECTED = "rejected"  # to the dead-letter topic
    LATE = "late"  # to the late topic
    DUPLICATE = "duplicate"
    EMPTY = "empty"  # tombstones and empty values
    IGNORED = "ignored"  # no contract is interested in it


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
    """One rejected record. `detail` says in words what was found and what would be right."""

    partition: int
    offset: int
    contract: str | None
    reason: Reason
    detail: str


class WindowValue(msgspec.Struct, frozen=True, gc=False):
    """One window of one series. `events` is the number of rows it holds (after `where`),
    `maintenance` the name of the maintenance that it is in. `incomplete`: it may lack records that
    were gone from their topic before they were read. `hidden`: it is of fewer people than may be
    shown together (`Kpi.minimum_people`), so it has neither value nor events."""

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
    """Where a value stands against its target."""

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
    """A window's value compared with its target. `attainment` is None without a value, and in
    maintenance, where the state is no data."""

    window: WindowValue
    state: TargetState
    previous: TargetState | None
    attainment: float | None
    target: Target


class Correction(msgspec.Struct, frozen=True):
    """A closed window computed again, with its target state if it has a target. `before`: as it was
    published; None: it was not."""

    window: WindowValue
    before: WindowValue | None
    status: TargetStatus | None = None


class AlertPhase(StrEnum):
    """The life of an alert."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    INHIBITED = "inhibited"  # it would fire, but what the rule depends on does: nobody is called
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
    """What a condition asked of a series' history, as it is written, the answer, and in words."""

    asked: str
    value: Number
    words: str


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of an alert's life.

    `at_ms` is event time. `episode_ms` is when its pending began: rule, severity, series, episode
    and state together name a transition for good, so that a repeat can be published; of steps into
    and out of inhibition, which an episode may take several times, together with `at_ms`. `kpi` is
    the subject of a composite rule's alerts, which are no KPI's. `bound` is the condition in words
    (the rule's SQL, or how long no event came). `facts` are what the condition asked of the series'
    history. `flaps`: of a step into firing, how often it has fired within which time, where that
    makes it flap.
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
    """What one step of the watermark brought, in event-time order.

    `late`: partials that came too late; `stale`: frames that covered less than one before; `full`:
    a KPI's name for each new series that it had no room for.
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
    """A closed window of the past, of one KPI that is known where it stands. `target` None: it had
    none, or it is not known which. `corrected`: the value and the number of events that it had
    before its last correction."""

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
    """Closed windows of a KPI, by their ends. `is_complete`: all that was asked for are there."""

    windows: tuple[PastWindow, ...] = ()
    is_complete: bool = False


class SeriesView(msgspec.Struct, frozen=True):
    """One series as a board or a scrape sees it; `dimensions` None: what is watched of the KPI as
    a whole, which has phases only. `history` is (end_ms, value) of the last closed
    windows, oldest first; `phases` is (rule, severity) to phase."""

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
        """The dimension values, none for what is watched of the KPI as a whole."""
        return self.dimensions or ()
