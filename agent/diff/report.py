"""The effects of a rule change as text: for people, as JSON, or as annotations of GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from agent.core.changes.describe import WORDS
from agent.core.changes.diff import (
    AlertChange,
    BackfillEffect,
    Change,
    Difference,
    KpiStateEffect,
    MetricChange,
    part_text,
    summary,
)
from agent.core.changes.inventory import Held
from agent.core.model.printable import printable
from agent.language.declared import declare
from agent.language.problems import annotation

Format = Literal["human", "json", "github"]

_MARKS = {"added": "+", "removed": "-", "renamed": "~", "changed": "~"}
_EFFECTS = {
    "new": "is new",
    "ends": "ends; where it fires, it is published as resolved (removed)",
    "reset": "starts over with its KPI, without being published as resolved",
    "goes on": "keeps its state, with the changed rule",
}


def render(
    difference: Difference, format: Format, rules: Path, baseline: str, held: Held | None = None
) -> str:
    """The difference as text that ends with a line break.

    `rules` is the path of the new rules, `baseline` the name of those they are compared with,
    `held` the series and alerts of a running agent that uses the baseline. `json` is one object:
    `summary`, `changes`, `metrics`, `states`, `alerts`, `pasts`, and `held` of an agent. `github`
    is an annotation for each change, at its place in the file.
    """
    if format == "json":
        document = {"summary": summary(difference), **asdict(difference)}
        for state, state_document in zip(difference.states, document["states"], strict=True):
            state_document["kept"] = state.kept
        if held is not None:
            document["held"] = asdict(held)
        return json.dumps(document, ensure_ascii=False) + "\n"
    if format == "github":
        return "".join(f"{line}\n" for line in _annotations(difference, rules, held))
    return "".join(f"{printable(line)}\n" for line in _human(difference, rules, baseline, held))


def _human(difference: Difference, rules: Path, baseline: str, held: Held | None) -> Iterator[str]:
    yield f"{rules} against {baseline}: {summary(difference)}"
    for section in dict.fromkeys(change.section for change in difference.changes):
        yield ""
        yield WORDS.get(section, (section, section))[1]
        for change in difference.changes:
            if change.section == section:
                gone = change.section == "kpis" and change.kind == "removed"
                count = series_text(held, change.name, " ({})") if gone else ""
                yield f"  {_MARKS[change.kind]} {_head(change)}{count}"
                yield from (f"      {part_text(part)}" for part in change.parts)
    if difference.metrics:
        yield ""
        yield "metrics"
        yield from (f"  {_MARKS[m.kind]} {metric_text(m)}" for m in difference.metrics)
    if difference.alerts:
        yield ""
        yield "alerts"
        yield from (f"  {alert_text(alert, held)}" for alert in difference.alerts)
    if difference and (difference.states or difference.pasts):
        yield ""
        yield "state"
        kept = [
            state.kpi + series_text(held, state.kpi, " ({})")
            for state in difference.states
            if state.kept
        ]
        yield from (f"  {state_text(state, held)}" for state in difference.states if not state.kept)
        yield from (f"  {backfill_text(past)}" for past in difference.pasts)
        if kept:
            yield f"  kept: {', '.join(kept)}"


def _head(change: Change) -> str:
    return f"{change.was} is called {change.name}" if change.was else change.name


def metric_text(metric: MetricChange) -> str:
    """A metric's change in words."""
    labels = f"{{{', '.join(metric.labels)}}}" if metric.labels else ""
    before = f"{{{', '.join(metric.labels_before)}}}" if metric.labels_before else ""
    if metric.kind == "renamed":
        return f"{metric.was}{before} is called {metric.name}{labels}"
    if metric.kind == "changed":
        return f"{metric.name}: labels {before or '{}'} → {labels or '{}'}; every series is another"
    return f"{metric.name}{labels}"


def alert_text(alert: AlertChange, held: Held | None = None) -> str:
    """The effect on a rule's alerts of one severity, and how many there are."""
    shown = f"{alert.rule} ({alert.severity}) {_EFFECTS[alert.effect]}"
    by_phase = held.alert_counts(alert.rule, alert.severity) if held else {}
    counts = ", ".join(f"{count} {phase.value}" for phase, count in by_phase.items())
    return f"{shown}: {counts}" if counts and alert.effect != "new" else shown


def series_text(held: Held | None, kpi: str, form: str) -> str:
    """`form` with how many series a KPI has; "" where that is not known."""
    count = held.series.get(kpi) if held else None
    return "" if count is None else form.format("1 series" if count == 1 else f"{count:,} series")


def state_text(state: KpiStateEffect, held: Held | None = None) -> str:
    """Why a KPI's state starts over."""
    reasons = "; ".join(part_text(part) for part in state.reasons)
    count = series_text(held, state.kpi, " of {}")
    return f"{state.kpi} starts over: history, open windows and alerts{count} ({reasons})"


def backfill_text(past: BackfillEffect) -> str:
    """Whether a KPI's backfill is read, in words."""
    if past.is_read:
        return f"{past.kpi} is backfilled: the events of {past.span} are read again"
    return f"{past.kpi} has state already: its backfill ({past.span}) is not read"


def _annotations(difference: Difference, rules: Path, held: Held | None) -> Iterator[str]:
    """A warning for lost state and for what is removed, a notice for every other change."""
    declared = declare(rules)
    reset = {state.kpi: state for state in difference.states if not state.kept}
    for change in difference.changes:
        entry = getattr(declared, change.section, {}).get(change.name)
        at = entry.source.locate(entry.place, "key") if entry else None
        place = {"file": entry.source.name, "line": str(at.line)} if entry and at else {}
        lines = [f"{_head(change)} {change.kind}", *map(part_text, change.parts)]
        lost = reset.pop(change.name, None) if change.section == "kpis" else None
        lines += [state_text(lost, held)] if lost else []
        if change.section == "kpis":
            lines += [backfill_text(past) for past in difference.pasts if past.kpi == change.name]
        level = "warning" if lost or change.kind == "removed" else "notice"
        title = WORDS.get(change.section, (change.section,))[0]
        yield annotation(level, {**place, "title": f"{title} {change.name}"}, "\n".join(lines))
    for state in reset.values():
        yield annotation("warning", {"title": f"KPI {state.kpi}"}, state_text(state, held))
