"""The active alerts of a state partition, from which alert delivery continues after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agent.core.evaluate.graph_restart import last_transition, phases_of
from agent.core.merge.partition_state import PartitionState
from agent.core.model.plan import Plan
from agent.core.model.results import AlertPhase, Transition
from agent.core.model.rules import Rule
from agent.core.state.series import Series

ACTIVE = (AlertPhase.FIRING, AlertPhase.INHIBITED)


def active_alerts(plan: Plan, state: PartitionState) -> list[Transition]:
    """The last transition of each alert that is firing or inhibited.

    Rows keep transitions only for rules with `depends_on`, otherwise just the phase and the
    episode. The transition is then reconstructed: `at_ms` is the start of the episode, `value` that
    of the last closed window.
    """
    return [
        transition
        for rule in plan.rules.values()
        for series in state.reported_series(rule)
        for transition in _last_transitions(rule, series)
    ]


def _last_transitions(rule: Rule, series: Series) -> Iterator[Transition]:
    if rule.depends_on:
        reported = series.reported.get(rule.name, {}).values()
        yield from (transition for transition in reported if transition.state in ACTIVE)
        return
    for severity, phase in phases_of(series, rule).items():
        if phase in ACTIVE:
            last, window = last_transition(rule, severity, series, phase), series.closed
            if window is not None:
                last = replace(
                    last, value=window.value, start_ms=window.start_ms, end_ms=window.end_ms
                )
            yield last
