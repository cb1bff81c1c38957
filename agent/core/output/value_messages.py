"""Parses the messages of the values topic (windows and target states), which `messages` encodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from agent.core.model.events import Scalar
from agent.core.model.kpis import Target
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
