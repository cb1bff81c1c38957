"""`kpi-agent init`: a first contract, KPIs and rules, from a sample of events or from answers."""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.common import add_now, clock_ms, usage, writing
from agent.core.model.printable import printable
from agent.errors import EnvironmentFault, RulesError

if TYPE_CHECKING:
    from agent.init.interview import Ask

ABOUT = "draft a contract, KPIs and rules from a sample of events or from answers"
EXAMPLES = (
    "kpi-agent init events.ndjson",
    "kpi-agent init --brokers localhost:9092 --topic orders --yes",
    "kpi-agent init --event order.paid --fields amount:float,country:string --by country --yes",
)

MOST_RECORDS = 50_000
"""So many of a topic's newest events are the sample."""


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "files", nargs="*", metavar="SAMPLE", help="events as JSON, - for standard input; or none"
    )
    parser.add_argument("--rules", default="rules", metavar="DIR", help="the folder to write to")
    parser.add_argument(
        "--brokers", metavar="HOST:PORT", help="use the newest events of --topic as the sample"
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="or KPI_AGENT_SETTINGS")
    parser.add_argument("--name", metavar="NAME", help="the name of the file; default: the topic")
    parser.add_argument("--topic", metavar="NAME", help="the Kafka topic")
    parser.add_argument("--event", metavar="NAME", help="without a sample: the event type")
    parser.add_argument(
        "--type-field", metavar="PATH", help="the field with the event type; or none"
    )
    parser.add_argument("--time", metavar="PATH", help="the field with the event time")
    parser.add_argument("--timezone", metavar="ZONE", help="the zone of times without an offset")
    parser.add_argument("--id", metavar="PATH", help="the field that identifies an event; or none")
    parser.add_argument(
        "--fields", metavar="NAME:TYPE,…", help="without a sample: the fields for KPIs"
    )
    parser.add_argument("--by", metavar="NAME,…", help="the dimensions of KPIs; or none")
    parser.add_argument("--window", metavar="WINDOW", help="5m, 1h, day, …")
    parser.add_argument("--owner", metavar="WHO", help="the owner of the KPIs")
    parser.add_argument("--yes", action="store_true", help="ask nothing, and accept all defaults")
    add_now(parser)


def run(options: Namespace) -> int:
    """`kpi-agent init`."""
    if options.brokers and (options.files or not options.topic):
        return usage("init", "with --brokers, name a --topic and no files")
    has_answers = options.yes or options.event is not None
    if not (options.files or options.brokers or has_answers or sys.stdin.isatty()):
        return usage(
            "init",
            "name a SAMPLE of events, --brokers and --topic, or --event: without a terminal, "
            "nothing is asked, and nothing was written",
        )
    ask = _asking(options)
    with tempfile.TemporaryDirectory(prefix="kpi-agent-") as made:
        if options.brokers:
            options.files = [_from_topic(options, Path(made))]
        return _run(options, ask)


def _run(options: Namespace, ask: Ask) -> int:
    from agent.core.fold.field_counts import in_words
    from agent.core.model.results import Reason
    from agent.init.draft import sound_drafts, sound_rules
    from agent.init.interview import from_answers, from_sample
    from agent.init.proposal import observe, proposals, silence
    from agent.replay.report import outcomes_text

    drafts, times = from_sample(options.files, ask) if options.files else (from_answers(ask), {})
    owner = ask("owner", "Who answers for these KPIs", "")
    place = Path(options.rules) / f"{options.name or drafts[0].topic}.yaml"
    if place.exists():
        raise RulesError(f"{place} is there already", "Choose another name with --name.")
    drafts, plan = sound_drafts(drafts, owner)
    bounds, silences, read = {}, {}, None
    if options.files:
        observed, read = observe(plan, options.files, clock_ms(options.now))
        bounds = proposals(drafts, observed)
        longest = {draft.event: silence(times[draft.event], draft.slice_ms()) for draft in drafts}
        silences = {event: bound for event, bound in longest.items() if bound is not None}
    schema = _schema(place)
    text, plan = sound_rules(drafts, bounds, silences, owner, schema)
    _write(place, text)
    made = {"event": plan.contracts, "KPI": plan.kpis, "rule": plan.rules}
    shown = ", ".join(f"{len(of)} {word}{'s' * (len(of) != 1)}" for word, of in made.items())
    print(f"{printable(str(place))}: {shown}")  # noqa: T201
    if not (place.parent / schema).is_file():
        sys.stderr.write(f"for completion in editors: kpi-agent schema > {place.parent / schema}\n")
    if read is not None:
        print(f"over the sample, {outcomes_text(read)}")  # noqa: T201
        for shown in in_words(read.fields):
            print(f"  {printable(shown)}")  # noqa: T201
        if read.is_all_lost:
            why = "none of the sample's events is as the draft says"
            if read.reasons[Reason.NO_TIME]:
                why = (
                    "no event has a time that the draft knows of: give records with timestamps "
                    "(kcat -J), or name the field with --time"
                )
            sys.stderr.write(f"kpi-agent init: {why}\n")
            return 1
    return 0


def _from_topic(options: Namespace, folder: Path) -> str:
    """A file with the newest events of a topic."""
    import asyncio

    from agent.kafka.history import newest
    from agent.replay.record_forms import FileRecord, record_line
    from agent.settings import load_settings

    settings = load_settings(options.settings, brokers=options.brokers)
    records = asyncio.run(newest(settings, options.topic, MOST_RECORDS))
    if not any(record.value for record in records):
        raise EnvironmentFault(f"{options.topic} holds no event")
    file = folder / f"{options.topic}.ndjson"
    with file.open("wb") as out:
        for r in records:
            record = FileRecord(r.value, r.key, r.headers, r.timestamp, options.topic)
            out.write(record_line(record) + b"\n")
    return str(file)


def _asking(options: Namespace) -> Ask:
    """Answers come from the options; what they leave open is asked for, on a terminal only."""
    asks = not options.yes and sys.stdin.isatty()

    def ask(name: str, question: str, proposed: str) -> str:
        given = getattr(options, name)
        if given is not None:
            return str(given)
        if not asks:
            return proposed
        return input(f"{question}{f' [{proposed}]' if proposed else ''}: ").strip() or proposed

    return ask


def _schema(place: Path) -> str:
    """Where editors find the JSON Schema: in the project's docs, if it is there."""
    folder = place.resolve().parent
    for depth, above in enumerate((folder, *folder.parents)):
        if (above / "docs" / "schema.json").is_file():
            return "../" * depth + "docs/schema.json"
    return "schema.json"


def _write(place: Path, text: str) -> None:
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("x", encoding="utf-8") as out:
            out.write(text)
