"""`kpi-agent backtest`: every alert that would have fired."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.common import (
    add_brokers,
    add_now,
    add_period,
    check_known,
    clock_ms,
    file_progress,
    load_baseline,
    span,
    topic_progress,
    warn_unread,
)

if TYPE_CHECKING:
    from agent.backtest.runner import Backtest
    from agent.core.model.plan import Plan

ABOUT = "run the rules over history and list every alert that would have fired"
EXAMPLES = (
    "kpi-agent backtest events.ndjson",
    "kpi-agent backtest events.ndjson --against HEAD --rule slow_support",
    "kpi-agent backtest --brokers localhost:9092 --since 2027-03-01 --format html > report.html",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="[TOPIC=]FILE",
        help="events as JSON, - for standard input; none: the topics in Kafka, without a "
        "consumer group",
    )
    parser.add_argument("--rules", default="rules", metavar="DIR")
    parser.add_argument(
        "--rule", action="append", default=[], metavar="NAME", help="only this rule"
    )
    add_period(parser)
    parser.add_argument(
        "--against",
        metavar="REV",
        help="compare with the rules of a git revision or of another folder",
    )
    parser.add_argument("--format", choices=("human", "json", "html"), default="human")
    add_brokers(parser)
    parser.add_argument(
        "--warm-up",
        type=span,
        metavar="SPAN",
        help="how long before --since to start reading topics; default: as long as the rules need",
    )
    add_now(parser)


def run(options: Namespace) -> int:
    """`kpi-agent backtest`."""
    from agent.backtest.page import page
    from agent.backtest.report import Comparison, as_json, text_report
    from agent.core.output.messages import dumps
    from agent.language.load import load

    plan = load(options.rules)
    before = load_baseline(options.against, Path(options.rules)) if options.against else None
    check_known(options.rule, (*plan.rules, *(before.rules if before else ())), "rule")
    options.now = clock_ms(options.now)
    after = _backtest(plan, options, "backtest")
    comparison = Comparison(
        after,
        _backtest(before, options, f"backtest of {options.against}") if before else None,
        options.against or "",
        frozenset(options.rule),
    )
    if options.format == "human":
        sys.stdout.writelines(f"{line}\n" for line in text_report(comparison))
    elif options.format == "json":
        sys.stdout.write(dumps(as_json(comparison)).decode() + "\n")
    else:
        sys.stdout.writelines(page(comparison))
    warn_unread("backtest", after.read)
    return 0


def _backtest(plan: Plan, options: Namespace, what: str) -> Backtest:
    import asyncio

    from agent.backtest.runner import over_files, over_topics
    from agent.replay.runner import sources
    from agent.settings import load_settings

    since, until = options.since, options.until
    if options.files:
        files = sources(plan, options.files)
        with file_progress(what, files) as progress:
            return over_files(plan, files, options.now, since, until, progress)
    settings = load_settings(options.settings, brokers=options.brokers)
    with topic_progress(what) as records_progress:
        until = options.now if until is None else until
        return asyncio.run(
            over_topics(settings, plan, since, until, options.warm_up, records_progress)
        )
