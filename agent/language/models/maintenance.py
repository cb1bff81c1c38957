"""The section `maintenance`: time that is excluded from alerts, targets and baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.language.models.base import Strict
from agent.language.models.values import (
    ClockText,
    Country,
    DimensionValue,
    MomentText,
    OnDays,
    PositiveDuration,
    Text,
    TimeZone,
)


class MaintenanceSpec(Strict):
    """Time that is excluded from alerts, targets and baselines: once, recurring, or on holidays."""

    title: Text | None = Field(None, description="The name that people see.")
    description: Text | None = Field(None, description="What is done, and why.")
    from_: MomentText | None = Field(
        None,
        alias="from",
        description="When it begins: 2027-03-06T22:00, or a date. With every or holidays: from "
        "when on it recurs.",
    )
    until: MomentText | None = Field(
        None, description="When it ends; a date means the start of that day."
    )
    timezone: TimeZone | None = Field(
        None, description="The time zone of its days and hours. That of the defaults if not given."
    )
    every: Literal["day", "week", "month", "year"] | None = Field(
        None, description="How often it recurs."
    )
    on: OnDays | None = Field(
        None,
        description="The days on which it recurs, one or a list: sunday (every week); 1, last "
        "day, first sunday (every month); 12-24 (every year).",
        examples=["sunday"],
    )
    at: ClockText | None = Field(
        None,
        description='The time at which it begins on these days: "02:00". Whole days if not given.',
    )
    for_: PositiveDuration | None = Field(None, alias="for", description="How long it lasts.")
    holidays: Country | None = Field(
        None,
        description="The public holidays of a country or a part of it, by ISO 3166 code: GB, "
        "GB-SCT.",
        examples=["GB"],
    )
    kpis: list[Text] | None = Field(
        None,
        min_length=1,
        description="The KPIs that it applies to, with those computed from them. All KPIs if not "
        "given.",
    )
    match: dict[str, DimensionValue] = Field(
        default_factory=dict,
        description="Dimension: value. It applies only to series that match.",
        examples=[{"region": "apac"}],
    )
