"""The outcome of a restatement, as a table for people or as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from rich.table import Table
from rich.text import Text

from agent.core.model.plan import Plan
from agent.core.model.printable import printable
from agent.core.model.results import Correction
from agent.core.model.text import value_text
from agent.core.output.messages import (
    correction_json,
    dimensions_json,
    dumps,
    iso,
    label,
    window_json,
)
from agent.core.restatement import losing_events
from agent.replay.report import outcomes_text
from agent.restate.runner import Restatement
from agent.tables import add_columns, console_of

ROWS_SHOWN = 100


def write_table(plan: Plan, outcome: Restatement, out: TextIO) -> None:
    """Write a table of the first ROWS_SHOWN differences, and a summary."""
    console = console_of(out)
    if outcome.corrections:
        console.print(_table(plan, outcome.corrections[:ROWS_SHOWN]))
    if len(outcome.corrections) > ROWS_SHOWN:
        out.write(f"… and {len(outcome.corrections) - ROWS_SHOWN} more; --format json lists all\n")
    out.writelines(f"{line}\n" for line in _summary(outcome))


def write_json(plan: Plan, outcome: Restatement, corrected_ms: int, out: TextIO) -> None:
    """Write each correction as a line of JSON, as it is on `kpi-values`."""
    for correction in outcome.corrections:
        window = window_json(plan.kpis[correction.window.kpi], correction.window)
        out.write(dumps(correction_json(window, correction.before, corrected_ms)).decode() + "\n")


def _table(plan: Plan, corrections: Iterable[Correction]) -> Table:
    table = Table(box=None, header_style="bold")
    add_columns(table, "kpi", "series", "window (UTC)")
    add_columns(table, "published", "restated", "events", justify="right")
    for correction in corrections:
        table.add_row(*(Text(cell) for cell in _cells(plan, correction)))
    return table


def _cells(plan: Plan, correction: Correction) -> Iterator[str]:
    window, before = correction.window, correction.before
    kpi = plan.kpis[window.kpi]
    dimensions = dimensions_json(kpi, window.dimensions)
    yield kpi.name
    yield printable(" ".join(f"{name}={label(value)}" for name, value in dimensions.items()))
    yield f"{iso(window.start_ms)} – {iso(window.end_ms)}"
    yield "–" if before is None else value_text(before.value, kpi.unit)
    yield value_text(window.value, kpi.unit)
    yield f"{0 if before is None else before.events} → {window.events}"


def _summary(outcome: Restatement) -> Iterator[str]:
    yield outcomes_text(outcome.read)
    new = sum(correction.before is None for correction in outcome.corrections)
    yield (
        f"{', '.join(outcome.kpis)}: {outcome.windows} published windows; "
        f"{len(outcome.corrections) - new} to correct, {new} to add"
    )
    if not outcome.windows:
        yield "no window of this period is published: nothing is closed that could be corrected"
    losing = sum(1 for _ in losing_events(outcome.corrections))
    if losing:
        yield f"fewer events than published: {losing}"
