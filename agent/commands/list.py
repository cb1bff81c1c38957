"""`kpi-agent list`: what the rules declare, one line each."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agent.commands.common import OK, check_known
from agent.core.model.printable import aligned, printable

if TYPE_CHECKING:
    from agent.core.model.plan import Plan

ABOUT = "list the KPIs, rules, objectives or owners that the rules declare"
EXAMPLES = (
    "kpi-agent list",
    "kpi-agent list rules --owner support-ops",
    "kpi-agent list owners --format json",
)
KINDS = ("kpis", "rules", "objectives", "owners")

Row = dict[str, str]


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("what", nargs="?", choices=KINDS, default="kpis", help="default: kpis")
    parser.add_argument("--rules", default="rules", metavar="DIR")
    parser.add_argument("--owner", metavar="NAME", help="only what this owner owns")
    parser.add_argument("--format", choices=("human", "json"), default="human")


def run(options: Namespace) -> int:
    """`kpi-agent list`."""
    from agent.language.load import load

    plan = load(options.rules)
    rows = list(_rows(plan, options.what))
    if options.owner is not None:
        check_known([options.owner], _owners(plan), "owner")
        rows = [row for row in rows if row["owner"] == options.owner]
    if options.format == "json":
        sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        cells = [[printable(text) for text in row.values()] for row in rows]
        table = aligned([list(rows[0]), *cells]) if rows else ()
        sys.stdout.writelines(f"{line}\n" for line in table)
    return OK


def _rows(plan: Plan, what: str) -> Iterator[Row]:
    """The rows of a list: `name`, `owner` and further columns of its kind; "" for what is not
    declared."""
    from agent.core.model.text import window_text

    if what == "kpis":
        for kpi in plan.kpis.values():
            yield {
                "name": kpi.name, "owner": kpi.owner or "", "window": window_text(kpi.window),
                "by": ", ".join(kpi.by), "title": kpi.title,
            }  # fmt: skip
    elif what == "rules":
        for rule in plan.rules.values():
            subject = plan.subject_of(rule)
            owner = rule.owner or subject.owner or ""
            yield {"name": rule.name, "owner": owner, "kpi": subject.name}
    elif what == "objectives":
        for objective in plan.objectives.values():
            yield {
                "name": objective.name, "owner": objective.owner or "", "title": objective.title
            }  # fmt: skip
    else:
        for owner in _owners(plan):
            counts = {
                kind: sum(row["owner"] == owner for row in _rows(plan, kind))
                for kind in ("kpis", "rules", "objectives")
            }
            yield {"owner": owner, **{kind: str(count) for kind, count in counts.items()}}


def _owners(plan: Plan) -> Sequence[str]:
    kinds = ("kpis", "rules", "objectives")
    return sorted({row["owner"] for kind in kinds for row in _rows(plan, kind)} - {""})
