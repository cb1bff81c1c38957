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
    """What holds wherever an event or a KPI doesn't say otherwise."""

    timezone: TimeZone | None = Field(
        None,
        description="Time zone of times without an offset, and of calendar windows. UTC if "
        "not given.",
    )
    lateness: Duration | None = Field(
        None, description="How long a window waits for stragglers after its end. 10s if not given."
    )
    max_future: PositiveDuration | None = Field(
        None,
        description="How far an event's time may be ahead of the time at which the broker got "
        "it. 1h if not given.",
    )
    max_past: PositiveDuration | None = Field(
        None,
        description="How far an event's time may lie before the time at which the broker got it. "
        "10950d, thirty years, if not given.",
    )
    idle_after: PositiveDuration | None = Field(
        None,
        description="A source partition without events for this long no longer holds up the "
        "others. 30s if not given.",
    )
    duplicate_window: PositiveDuration | None = Field(
        None,
        description="For how long an event's id is remembered, in event time, where a window is "
        "open for longer. 15m if not given.",
    )
    max_bytes: int | None = Field(
        None, gt=0, description="The largest event, in bytes. 1048576 if not given."
    )
    owner: Text | None = Field(None, description="Who answers for what names no owner itself.")
    team: Text | None = Field(None, description="The team of what names no team itself.")
    escalation: AnyEscalation | None = Field(
        None, description="Of the alerts of rules and KPIs that say none themselves."
    )
