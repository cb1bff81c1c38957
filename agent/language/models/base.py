"""The base of all models, and the escalation of alerts."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agent.language.models.values import (
    PositiveDuration,
    Text,
    by_form,
)
from agent.language.problems import wrong


class Strict(BaseModel):
    """A model without unknown fields or type coercion: `"5"` is not a number."""

    # Validators are built on first use: most models are only parts of others.
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True
    )


class EscalationSpec(Strict):
    """Who else is notified when an alert keeps firing; the steps of a list in turn."""

    after: PositiveDuration = Field(
        description="How long the alert must have been firing.", examples=["30m"]
    )
    to: Text = Field(description="Who is notified then.", examples=["head-of-support"])


def _in_turn(steps: list[EscalationSpec]) -> list[EscalationSpec]:
    for first, second in pairwise(steps):
        if second.after <= first.after:
            message = f"{second.to} is notified no later than {first.to}"
            raise wrong(message, "name the steps in turn, each with a longer `after`")
    called = [step.to for step in steps]
    for step in called:
        if called.count(step) > 1:
            raise wrong(f"{step} is notified twice", "keep one step")
    return steps


if TYPE_CHECKING:
    AnyEscalation = EscalationSpec | list[EscalationSpec]
else:
    _Steps = Annotated[list[EscalationSpec], Field(min_length=1), AfterValidator(_in_turn)]
    AnyEscalation = by_form(mapping=EscalationSpec, list=_Steps)
