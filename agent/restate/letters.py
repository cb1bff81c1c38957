"""The review of dead letters for people: which are good now, and which still are not, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from rich.table import Table
from rich.text import Text

from agent.core.dead_letters import Review, ReviewResult, in_open_windows
from agent.core.model.plan import Plan
from agent.core.model.printable import printable
from agent.core.output.messages import iso
from agent.restate.runner import Restatement
from agent.tables import add_columns, console_of


def write_review(review: Review, out: TextIO) -> None:
    """Write how many dead letters of each kind are good now, and the reasons of the others."""
    console = console_of(out)
    table = Table(box=None, header_style="bold")
    add_columns(table, "topic", "event", "rejected as")
    add_columns(table, "dead letters", "good now", justify="right")
    add_columns(table, "not good")
    for rejected, results in sorted(review.results.items()):
        good = results[ReviewResult.GOOD, ""]
        names = (rejected.topic, rejected.contract or "–", rejected.reason)
        cells = (*map(printable, names), str(results.total()), str(good), _reasons(results))
        table.add_row(*map(Text, cells))
    if review.results:
        console.print(table)
    out.write(f"{review.total()} dead letters; {review.total(ReviewResult.GOOD)} are good now\n")
    if truncated := review.total(ReviewResult.TRUNCATED):
        out.write(
            f"{truncated} are truncated, so that only their topics have what they say: restate by "
            "KPI and period\n"
        )


def _reasons(results: Counter[tuple[ReviewResult, str]]) -> str:
    others = {key: count for key, count in results.items() if key[0] is not ReviewResult.GOOD}
    return ", ".join(f"{count} {reason or result}" for (result, reason), count in others.items())


def open_windows(
    plan: Plan, outcome: Restatement, times_ms: Mapping[str, Sequence[int]]
) -> Iterator[str]:
    """Which events wait for windows that are not closed, and until when."""
    for name in outcome.kpis:
        kpi = plan.kpis[name]
        times = times_ms.get(kpi.contract or "", ())
        if ends := in_open_windows(kpi, times, outcome.closed_ms[name]):
            yield (
                f"{name}: windows are not closed for {len(ends)} of the good dead letters; restate "
                f"again after {iso(ends[-1])}"
            )
