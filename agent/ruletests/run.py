"""Runs a test: events through the whole core, given windows through the evaluation only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.core.decode.batch import Batch
from agent.core.evaluate.thresholds import Evaluation
from agent.core.fixed_windows import FixedWindows
from agent.core.model.plan import Plan
from agent.core.model.results import Emitted, Outcome, TargetStatus, Transition, WindowValue
from agent.core.pipeline import Pipeline, in_event_time_order
from agent.language.source import Span
from agent.replay.runner import Replayed, sources, stream
from agent.ruletests.cases import Case, Record

FILE_CLOCK_MS = 4_102_444_800_000
"""2100-01-01: the current time for events of a file, so that none is from the future."""


@dataclass(slots=True)
class RunResult:
    """The results of one test, up to its end."""

    windows: tuple[WindowValue, ...] = ()
    targets: tuple[TargetStatus, ...] = ()
    transitions: tuple[Transition, ...] = ()
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    refused: list[tuple[Span, str]] = field(default_factory=list)
    """Events that were not folded: their places in the file, and why."""
    evaluations: list[Evaluation] = field(default_factory=list)
    computed: frozenset[str] = frozenset()
    """The KPIs whose values were computed, not given."""


def run(plan: Plan, case: Case) -> RunResult:
    """Run a test. Raises EnvironmentFault for a file of events that can't be read."""
    result = RunResult()
    until = case.until_ms or 0
    if case.windows is not None:
        emitted = _run_windows(plan, case, result)
    elif case.records is not None:
        emitted = _run_events(plan, case, case.records, result)
    else:
        emitted, newest = _run_file(plan, case, result)
        until = until or max(newest, case.expected.latest_ms or 0)
    result.windows = tuple(w for w in emitted.windows if w.end_ms <= until)
    result.targets = tuple(t for t in emitted.targets if t.window.end_ms <= until)
    result.transitions = tuple(t for t in emitted.transitions if t.at_ms <= until)
    result.evaluations = [e for e in result.evaluations if e.at_ms <= until]
    given = {w.kpi for w in case.windows or ()}
    result.computed = frozenset(w.kpi for w in result.windows if w.value is not None) - given
    return result


def _run_windows(plan: Plan, case: Case, result: RunResult) -> Emitted:
    fixed = FixedWindows(plan, case.windows or (), result.evaluations.append)
    return fixed.run(case.until_ms or 0)


def _run_events(plan: Plan, case: Case, records: Sequence[Record], result: RunResult) -> Emitted:
    pipeline = _pipeline(plan.in_json(), case, result)
    for topic in plan.default_topics:
        of_topic = [r for r in records if r.topic == topic]
        if of_topic:
            added = pipeline.add(_batch(topic, of_topic))
            result.refused += [
                (of_topic[row].span, f"rejected: {r.detail}") for row, r in added.rejects
            ]
            result.refused += [(of_topic[row].span, "late") for row, _ in added.late]
    for (outcome, _, _), number in pipeline.counts.items():
        result.outcomes[outcome] += number
    return in_event_time_order([pipeline.flush(), pipeline.advance_to(case.until_ms or 0)])


def _pipeline(plan: Plan, case: Case, result: RunResult, topics: Sequence[str] = ()) -> Pipeline:
    pipeline = Pipeline(plan, dict.fromkeys(topics, 1), on_evaluation=result.evaluations.append)
    for rows in case.lookups:
        pipeline.lookups.add(rows)
    return pipeline


def _batch(topic: str, records: Sequence[Record]) -> Batch:
    return Batch(
        topic,
        [record.value for record in records],
        np.zeros(len(records), np.int32),
        np.arange(len(records), dtype=np.int64),
        np.array([record.arrives_ms for record in records], np.int64),
        keys=[record.key for record in records],
        headers={row: record.headers for row, record in enumerate(records) if record.headers},
    )


def _run_file(plan: Plan, case: Case, result: RunResult) -> tuple[Emitted, int]:
    """The results of the events of a file, and the time of the newest event."""
    files = sources(plan, [str(case.file)])
    pipeline = _pipeline(plan, case, result, files[0].topics)
    out = Replayed()
    emitted = list(stream(plan, files, FILE_CLOCK_MS, out, pipeline=pipeline))
    newest = pipeline.newest_ms or 0
    until = case.until_ms or case.expected.latest_ms or 0
    if until > newest:
        emitted.append(pipeline.advance_to(until))
    result.outcomes += out.outcomes
    return in_event_time_order(emitted), newest
