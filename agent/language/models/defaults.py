"""The section `defaults`: what holds wherever an event or a KPI does not say otherwise."""

from __future__ import annotations

from pydantic import Field

from agent.language.models.base import AnyEscalation, Strict
from agent.language.models.values import (
    Duration,
    PositiveDuration,
    Text,
    TimeZone,
)


class Defaults(Strict):
    """Defaults for events and KPIs that do not set these fields themselves."""

    timezone: TimeZone | None = Field(
        None,
        description="Time zone of times without an offset, and of calendar windows. UTC if "
        "not given.",
    )
    lateness: Duration | None = Field(
        None, description="How long a window waits for late events after its end. 10s if not given."
    )
    max_future: PositiveDuration | None = Field(
        None,
        description="How far an event's time may be after the time at which the broker received "
        "it. 1h if not given.",
    )
    max_past: PositiveDuration | None = Field(
        None,
        description="How far an event's time may be before the time at which the broker received "
        "it. 10950d, thirty years, if not given.",
    )
    idle_after: PositiveDuration | None = Field(
        None,
        description="A source partition without events for this long no longer holds back the "
        "others. 30s if not given.",
    )
    duplicate_window: PositiveDuration | None = Field(
        None,
        description="For how long an event's id is remembered at most, in event time. 15m if not "
        "given.",
    )
    max_bytes: int | None = Field(
        None, gt=0, description="The largest event, in bytes. 1048576 if not given."
    )
    owner: Text | None = Field(None, description="The owner of everything that names none.")
    team: Text | None = Field(None, description="The team of everything that names none.")
    escalation: AnyEscalation | None = Field(
        None, description="The escalation of rules and KPIs that declare none."
    )
