"""Resolves a test as written to a case that can run; collects all problems."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from agent.core.decode.batch import Batch
from agent.core.fixed_windows import consecutive_windows
from agent.core.fold.lookup_topics import LookupTopics
from agent.core.model.kpis import Dimensions, Kpi
from agent.core.model.plan import Plan
from agent.core.model.results import WindowValue
from agent.core.model.rules import ThresholdRule
from agent.language.declared import Entry
from agent.language.problems import Problem, suggest
from agent.language.source import Place
from agent.ruletests.cases import Case, Expectations, Record
from agent.ruletests.events import records
from agent.ruletests.expectations import expectations
from agent.ruletests.models import TestFileSpec, TestSpec, ValuesSpec
from agent.ruletests.notation import Value
from agent.ruletests.resolve_context import ResolveContext
from agent.ruletests.times import TimeError, clock_of


def resolve(
    plan: Plan, entry: Entry[TestSpec], file: TestFileSpec
) -> tuple[Case | None, list[Problem]]:
    """The case of a test, None if it has problems, and these."""
    spec = entry.model
    zone = spec.timezone or file.timezone or "UTC"
    try:
        clock = clock_of(zone, spec.start or file.start)
    except TimeError as error:
        # The file's own start is the same problem in each of its tests.
        source = entry if spec.start else entry.source
        problem = source.problem(("start",), error.message, error.hint)
        return None, [problem] if problem else []
    context = ResolveContext(plan, entry, clock, frozenset(spec.rules or ()))
    context.rules = _rules(context)
    given = [key for key in ("events", "series", "file") if entry.is_written(key)]
    if len(given) != 1:
        message = "both `" + "` and `".join(given) + "`" if given else "the test has no input"
        hint = "make two tests of it" if given else "give it `events`, `series` or a `file`"
        context.wrong((given[-1],) if given else (), message, hint, on="key")
    expected = expectations(context, closed_only=spec.series is not None)
    until = context.time(("until",), spec.until)
    arrived = records(context) if spec.events is not None else None
    windows = _windows(context) if spec.series is not None else None
    path = _path(context) if spec.file is not None else None
    lookups = _lookups(context)
    if context.problems or entry.holes:
        return None, context.problems
    until = _until(until, expected, arrived, windows)
    span = entry.source.locate(entry.place, "key")
    case = Case(
        entry.name, entry.source, span, clock, until, context.rules, expected, arrived, windows,
        path, lookups,
    )  # fmt: skip
    return case, []


def _rules(context: ResolveContext) -> frozenset[str]:
    """The rules that the test is about."""
    named = context.entry.model.rules
    unknown = [n for n in named or () if n not in context.plan.rules]
    for name in unknown:
        hint = suggest(name, context.plan.rules, "rules")
        context.wrong(("rules", (named or []).index(name)), f"unknown rule '{name}'", hint)
    # With an unknown name, all rules count as named, so that it is the only problem.
    return frozenset(context.plan.rules if named is None or unknown else named)


def _lookups(context: ResolveContext) -> tuple[Batch, ...]:
    """The rows of lookups in topics, each without a timestamp."""
    topics = {
        name: lookup.topic.name
        for name, lookup in context.plan.lookups.items()
        if lookup.topic is not None
    }
    read = LookupTopics(context.plan.lookups)
    batches = []
    for name, rows in context.entry.model.lookups.items():
        if name not in topics:
            hint = suggest(name, topics, "lookups in topics")
            context.wrong(("lookups", name), f"no lookup in a topic is '{name}'", hint, on="key")
            continue
        count = len(rows)
        batch = Batch(
            topics[name],
            [msgspec.json.encode(row) for row in rows],
            np.zeros(count, np.int32),
            np.arange(count, dtype=np.int64),
            np.zeros(count, np.int64),
            timestamped=False,
        )
        for reject in read.add(batch):
            context.wrong(("lookups", name, reject.offset), reject.detail)
        batches.append(batch)
    return tuple(batches)


def _until(
    until: int | None,
    expected: Expectations,
    arrived: Iterable[Record] | None,
    windows: Iterable[WindowValue] | None,
) -> int | None:
    if until is not None:
        return until
    ends = [r.arrives_ms for r in arrived or ()] + [w.end_ms for w in windows or ()]
    if not ends:
        return None
    return max(*ends, expected.latest_ms or 0)


def _windows(context: ResolveContext) -> tuple[WindowValue, ...]:
    """The given windows of all series."""
    out: list[WindowValue] = []
    seen: set[tuple[str, Dimensions]] = set()
    for text, spec in (context.entry.model.series or {}).items():
        at: Place = ("series", text)
        series = context.series(at, text)
        long = isinstance(spec, ValuesSpec)
        written = spec.values if isinstance(spec, ValuesSpec) else spec
        values = context.values((*at, "values") if long else at, written)
        if series is None:
            continue
        kpi, dimensions = series
        if (kpi.name, dimensions) in seen:
            context.wrong(
                at, "the same series twice", "merge their values into one entry", on="key"
            )
        seen.add((kpi.name, dimensions))
        default = spec.events if isinstance(spec, ValuesSpec) else None
        events = _enough_events(context.plan, kpi) if default is None else default
        filled = [(v.value, _event_count(v, events)) for v in values]
        out += consecutive_windows(kpi, dimensions, filled, context.clock.start_ms)
    return tuple(out)


def _event_count(value: Value, default: int) -> int:
    if value.events is not None:
        return value.events
    return 0 if value.value is None else default


def _enough_events(plan: Plan, kpi: Kpi) -> int:
    """The least number of events with which all rules of a KPI evaluate a window."""
    rules = plan.rules_of(kpi.name)
    return max([1, *(r.min_events for r in rules if isinstance(r, ThresholdRule))])


def _path(context: ResolveContext) -> Path | None:
    path = Path(context.entry.source.name).parent / str(context.entry.model.file)
    if not path.is_file():
        context.wrong(
            ("file",), f"there is no file {path}", "the path is relative to the test file's folder"
        )
    return path
