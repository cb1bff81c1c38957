"""Parses the messages of the values topic (windows and target states), which `messages` encodes,
and keeps the last message of each window."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from agent.core.model.events import Scalar
from agent.core.model.kpis import Dimensions, Target
from agent.core.model.results import Number, TargetState, TargetStatus, WindowValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class ValueMessage(msgspec.Struct, frozen=True):
    """A closed window (`status` None), or its target state. `names` are those of the dimensions
    when it was published. `corrected`: the value and the number of events that a correction
    replaces."""

    names: tuple[str, ...]
    window: WindowValue
    status: TargetStatus | None = None
    corrected: tuple[Number, int] | None = None


class _Fields(msgspec.Struct):
    kind: Literal["window", "target"]
    kpi: str
    dimensions: dict[str, Scalar]
    start: datetime
    end: datetime
    value: int | float | None
    events: int
    maintenance: str | None = None
    incomplete: bool = False
    hidden: str | None = None
    state: TargetState = TargetState.NO_DATA
    previous: TargetState | None = None
    attainment: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    warn_at_least: float | None = None
    warn_at_most: float | None = None
    previous_value: int | float | None = None
    previous_events: int | None = None


_decoder = msgspec.json.Decoder(_Fields)


def read_value(message: bytes) -> ValueMessage:
    """Parse a message of the values topic. Raises ValueError for anything else."""
    try:
        got = _decoder.decode(message)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    window = WindowValue(
        got.kpi, tuple(got.dimensions.values()), _ms(got.start), _ms(got.end), got.value,
        got.events, maintenance=got.maintenance, incomplete=got.incomplete,
        hidden=got.hidden is not None,
    )  # fmt: skip
    status = None
    if got.kind == "target":
        target = Target(got.at_least, got.at_most, got.warn_at_least, got.warn_at_most)
        status = TargetStatus(window, got.state, got.previous, got.attainment, target)
    corrected = None
    if got.previous_events is not None:
        corrected = got.previous_value, got.previous_events
    return ValueMessage(tuple(got.dimensions), window, status, corrected)


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND


class WindowKey(NamedTuple):
    """A window, as in the keys of its messages."""

    kpi: str
    dimensions: Dimensions
    start_ms: int


def window_key(window: WindowValue) -> WindowKey:
    """The key of a window."""
    return WindowKey(window.kpi, window.dimensions, window.start_ms)


class PublishedWindows:
    """The last message of each window, and of its target state.

    A worker that restarts publishes its last results again. Such a repeated message must not undo a
    correction: it is skipped if its value and number of events are those that were corrected.
    """

    def __init__(self) -> None:
        self._windows: dict[str, dict[WindowKey, WindowValue]] = {}
        self._statuses: dict[WindowKey, TargetStatus] = {}
        self._corrected: dict[WindowKey, tuple[Number, int] | None] = {}
        self._replaced: dict[WindowKey, set[tuple[Number, int]]] = {}

    def add(self, message: ValueMessage) -> None:
        """Add the next message."""
        window = message.window
        key = window_key(window)
        if message.corrected is not None:
            self._replaced.setdefault(key, set()).add(message.corrected)
        elif (window.value, window.events) in self._replaced.get(key, ()):
            return
        if message.status is None:
            self._corrected[key] = message.corrected
            self._windows.setdefault(window.kpi, {})[key] = window
        else:
            self._statuses[key] = message.status

    def windows(self, kpi: str) -> Mapping[WindowKey, WindowValue]:
        """The windows of a KPI."""
        return self._windows.get(kpi, {})

    def status(self, key: WindowKey) -> TargetStatus | None:
        """The target state of a window; None: it has none."""
        return self._statuses.get(key)

    def corrected(self, key: WindowKey) -> tuple[Number, int] | None:
        """The value and the number of events that a window had before its last correction; None if
        it was never corrected."""
        return self._corrected.get(key)

    def newest_end_ms(self, kpi: str) -> int:
        """The end of the newest window of a KPI, 0 if there is none. Windows close in the order of
        their ends, so all that end earlier are closed."""
        return max((window.end_ms for window in self.windows(kpi).values()), default=0)
