"""`kpi-agent init`: a first contract, KPIs and rules, from a sample of events or from answers."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agent.commands.common import clock_ms, instant, writing
from agent.errors import EnvironmentFault, InternalError, RulesError

if TYPE_CHECKING:
    from agent.init.guess import FieldGuess, Guess

ABOUT = "write a first contract, KPIs and rules, from a sample of events or from answers"

MOST_RECORDS = 50_000
"""So many of a topic's newest events are the sample."""

Ask = Callable[[str, str, str], str]
"""From an option's name, a question and what is proposed to the answer."""


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "files", nargs="*", metavar="SAMPLE", help="events as JSON, - for standard input; or none"
    )
    parser.add_argument("--rules", default="rules", metavar="DIR", help="where to write")
    parser.add_argument(
        "--brokers", metavar="HOST:PORT", help="take the newest events of the --topic as the sample"
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="or KPI_AGENT_SETTINGS")
    parser.add_argument("--name", metavar="NAME", help="of the file; default: the topic")
    parser.add_argument("--topic", metavar="NAME", help="the Kafka topic")
    parser.add_argument("--event", metavar="NAME", help="without a sample: the event type")
    parser.add_argument(
        "--type-field", metavar="PATH", help="the field that names the type; or none"
    )
    parser.add_argument("--time", metavar="PATH", help="the field that says when it happened")
    parser.add_argument("--timezone", metavar="ZONE", help="of times without an offset")
    parser.add_argument("--id", metavar="PATH", help="the field that identifies an event; or none")
    parser.add_argument(
        "--fields", metavar="NAME:TYPE,…", help="without a sample: what KPIs may use"
    )
    parser.add_argument("--by", metavar="NAME,…", help="the fields to split KPIs by; or none")
    parser.add_argument("--window", metavar="WINDOW", help="5m, 1h, day, …")
    parser.add_argument("--owner", metavar="WHO", help="who answers for it")
    parser.add_argument("--yes", action="store_true", help="ask nothing: take what is proposed")
    parser.add_argument(
        "--now",
        type=instant,
        metavar="TIME",
        help="what counts as now for events from the future (default: the clock)",
    )


def run(options: Namespace) -> int:
    """`kpi-agent init`."""
    if options.brokers and (options.files or not options.topic):
        sys.stderr.write("kpi-agent init: with --brokers, name a --topic and no files\n")
        return 2
    ask = _asking(options)
    with tempfile.TemporaryDirectory(prefix="kpi-agent-") as made:
        if options.brokers:
            options.files = [_from_topic(options, Path(made))]
        return _run(options, ask)


def _run(options: Namespace, ask: Ask) -> int:
    from agent.core.fold.field_counts import in_words
    from agent.core.model.printable import printable
    from agent.init.proposal import observe, proposals, silence
    from agent.init.write import document
    from agent.language.load import check
    from agent.replay.report import outcomes_text

    guesses, times = _from_sample(options, ask) if options.files else (_from_answers(ask), {})
    owner = ask("owner", "Who answers for these KPIs", "")
    place = Path(options.rules) / f"{options.name or guesses[0].topic}.yaml"
    if place.exists():
        raise RulesError(f"{place} is there already", "Choose another name with --name.")
    bounds, silences, read = {}, {}, None
    if options.files:
        observed, read = observe(guesses, options.files, clock_ms(options.now))
        bounds = proposals(guesses, observed)
        silences = {e: s for e, at in times.items() if (s := silence(at)) is not None}
    schema = _schema(place)
    text = document(guesses, bounds, silences, owner, schema)
    _write(place, text)
    plan, problems = check(place)
    if plan is None:
        place.unlink()
        told = "; ".join(p.message for p in problems)
        raise InternalError(f"what would have been written is not valid: {told}")
    made = {"event": plan.contracts, "KPI": plan.kpis, "rule": plan.rules}
    told = ", ".join(f"{len(of)} {word}{'s' * (len(of) != 1)}" for word, of in made.items())
    print(f"{place}: {told}")  # noqa: T201
    if not (place.parent / schema).is_file():
        sys.stderr.write(f"for completion in editors: kpi-agent schema > {place.parent / schema}\n")
    if read is not None:
        print(f"over the sample, {outcomes_text(read)}")  # noqa: T201
        for told in in_words(read.fields):
            print(f"  {printable(told)}")  # noqa: T201
        if read.is_all_lost:
            sys.stderr.write("kpi-agent init: none of the sample's events is as the draft says\n")
            return 1
    return 0


def _from_topic(options: Namespace, folder: Path) -> str:
    """A file with the newest events of a topic."""
    from agent.kafka.history import newest
    from agent.settings import load_settings

    settings = load_settings(options.settings, brokers=options.brokers)
    found = asyncio.run(newest(settings, options.topic, MOST_RECORDS))
    if not found:
        raise EnvironmentFault(f"{options.topic} holds no event")
    file = folder / f"{options.topic}.ndjson"
    file.write_bytes(b"".join(value.replace(b"\n", b" ") + b"\n" for value in found))
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


def _from_sample(options: Namespace, ask: Ask) -> tuple[list[Guess], dict[str, list[int]]]:
    """What the sample shows, by type of event; and the times of each."""
    from agent.init import guess as guessing
    from agent.init.sample import flat, profile, read
    from agent.replay.event_files import STANDARD_INPUT, event_file, records_of

    files = [event_file(name) for name in options.files]
    if None in files:
        raise EnvironmentFault(f"{options.files[files.index(None)]}: no such file")
    events = list(read(chain.from_iterable(records_of(file) for file in files if file)))
    if not events:
        raise EnvironmentFault("the sample holds no JSON object")
    first = options.files[0]
    stem = "events" if first == STANDARD_INPUT else Path(first).name.split(".")[0]
    topic = ask("topic", "The Kafka topic", re.sub(r"[^A-Za-z0-9._-]+", "-", stem) or "events")
    found = guessing.type_field(profile(events), len(events))
    path = ask("type_field", "The field that names the event's type", found or "none")
    groups: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        kind = guessing.snake(topic) if path == "none" else dict(flat(event)).get(path)
        if isinstance(kind, str):
            groups.setdefault(kind, []).append(event)
    if not groups:
        raise EnvironmentFault(f"no event of the sample has a text at {path}")
    made, times = [], {}
    for name, own in groups.items():
        one, at = _guess(name, topic, path, own, ask)
        made.append(one)
        times[name] = at
    return made, times


def _guess(
    name: str, topic: str, path: str, events: list[dict[str, Any]], ask: Ask
) -> tuple[Guess, list[int]]:
    """One event type of the sample."""
    from agent.init import guess as guessing
    from agent.init.guess import Guess
    from agent.init.sample import flat, profile

    seen = profile(events)
    time = ask("time", f"{name}: when it happened", guessing.time_field(seen, len(events)) or "")
    if time not in seen:
        raise RulesError(f"{name}: no field can be read as a time", "Name it with --time.")
    made = Guess(name, topic, path, time)
    if seen[time].naive:
        made.timezone = ask("timezone", f"{name}: the zone of its times", "UTC")
        made.notes["time"] = f"without an offset: taken for {made.timezone}"
    found = guessing.id_field(seen, len(events), name)
    number = ask("id", f"{name}: what identifies an event", found or "none")
    if number != "none":
        made.id = number
        values = [dict(flat(event)).get(number) for event in events]
        again = len(values) - len(set(values))
        if again:
            made.notes["id"] = f"{again} of {len(values):,} events repeat one: taken for retries"
    times = guessing.times_of(events, time, made.timezone)
    late = guessing.lateness_of(times)
    if late > 10_000:
        made.lateness_ms = -(-late // 60_000) * 60_000
        made.notes["lateness"] = "the most that an event of the sample came behind another"
    kept = {p for p in (path, time, made.id) if p is not None}
    made.fields = guessing.fields_of(seen, len(events), kept)
    made.kpis = guessing.kpis_of(name, made.fields)
    window, why = guessing.window_of(times)
    made.window = ask("window", f"{name}: the window of its KPIs", window)
    if made.window == window:
        made.notes["window"] = why
    known = made.window if made.window in guessing.WINDOWS else "1h"
    split, why = guessing.split_of(made.fields, seen, times, known)
    by = ask("by", f"{name}: the fields to split its KPIs by", split or "none")
    made.by = [] if by == "none" else [one.strip() for one in by.split(",")]
    if why and by == (split or "none"):
        made.notes["by"] = why
    return made, times


def _from_answers(ask: Ask) -> list[Guess]:
    """A contract without a sample: what is asked for, and no thresholds."""
    from agent.init import guess as guessing
    from agent.init.guess import Guess

    event = ask("event", "The event's type", "order.placed")
    topic = ask("topic", "The Kafka topic", guessing.snake(event).partition("_")[0] + "s")
    path = ask("type_field", "The field that names the type", "type")
    made = Guess(event, topic, path, ask("time", "The field that says when it happened", "time"))
    made.timezone = ask("timezone", "The zone of times without an offset", "UTC")
    number = ask("id", "The field that identifies an event", "none")
    made.id = None if number == "none" else number
    made.fields = _fields(ask("fields", "What KPIs may use, as name:type,…", ""))
    made.kpis = guessing.kpis_of(event, made.fields)
    made.window = ask("window", "The window of its KPIs", "1h")
    by = ask("by", "The fields to split its KPIs by", "none")
    made.by = [] if by == "none" else [one.strip() for one in by.split(",")]
    return [made]


def _fields(text: str) -> list[FieldGuess]:
    """`amount:float,region:string`."""
    from agent.core.model.plan import FIELD_DTYPES, FieldType
    from agent.init.guess import FieldGuess, snake, unit_of

    found = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        path, _, kind = part.partition(":")
        if kind not in FIELD_DTYPES:
            known = ", ".join(FIELD_DTYPES)
            raise RulesError(f"{part!r} is not name:type", f"The types are {known}.")
        name = snake(path.rpartition(".")[2])
        of_kind = cast(FieldType, kind)
        found.append(FieldGuess(name, path, of_kind, unit=unit_of(name, of_kind)))
    return found


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
