"""`kpi-agent check`: reports everything that is wrong with the rules."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from agent.commands.common import OK, WRONG, is_colored
from agent.core.model.printable import printable

ABOUT = "check the rules and report every error"
EXAMPLES = (
    "kpi-agent check",
    "kpi-agent check rules --format github",
    "kpi-agent check - < rules.yaml",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "rules",
        nargs="?",
        default="rules",
        metavar="DIR",
        help="default: rules; - for standard input",
    )
    parser.add_argument("--format", choices=("human", "json", "github"), default="human")


def run(options: Namespace) -> int:
    """`kpi-agent check`."""
    from agent.core.changes.describe import WORDS
    from agent.language.load import check as check_rules
    from agent.language.report import render

    plan, problems = check_rules(options.rules)
    sys.stdout.write(render(problems, options.format, color=is_colored(sys.stdout)))
    if plan is None:
        return WRONG
    if options.format == "human":
        counts: dict[str, Mapping[str, object]] = {
            "events": plan.contracts,
            "kpis": plan.kpis,
            "rules": plan.rules,
            "objectives": plan.objectives,
        }
        if plan.maintenance:
            counts["maintenance"] = plan.maintenance
        shown = ", ".join(f"{len(made)} {WORDS[s][len(made) != 1]}" for s, made in counts.items())
        print(f"{printable(options.rules)}: {shown}: all good")  # noqa: T201
    return OK
