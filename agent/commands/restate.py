"""`kpi-agent restate`: closed windows computed again from the source topics."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent.commands.common import (
    OK,
    WRONG,
    add_brokers,
    check_known,
    clock_ms,
    instant,
    say,
    topic_progress,
    usage,
)

if TYPE_CHECKING:
    from agent.core.model.plan import Plan
    from agent.core.model.results import Correction
    from agent.core.restatement import Period
    from agent.settings import Settings

ABOUT = "compute closed windows again from the source topics, and correct what was published"
EXAMPLES = (
    "kpi-agent restate revenue --since 2027-03-01 --until 2027-03-02",
    "kpi-agent restate revenue --since 2027-03-01 --until 2027-03-02 --apply",
    "kpi-agent restate --dead-letters",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("kpi", metavar="KPI", nargs="?")
    parser.add_argument(
        "--dead-letters",
        action="store_true",
        help="review the dead letters by today's contracts, and restate the windows of those that "
        "are good now; KPI, --since and --until then select some of them",
    )
    for option, which in (("--since", "after"), ("--until", "before")):
        parser.add_argument(
            option, type=instant, metavar="TIME",
            help=f"windows that are partly or wholly {which} this time; ISO 8601, UTC without an "
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
    add_brokers(parser)


def run(options: Namespace) -> int:
    """`kpi-agent restate`."""
    if not options.dead_letters and None in (options.kpi, options.since, options.until):
        return usage("restate", "name a KPI, --since and --until; or give --dead-letters")
    if None not in (options.since, options.until) and options.since >= options.until:
        return usage("restate", "--since must be before --until")

    import asyncio

    from agent.core.restatement import Period
    from agent.language.load import load
    from agent.restate.letters import open_windows
    from agent.restate.report import write_json, write_table
    from agent.restate.runner import restate
    from agent.settings import load_settings

    plan = load(options.rules)
    if options.kpi is not None:
        check_known([options.kpi], tuple(plan.kpis), "KPI")
    settings, now_ms = load_settings(options.settings, brokers=options.brokers), clock_ms()
    times_ms: Mapping[str, Sequence[int]] = {}
    periods_of: Mapping[tuple[str, ...], Period]
    if options.dead_letters:
        times_ms, periods_of = _of_dead_letters(options, settings, plan)
    else:
        periods_of = {(options.kpi,): Period(options.since, options.until)}
    corrections: list[Correction] = []
    for kpis, period in periods_of.items():
        with topic_progress("restate") as progress:
            outcome = asyncio.run(restate(settings, plan, kpis[0], period, progress))
        corrections += outcome.corrections
        if options.format == "json":
            write_json(plan, outcome, now_ms, sys.stdout)
        else:
            sys.stdout.write("\n" if options.dead_letters else "")
            write_table(plan, outcome, sys.stdout)
            sys.stdout.writelines(f"{line}\n" for line in open_windows(plan, outcome, times_ms))
    return _publish(options, settings, plan, corrections, now_ms)


def _of_dead_letters(
    options: Namespace, settings: Settings, plan: Plan
) -> tuple[Mapping[str, Sequence[int]], Mapping[tuple[str, ...], Period]]:
    """The event times of the dead letters that are good now, by contract, and what to restate for
    them."""
    import asyncio

    from agent.core.dead_letters import periods
    from agent.kafka.dead_letters import review
    from agent.restate.letters import write_review

    with topic_progress("dead letters") as progress:
        reviewed = asyncio.run(review(settings, plan, progress))
    if options.format != "json":
        write_review(reviewed, sys.stdout)
    times_ms = reviewed.within(options.since, options.until)
    periods_of = periods(plan, times_ms)
    return times_ms, {
        kpis: period for kpis, period in periods_of.items() if options.kpi in (None, *kpis)
    }


def _publish(
    options: Namespace,
    settings: Settings,
    plan: Plan,
    corrections: Sequence[Correction],
    corrected_ms: int,
) -> int:
    """Publish corrections if that is asked for; the exit code."""
    import asyncio

    from agent.core.restatement import losing_events
    from agent.restate.runner import apply

    if not options.apply:
        if corrections:
            say("Nothing was published: --apply publishes the corrections.")
        return OK
    if not options.allow_fewer_events and any(losing_events(corrections)):
        say(
            "kpi-agent restate: nothing was published: some windows would have fewer events than "
            "were published.\nWere records deleted from the source topics? If the rules are meant "
            "to count fewer, add --allow-fewer-events."
        )
        return WRONG
    asyncio.run(apply(settings, plan, corrections, corrected_ms))
    say(f"{len(corrections)} windows are corrected.")
    return OK
