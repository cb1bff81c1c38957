"""`kpi-agent check`: reports everything that is wrong with the rules."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from agent.commands.common import OK, WRONG, add_settings, is_colored
from agent.core.model.printable import printable

if TYPE_CHECKING:
    from agent.core.model.plan import Plan
    from agent.language.problems import EventProblem

ABOUT = "check the rules and report every error"
EXAMPLES = (
    "kpi-agent check",
    "kpi-agent check rules --format github",
    "kpi-agent check - < rules.yaml",
    "kpi-agent check rules --registry https://registry:8081",
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
    parser.add_argument(
        "--registry",
        nargs="?",
        const="",
        metavar="URL",
        help="also report registered schemas that no longer fit; default: the setting "
        "schema_registry",
    )
    add_settings(parser)
    parser.add_argument("--format", choices=("human", "json", "github"), default="human")


def run(options: Namespace) -> int:
    """`kpi-agent check`."""
    from agent.core.changes.describe import WORDS
    from agent.language.load import check as check_rules
    from agent.language.problems import render

    further = {} if options.registry is None else {"further": partial(_misfits, options)}
    plan, problems = check_rules(options.rules, **further)
    sys.stdout.write(render(problems, options.format, color=is_colored(sys.stdout)))
    if plan is None or any(problem.severity == "error" for problem in problems):
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
        shown = ", ".join(
            f"{len(names)} {WORDS[section][len(names) != 1]}" for section, names in counts.items()
        )
        print(f"{printable(options.rules)}: {shown}: all good")  # noqa: T201
    return OK


def _misfits(options: Namespace, plan: Plan) -> Iterable[EventProblem]:
    """The fields of contracts that the registered schemas do not fit."""
    from agent.kafka.registered import registered
    from agent.language.problems import EventProblem, Importance
    from agent.settings import load_settings

    settings = load_settings(options.settings, schema_registry=options.registry or None)
    for finding in registered(settings, plan):
        severity: Importance = "warning" if finding.is_unknown else "error"
        yield EventProblem(finding.event, finding.part, finding.message, severity)
