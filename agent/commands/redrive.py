"""`kpi-agent redrive`: dead letters that are good by today's contracts go back to the flow."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.common import OK, known, passing

if TYPE_CHECKING:
    from agent.kafka.redrive import Counts

ABOUT = "give dead letters that are good by today's contracts back to their topics"
EXAMPLES = (
    "kpi-agent redrive --dry-run --brokers localhost:9092",
    "kpi-agent redrive --topic orders --settings agent.yaml",
)

_WORDS = {
    "redriven": "given back",
    "before": "given back before",
    "rejected": "rejected still",
    "counted": "not given back: another contract, or other events of the record, may count already",
    "ignored": "not given back: no contract is interested in them any more",
    "cut": "not given back: cut short, their bytes are not all there",
    "undeclared": "not given back: no contract names the topic",
    "foreign": "in the dead-letter topic, and not the agent's",
}


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--rules", metavar="DIR", help="default: rules, or KPI_AGENT_RULES")
    parser.add_argument("--brokers", metavar="HOST:PORT", help="default: KPI_AGENT_BROKERS")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="or KPI_AGENT_SETTINGS")
    parser.add_argument(
        "--topic", action="append", default=[], metavar="NAME", help="only those of this topic"
    )
    parser.add_argument("--dry-run", action="store_true", help="count, and send nothing")


def run(options: Namespace) -> int:
    """`kpi-agent redrive`."""
    import asyncio

    from agent.kafka.redrive import redrive
    from agent.language.load import load
    from agent.settings import load_settings

    settings = load_settings(
        options.settings,
        rules=Path(options.rules) if options.rules else None,
        brokers=options.brokers,
    )
    plan = load(settings.rules)
    unread = [topic for topic in options.topic if not plan.contracts_of(topic)]
    known(unread, tuple(plan.topics), "topic")
    with passing("redrive") as progress:
        counts = asyncio.run(redrive(settings, plan, options.topic, options.dry_run, progress))
    sys.stdout.writelines(_lines(counts, options.dry_run))
    return OK


def _lines(counts: Counts, dry_run: bool) -> Iterator[str]:
    """By topic, what became of its dead letters."""
    if not counts:
        yield "no dead letters\n"
    for topic in sorted({topic for topic, _, _ in counts}):
        of_topic = {key[1:]: count for key, count in counts.items() if key[0] == topic}
        yield f"{topic or '(no topic)'}: {sum(of_topic.values())} dead letters\n"
        for outcome, words in _WORDS.items():
            for (kind, reason), count in sorted(of_topic.items()):
                if kind == outcome:
                    text = f"would be {words}" if dry_run and kind == "redriven" else words
                    yield f"  {count:>8} {text}{f': {reason}' if reason else ''}\n"
