"""Targets of KPIs: bounds, bounds by date, and overrides for some series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Discriminator, Field, Tag

from agent.language.models.base import Strict
from agent.language.models.values import (
    Benchmark,
    DateText,
    DimensionValue,
    Number,
    form,
)

if TYPE_CHECKING:
    Bound = float | str
else:
    Bound = Annotated[
        Annotated[Number, Tag("<number>")] | Annotated[Benchmark, Tag("<text>")],
        Discriminator(form),
    ]


class TargetSpec(Strict):
    """The value a KPI should reach: at_most, at_least or between, with a warning band inside."""

    at_most: Bound | None = Field(
        None,
        description="The target is met up to this value: a number, or `kpi(name)`, the value of "
        "another KPI in the same window.",
    )
    at_least: Bound | None = Field(
        None,
        description="The target is met from this value on: a number, or `kpi(name)`, the value of "
        "another KPI in the same window.",
    )
    between: list[Number] | None = Field(
        None, min_length=2, max_length=2, description="The target is met between these two values."
    )
    warn: (
        Annotated[
            Annotated[Number, Tag("<number>")]
            | Annotated[Benchmark, Tag("<text>")]
            | Annotated[list[Number], Field(min_length=2, max_length=2), Tag("<list>")],
            Discriminator(form),
        ]
        | None
    ) = Field(
        None,
        description="Beyond this value, inside the target, the KPI is at risk. Two values "
        "with between.",
    )


class TargetStepSpec(TargetSpec):
    """A target from a date on."""

    from_: DateText | None = Field(
        None,
        alias="from",
        description="The first day of the target, in the KPI's time zone: a year, quarter, month, "
        "ISO week or day. The first target of the list may omit it.",
        examples=["2027-Q1"],
    )


if TYPE_CHECKING:
    AnyTarget = TargetSpec | list[TargetStepSpec]
else:
    AnyTarget = Annotated[
        Annotated[TargetSpec, Tag("<mapping>")]
        | Annotated[list[TargetStepSpec], Field(min_length=1), Tag("<list>")],
        Discriminator(form),
    ]


class OverrideSpec(Strict):
    """Another target for series whose dimensions match."""

    match: dict[str, DimensionValue] = Field(
        min_length=1, description="Dimension: value; all must match.", examples=[{"region": "apac"}]
    )
    target: AnyTarget = Field(
        description="The target of these series, or a list of them by date, as for the KPI."
    )
