"""`kpi-agent init`: a first contract, KPIs and rules, from a sample of events or from answers."""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.common import add_now, add_settings, clock_ms, usage, writing
from agent.core.model.printable import printable
from agent.errors import RulesError

if TYPE_CHECKING:
    from agent.init.drafted import EventDraft
    from agent.init.interview import Ask

ABOUT = "draft a contract, KPIs and rules from a sample of events or from answers"
EXAMPLES = (
    "kpi-agent init events.ndjson",
    "kpi-agent init --brokers localhost:9092 --topic orders --yes",
    "kpi-agent init --registry https://registry:8081 --topic orders --yes",
    "kpi-agent init --event order.paid --fields amount:float,country:string --by country --yes",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "files", nargs="*", metavar="SAMPLE", help="events as JSON, - for standard input; or none"
    )
    parser.add_argument("--rules", default="rules", metavar="DIR", help="the folder to write to")
    parser.add_argument(
        "--brokers", metavar="HOST:PORT", help="use the newest events of --topic as the sample"
    )
    parser.add_argument(
        "--registry",
        nargs="?",
        const="",
        metavar="URL",
        help="use the registered schema of --topic, alone or beside a sample; default: the setting "
        "schema_registry",
    )
    parser.add_argument(
        "--subject", metavar="NAME", help="the registry's subject; default: by the topic's name"
    )
    add_settings(parser)
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
    parser.add_argument("--yes", action="store_true", help="do not ask; accept all defaults")
    add_now(parser)


def run(options: Namespace) -> int:
    """`kpi-agent init`."""
    if options.brokers and (options.files or not options.topic):
        return usage("init", "with --brokers, name a --topic and no files")
    asks_registry = options.registry is not None
    if asks_registry and not (options.topic or options.files):
        return usage("init", "with --registry, name a --topic")
    if options.subject and not asks_registry:
        return usage("init", "--subject names a subject of the --registry")
    has_answers = options.yes or options.event is not None or asks_registry
    if not (options.files or options.brokers or has_answers or sys.stdin.isatty()):
        return usage(
            "init",
            "name a SAMPLE of events, --brokers and --topic, --registry and --topic, or --event: "
            "without a terminal, nothing is asked, and nothing was written",
        )
    ask = _asking(options)
    with tempfile.TemporaryDirectory(prefix="kpi-agent-") as folder:
        return _run(options, ask, Path(folder))


def _run(options: Namespace, ask: Ask, folder: Path) -> int:
    from agent.core.fold.field_counts import in_words
    from agent.core.model.results import Reason
    from agent.init.draft import sound_drafts, sound_rules
    from agent.init.proposal import observe, proposals, silence
    from agent.init.topics import common_name
    from agent.replay.report import outcomes_text

    files, drafts, times = _drafts(options, ask, folder)
    owner = ask("owner", "Who answers for these KPIs", "")
    place = Path(options.rules) / f"{options.name or common_name(drafts[0].topics)}.yaml"
    if place.exists():
        raise RulesError(f"{place} is there already", "Choose another name with --name.")
    drafts, plan = sound_drafts(drafts, owner)
    bounds, silences, read = {}, {}, None
    if files:
        observed, read = observe(plan.in_json(), files, clock_ms(options.now))
        bounds = proposals(drafts, observed)
        longest = {draft.event: silence(times[draft.event], draft.slice_ms()) for draft in drafts}
        silences = {event: bound for event, bound in longest.items() if bound is not None}
    schema = _schema(place)
    text, plan = sound_rules(drafts, bounds, silences, owner, schema)
    _write(place, text)
    drafted = {"event": plan.contracts, "KPI": plan.kpis, "rule": plan.rules}
    counts = ", ".join(
        f"{len(some)} {word}{'s' * (len(some) != 1)}" for word, some in drafted.items()
    )
    print(f"{printable(str(place))}: {counts}")  # noqa: T201
    if not (place.parent / schema).is_file():
        sys.stderr.write(f"for completion in editors: kpi-agent schema > {place.parent / schema}\n")
    if read is not None:
        print(f"over the sample, {outcomes_text(read)}")  # noqa: T201
        for line in in_words(read.fields):
            print(f"  {printable(line)}")  # noqa: T201
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


def _drafts(
    options: Namespace, ask: Ask, folder: Path
) -> tuple[list[str], list[EventDraft], dict[str, list[int]]]:
    """The files of the sample in JSON, what is drafted, and the times (ms) of each event."""
    from agent.core.model.events import REGISTRY
    from agent.init.answers import from_answers
    from agent.init.drafted import Encoding
    from agent.init.encoded import sample_of_file, sample_of_topic
    from agent.init.from_schema import (
        BY_SCHEMA,
        asking_for_kinds,
        beside_sample,
        encoding_of,
        from_schema,
    )
    from agent.init.interview import from_sample
    from agent.kafka.registered import registered_for
    from agent.settings import load_settings

    url = options.registry or None
    settings = load_settings(options.settings, brokers=options.brokers, schema_registry=url)
    asks_registry = options.registry is not None
    if asks_registry and not (options.brokers or options.files):
        schema = registered_for(settings, options.topic, options.subject)
        return [], from_schema(schema, options.topic, ask), {}
    if options.brokers:
        samples = [sample_of_topic(settings, options.topic, folder)]
    else:
        samples = [sample_of_file(settings, name, folder) for name in options.files]
    if not samples:
        return [], from_answers(ask), {}
    files = [sample.file for sample in samples]
    has_kinds = any(sample.has_kinds for sample in samples)
    drafts, times = from_sample(files, asking_for_kinds(ask) if has_kinds else ask)
    format = next((sample.format for sample in samples if sample.format is not None), None)
    encoding = Encoding() if format is None else Encoding(format, REGISTRY)
    for number, draft in enumerate(drafts):
        drafts[number] = replace(draft, encoding=encoding)
        if asks_registry:
            by_schema = draft.type_field == BY_SCHEMA
            record = (draft.type or draft.event) if by_schema else ""
            topic = draft.topics[0]
            schema = registered_for(settings, topic, options.subject, record)
            known = encoding if by_schema or (format is None and options.brokers) else None
            known = known or encoding_of(schema, topic)
            drafts[number] = replace(beside_sample(draft, schema), encoding=known)
    return files, drafts, times


def _asking(options: Namespace) -> Ask:
    """A function that answers from the options, else asks (on a terminal only), else proposes."""
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
