"""The alerts that stand in a state partition, for who has to know them all after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agent.core.evaluate.graph_restart import last_step, phases_of
from agent.core.merge.partition_state import PartitionState
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.rules import Rule
from agent.core.state.series import Series

STANDING = (AlertPhase.FIRING, AlertPhase.INHIBITED)


def standing_alerts(plan: Plan, state: PartitionState) -> list[Transition]:
    """The step that each alert which fires, or is inhibited, took last.

    Rows keep the step itself only of rules that depend on others. Of all others they keep the phase
    and the episode: `at_ms` is when the episode began, `value` that of the last closed window.
    """
    return [
        step
        for rule in plan.rules.values()
        for series in state.reported_series(rule)
        for step in _steps(rule, series)
    ]


def _steps(rule: Rule, series: Series) -> Iterator[Transition]:
    if rule.depends_on:
        reported = series.reported.get(rule.name, {}).values()
        yield from (step for step in reported if step.state in STANDING)
        return
    for severity, phase in phases_of(series, rule).items():
        if phase in STANDING:
            step, window = last_step(rule, severity, series, phase), series.closed
            if window is not None:
                step = replace(
                    step, value=window.value, start_ms=window.start_ms, end_ms=window.end_ms
                )
            yield step
