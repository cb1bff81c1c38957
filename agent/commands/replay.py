"""`kpi-agent replay`: runs files of events through the rules, without Kafka."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from agent.commands.common import (
    OK,
    WRONG,
    add_now,
    add_period,
    check_known,
    clock_ms,
    file_progress,
    warn_unread,
)

ABOUT = "run files of events through the rules, without Kafka"
EXAMPLES = (
    "kpi-agent replay events.ndjson",
    "kpi-agent replay orders=orders.ndjson.gz --kpi revenue --since 2027-03-01 --format csv",
    "kafka-console-consumer.sh … | kpi-agent replay -",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "files", nargs="+", metavar="[TOPIC=]FILE", help="events as JSON; - for standard input"
    )
    parser.add_argument("--rules", default="rules", metavar="DIR")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")
    parser.add_argument("--kpi", action="append", default=[], metavar="NAME", help="only this KPI")
    add_period(parser)
    add_now(parser)


def run(options: Namespace) -> int:
    """`kpi-agent replay`."""
    from agent.language.load import load
    from agent.replay.report import Selection, selected, write
    from agent.replay.runner import replay as run_replay
    from agent.replay.runner import sources

    plan = load(options.rules)
    check_known(options.kpi, tuple(plan.kpis), "KPI")
    files = sources(plan, options.files)
    with file_progress("replay", files) as progress:
        replayed = run_replay(plan, files, clock_ms(options.now), progress)
    selection = Selection(options.since, options.until, frozenset(options.kpi))
    write(plan, selected(replayed, selection), options.format, sys.stdout)
    warn_unread("replay", replayed)
    if replayed.is_all_lost:
        sys.stderr.write("kpi-agent replay: no event of any contract was found in what was read\n")
        return WRONG
    return OK
