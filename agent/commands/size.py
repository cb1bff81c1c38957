"""`kpi-agent size`: the workers, partitions, memory and disk that a load needs."""

from __future__ import annotations

import json
import math
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict

from agent.commands.common import OK, check_known, say
from agent.core.model.printable import aligned

ABOUT = "estimate the workers, partitions, memory and disk that a load needs"
EXAMPLES = (
    "kpi-agent size --events-per-second 20000",
    "kpi-agent size rules --events-per-second 20000 --series 50 --series revenue=4000",
    "kpi-agent size --events-per-second 20000 --format helm > size.yaml",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("rules", nargs="?", default="rules", metavar="DIR", help="default: rules")
    parser.add_argument(
        "--events-per-second",
        required=True,
        type=_rate,
        metavar="N",
        help="of all source topics, at the peak that the workers must handle",
    )
    parser.add_argument(
        "--series",
        action="append",
        default=[],
        type=_series,
        metavar="[KPI=]N",
        help="series of each KPI with `by` (default: 100), or of one KPI; at most its "
        "`max_series`; may be repeated",
    )
    parser.add_argument(
        "--source-partitions", type=_count, metavar="N", help="default: four per worker"
    )
    parser.add_argument(
        "--state-partitions", type=_state_count, metavar="N", help="default: from the workers"
    )
    parser.add_argument(
        "--flush-interval", type=_flush, default=1.0, metavar="SECONDS", help="default: 1"
    )
    parser.add_argument(
        "--keyed",
        action="store_true",
        help="records are keyed by the KPIs' dimensions: a series is in one source partition",
    )
    parser.add_argument(
        "--format",
        choices=("human", "json", "helm"),
        default="human",
        help="helm: values of the chart",
    )


def run(options: Namespace) -> int:
    """`kpi-agent size`."""
    from agent.language.load import load
    from agent.sizing import report
    from agent.sizing.costs import load_costs
    from agent.sizing.estimate import estimate
    from agent.sizing.load import DEFAULT_SERIES, load_of

    plan, costs = load(options.rules), load_costs()
    numbers = dict(options.series)
    common = numbers.pop("", DEFAULT_SERIES)
    check_known(list(numbers), list(plan.kpis), "KPI")
    needed = estimate(
        load_of(
            plan,
            options.events_per_second,
            series=common,
            series_of=numbers,
            flush_seconds=options.flush_interval,
            keyed=options.keyed,
        ),
        costs,
        source_partitions=options.source_partitions,
        state_partitions=options.state_partitions,
    )
    if options.format == "json":
        sys.stdout.write(json.dumps(asdict(needed)) + "\n")
    elif options.format == "helm":
        sys.stdout.write(report.helm_values(needed))
    else:
        sys.stdout.writelines(
            f"{line}\n" for line in aligned([report.HEADER, *report.rows(needed, costs)])
        )
    for note in report.notes(needed):
        say(note)
    return OK


def _rate(text: str) -> float:
    if not 0 < (rate := _number(text)) <= 1e9:
        raise ArgumentTypeError(f"{text!r} is no rate: write a number above 0, such as 20000")
    return rate


def _flush(text: str) -> float:
    if not 0.05 <= (seconds := _number(text)) <= 60:
        raise ArgumentTypeError(f"{text!r} is no flush interval: write seconds, 0.05 to 60")
    return seconds


def _number(text: str) -> float:
    """A number; NaN, which is in no range, for other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _count(text: str, most: int = 1_000_000_000) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ArgumentTypeError(f"{text!r} is no number from 1 to {most:,}")
    return int(text)


def _state_count(text: str) -> int:
    return _count(text, 256)


def _series(text: str) -> tuple[str, int]:
    """The KPI ("": each) and its number of series."""
    kpi, _, number = text.rpartition("=")
    return kpi, _count(number)
