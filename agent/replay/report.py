"""The outcome of a replay, as a table for people or as JSON or CSV for programs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TextIO

from rich.table import Table
from rich.text import Text

from agent.core.fold.field_counts import in_words
from agent.core.model.kpis import Dimensions
from agent.core.model.plan import Plan
from agent.core.model.printable import printable, printable_lines
from agent.core.model.results import (
    AlertPhase,
    Emitted,
    Outcome,
    TargetState,
    TargetStatus,
    Transition,
    WindowValue,
)
from agent.core.output.messages import (
    dumps,
    iso,
    label,
    summary_json,
    target_json,
    transition_json,
    window_json,
)
from agent.replay.runner import Replayed
from agent.tables import add_columns, console_of

Format = Literal["table", "json", "csv"]

_STATE_MARKS = {
    TargetState.MET: "[green]● met[/]",
    TargetState.AT_RISK: "[yellow]▲ at risk[/]",
    TargetState.MISSED: "[red]■ missed[/]",
    TargetState.NO_DATA: "[dim]○ no data[/]",
}
_PHASE_MARKS = {
    AlertPhase.FIRING: "[red]firing[/]",
    AlertPhase.PENDING: "[yellow]pending[/]",
    AlertPhase.INHIBITED: "[dim]inhibited[/]",
    AlertPhase.RESOLVED: "[green]resolved[/]",
    AlertPhase.INACTIVE: "[dim]inactive[/]",
}
_CSV_COLUMNS = (
    "kind", "kpi", "dimensions", "start", "end", "open", "value", "events", "state", "previous",
    "attainment", "at_least", "at_most", "warn_at_least", "warn_at_most", "rule", "severity", "at",
    "bound", "reason", "summary",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a replay that is shown: windows within `[since, until]` (ms), these KPIs (none:
    all)."""

    since_ms: int | None = None
    until_ms: int | None = None
    kpis: frozenset[str] = frozenset()

    def has(self, window: WindowValue) -> bool:
        """Whether a window is shown."""
        end = window.start_ms if window.open else window.end_ms
        return self._has_kpi(window.kpi) and self._within(window.start_ms, end)

    def has_transition(self, transition: Transition) -> bool:
        """Whether a transition is shown."""
        return self._has_kpi(transition.kpi) and self._within(transition.at_ms, transition.at_ms)

    def _has_kpi(self, kpi: str) -> bool:
        return not self.kpis or kpi in self.kpis

    def _within(self, first_ms: int, last_ms: int) -> bool:
        return (self.since_ms is None or first_ms >= self.since_ms) and (
            self.until_ms is None or last_ms <= self.until_ms
        )


def selected(replayed: Replayed, selection: Selection) -> Replayed:
    """The part of a replay that is shown; the outcomes are of all records."""
    return Replayed(
        selected_results(replayed.emitted, selection),
        [w for w in replayed.open if selection.has(w)],
        replayed.outcomes,
        replayed.reasons,
        replayed.rejects,
        replayed.fields,
        replayed.late_rows,
        replayed.unread,
    )


def selected_results(emitted: Emitted, selection: Selection) -> Emitted:
    """The part of the results that is shown."""
    return Emitted(
        tuple(w for w in emitted.windows if selection.has(w)),
        tuple(t for t in emitted.targets if selection.has(t.window)),
        tuple(t for t in emitted.transitions if selection.has_transition(t)),
        emitted.late,
    )


def write(plan: Plan, replayed: Replayed, format: Format, out: TextIO) -> None:
    """Write a replay to a text stream."""
    writers: dict[Format, Callable[[Plan, Replayed, TextIO], None]] = {
        "table": _table,
        "json": _json,
        "csv": _csv,
    }
    writers[format](plan, replayed, out)


def _lines(plan: Plan, replayed: Replayed) -> Iterator[dict[str, object]]:
    """Windows, target states and transitions as objects, in event-time order; at the same time, in
    this order."""
    items: list[tuple[int, int, dict[str, object]]] = []
    for w in (*replayed.emitted.windows, *replayed.open):
        items.append((w.end_ms, 0, window_json(plan.kpis[w.kpi], w)))
    for status in replayed.emitted.targets:
        kpi = plan.kpis[status.window.kpi]
        items.append((status.window.end_ms, 1, target_json(kpi, status)))
    for t in replayed.emitted.transitions:
        items.append((t.at_ms, 2, transition_json(plan, plan.rules.get(t.rule), t)))
    items.sort(key=lambda item: item[:2])
    for _, _, line in items:
        yield line


def _json(plan: Plan, replayed: Replayed, out: TextIO) -> None:
    for line in _lines(plan, replayed):
        out.write(dumps(line).decode() + "\n")
    summary = summary_json(
        replayed.records, replayed.outcomes, replayed.reasons, replayed.late_rows
    )
    if shown := fields_json(replayed):
        summary["fields"] = shown
    out.write(dumps(summary).decode() + "\n")


def _csv(plan: Plan, replayed: Replayed, out: TextIO) -> None:
    writer = csv.DictWriter(out, _CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for line in _lines(plan, replayed):
        line["dimensions"] = dumps(line["dimensions"]).decode()  # type: ignore[arg-type]
        writer.writerow(line)


def _table(plan: Plan, replayed: Replayed, out: TextIO) -> None:
    console = console_of(out)
    statuses = {
        (s.window.kpi, s.window.dimensions, s.window.end_ms): s for s in replayed.emitted.targets
    }
    console.print(_windows_table(plan, replayed, statuses))
    if replayed.emitted.transitions:
        console.print(_transitions_table(plan, replayed))
    console.print(outcomes_text(replayed), markup=False)
    for shown in in_words(replayed.fields):
        console.print(f"  {printable(shown)}", markup=False)
    for name, reject in replayed.rejects:
        shown = f"{name}, record {reject.offset + 1}: {reject.reason.value}: {reject.detail}"
        console.print(f"  {printable(shown)}", markup=False)
    more = replayed.outcomes[Outcome.REJECTED] - len(replayed.rejects)
    if more > 0:
        console.print(f"  … and {more} more")


def _windows_table(
    plan: Plan,
    replayed: Replayed,
    statuses: dict[tuple[str, Dimensions, int], TargetStatus],
) -> Table:
    table = Table(title="Windows", title_justify="left", header_style="bold")
    add_columns(table, "KPI", "series", "start", "end")
    add_columns(table, "value", justify="right")
    add_columns(table, "unit")
    add_columns(table, "events", justify="right")
    add_columns(table, "target")
    for w in sorted((*replayed.emitted.windows, *replayed.open), key=lambda w: w.end_ms):
        kpi = plan.kpis[w.kpi]
        status = statuses.get((w.kpi, w.dimensions, w.end_ms))
        mark = "[dim]open[/]" if w.open else _STATE_MARKS[status.state] if status else ""
        if w.maintenance is not None and not w.open:
            mark = "[dim]○ maintenance[/]"
        table.add_row(
            w.kpi, Text(series_text(kpi.by, w.dimensions)), iso(w.start_ms), iso(w.end_ms),
            number(w.value), kpi.unit or "", str(w.events), mark,
        )  # fmt: skip
    return table


def _transitions_table(plan: Plan, replayed: Replayed) -> Table:
    table = Table(title="Rules", title_justify="left", header_style="bold")
    add_columns(table, "at", "rule", "severity", "series", "from", "to")
    add_columns(table, "value", justify="right")
    add_columns(table, "bound")
    for t in replayed.emitted.transitions:
        kpi = plan.subject(t.kpi)
        table.add_row(
            iso(t.at_ms), t.rule, t.severity,
            Text(series_text(kpi.by if kpi else (), t.dimensions)),
            t.previous.value, _PHASE_MARKS[t.state], number(t.value),
            Text(printable_lines(t.bound)),
        )  # fmt: skip
    return table


def fields_json(replayed: Replayed) -> dict[str, object]:
    """By contract and field, how many events have it null, of another type, or in a form that can't
    be cast. Fields are left out that have a value in some event and are right in all."""
    out: dict[str, object] = {}
    for contract, counts in replayed.fields.items():
        names = dict.fromkeys([*counts.always_null, *counts.wrong_types, *counts.failed_casts])
        if names:
            out[contract] = {
                name: {"null": counts.nulls[name], "wrong_type": counts.wrong_types[name]}
                | ({"failed_cast": number} if (number := counts.failed_casts[name]) else {})
                | {"events": counts.events}
                for name in names
            }
    return out


def outcomes_text(replayed: Replayed) -> str:
    """The outcomes of the records, in one line."""
    parts = [f"{number_} {outcome}" for outcome, number_ in replayed.outcomes.items() if number_]
    reasons = ", ".join(f"{n} {reason}" for reason, n in replayed.reasons.most_common())
    records = "1 record" if replayed.records == 1 else f"{replayed.records} records"
    shown = f"{records}: {', '.join(parts) or 'none'}"
    shown = f"{shown} ({reasons})" if reasons else shown
    # Records that are late for all of their KPIs are in the outcome already.
    partly = {k: n for k, n in replayed.late_rows.items() if n > replayed.outcomes[Outcome.LATE]}
    late = ", ".join(f"{kpi} {n}" for kpi, n in sorted(partly.items()))
    return f"{shown}; too late for a window of: {late}" if late else shown


def series_text(by: tuple[str, ...], dimensions: Dimensions) -> str:
    """`region=apac, channel=web`; control characters are visible."""
    return ", ".join(f"{n}={printable(label(v))}" for n, v in zip(by, dimensions, strict=False))


def number(value: float | None) -> str:
    """A value for people: whole numbers in full, others with six significant digits."""
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.2f}"
