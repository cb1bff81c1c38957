"""`kpi-agent backtest`: the rules over history, through the same core that `run` has on Kafka."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.core.model.plan import Plan
from agent.core.model.rules import AbsenceRule, CompositeRule, Rule, ThresholdRule, variants
from agent.core.output.episodes import AlertHistory, AlertRecorder, alert_history
from agent.replay.runner import Replayed, Source, stream
from agent.settings import Settings


@dataclass(frozen=True, slots=True)
class Backtest:
    """The episodes, and the outcomes of the records that were read."""

    history: AlertHistory
    read: Replayed


def over_files(
    plan: Plan,
    files: list[Source],
    clock_ms: int,
    since_ms: int | None,
    until_ms: int | None,
    progress: Callable[[int], None] = lambda _: None,
) -> Backtest:
    """Run the rules over files of events. Everything before `since_ms` is read, too, so that
    windows and alerts are at `since_ms` as they would have been."""
    read = Replayed()
    recorder = AlertRecorder(plan)
    for emitted in stream(plan, files, clock_ms, read, progress, until_ms):
        recorder.add(emitted)
    return Backtest(alert_history(recorder, since_ms, until_ms), read)


async def over_topics(
    settings: Settings,
    plan: Plan,
    since_ms: int | None,
    until_ms: int,
    warm_up_ms: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Backtest:
    """Run the rules over the records of the topics, from `warm_up_ms` before `since_ms` on (None:
    `warm_up` of the rules); without `since_ms`, from the beginning of the topics."""
    from agent.kafka.history import history

    read = Replayed()
    recorder = AlertRecorder(plan)
    before_ms = warm_up(plan) if warm_up_ms is None else warm_up_ms
    from_ms = None if since_ms is None else since_ms - before_ms
    async for emitted in history(settings, plan, from_ms, until_ms, read.note, progress):
        recorder.add(emitted)
    return Backtest(alert_history(recorder, since_ms, until_ms), read)


def warm_up(plan: Plan) -> int:
    """How long before an instant events must be read, in ms, for windows, pending alerts and the
    history that rules use to be whole at it: twice the longest window, the longest wait of a rule,
    and its longest history. An alert that fired earlier, and that no later value ends, is not
    known."""
    windows = [2 * kpi.window.span_ms + kpi.lateness_ms for kpi in plan.kpis.values()]
    waits = [_wait(variant) for rule in plan.rules.values() for variant in variants(rule)]
    return max(windows, default=0) + max(waits, default=0) + _longest_history(plan)


def _wait(rule: Rule) -> int:
    """How long an alert may be pending, and then about to end, in ms."""
    kept = max(rule.keep_firing_for_ms, rule.flapping.within_ms if rule.flapping else 0)
    if isinstance(rule, AbsenceRule):
        return kept + max(level.no_data_for_ms for level in rule.levels)
    return kept + rule.for_ms


def _longest_history(plan: Plan) -> int:
    """The longest history that a rule uses, in ms."""
    spans = [0]
    for rule in plan.rules.values():
        if not isinstance(rule, CompositeRule):
            spans += [variant.min_history_ms for variant in variants(rule)]
        if isinstance(rule, ThresholdRule):
            window = plan.kpis[rule.kpi].window
            spans += [f.needs_ms(window) for variant in variants(rule) for f in variant.features]
    return max(spans)
