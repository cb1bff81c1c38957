"""`kpi-agent restate`: closed windows computed again from the source topics."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from agent.commands.common import (
    OK,
    WRONG,
    check_known,
    clock_ms,
    instant,
    say,
    topic_progress,
    usage,
)

ABOUT = "compute closed windows again from the source topics, and correct what was published"
EXAMPLES = (
    "kpi-agent restate revenue --since 2027-03-01 --until 2027-03-02",
    "kpi-agent restate revenue --since 2027-03-01 --until 2027-03-02 --apply",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("kpi", metavar="KPI")
    for option, which in (("--since", "after"), ("--until", "before")):
        parser.add_argument(
            option, type=instant, metavar="TIME", required=True,
            help=f"windows that lie partly or wholly {which} this time; ISO 8601, UTC without an "
            "offset",
        )  # fmt: skip
    parser.add_argument(
        "--apply",
        action="store_true",
        help="publish the corrections; default: only show what differs",
    )
    parser.add_argument(
        "--allow-fewer-events",
        action="store_true",
        help="also correct windows to fewer events than were published",
    )
    parser.add_argument("--rules", default="rules", metavar="DIR")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--brokers", metavar="HOST:PORT", help="default: KPI_AGENT_BROKERS")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="or KPI_AGENT_SETTINGS")


def run(options: Namespace) -> int:
    """`kpi-agent restate`."""
    if options.since >= options.until:
        return usage("restate", "--since must be before --until")

    import asyncio

    from agent.core.restatement import Period, losing_events
    from agent.language.load import load
    from agent.restate.report import write_json, write_table
    from agent.restate.runner import apply, restate
    from agent.settings import load_settings

    plan = load(options.rules)
    check_known([options.kpi], tuple(plan.kpis), "KPI")
    settings = load_settings(options.settings, brokers=options.brokers)
    period, now_ms = Period(options.since, options.until), clock_ms()
    with topic_progress("restate") as progress:
        restated = asyncio.run(restate(settings, plan, options.kpi, period, progress))
    if options.format == "json":
        write_json(plan, restated, now_ms, sys.stdout)
    else:
        write_table(plan, restated, sys.stdout)
    if not options.apply:
        if restated.corrections:
            say("Nothing was published: --apply publishes the corrections.")
        return OK
    if not options.allow_fewer_events and any(losing_events(restated.corrections)):
        say(
            "kpi-agent restate: nothing was published: some windows would have fewer events than "
            "were published.\nWere records deleted from the source topics? If the rules are meant "
            "to count fewer, add --allow-fewer-events."
        )
        return WRONG
    asyncio.run(apply(settings, plan, restated.corrections, now_ms))
    say(f"{len(restated.corrections)} windows are corrected.")
    return OK
