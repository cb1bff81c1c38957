"""`kpi-agent erase`: lists a person's records in the agent's topics, and deletes their series."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.common import OK, WRONG, add_brokers, check_known, say, topic_progress
from agent.core.model.printable import aligned
from agent.errors import EnvironmentFault, RulesError

if TYPE_CHECKING:
    from agent.core.erasure import Person
    from agent.core.model.plan import Plan
    from agent.kafka.erasure import PersonTopic

ABOUT = "show what the agent has of a person, and delete their series"
EXAMPLES = (
    "kpi-agent erase employee < id.txt",
    "kpi-agent erase employee --file id.txt --apply",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "dimension", metavar="DIMENSION", help="that names people, for example employee"
    )
    parser.add_argument(
        "--file",
        default="-",
        metavar="FILE",
        help="has the person's name in that dimension; default: standard input. It is not an "
        "argument, so that it stays out of the shell's history",
    )
    parser.add_argument(
        "--apply", action="store_true", help="delete the series; default: only list them"
    )
    parser.add_argument("--rules", default="rules", metavar="DIR")
    add_brokers(parser)


def run(options: Namespace) -> int:
    """`kpi-agent erase`."""
    import asyncio

    from agent.core.erasure import Person, PersonRecords
    from agent.core.output.privacy import Privacy
    from agent.kafka.erasure import delete, find, require_stopped
    from agent.language.load import load
    from agent.settings import load_settings

    plan = load(options.rules)
    people = sorted({kpi.person for kpi in plan.kpis.values() if kpi.person is not None})
    check_known([options.dimension], people, "person of a private KPI")
    settings = load_settings(options.settings, brokers=options.brokers)
    privacy = Privacy(*settings.secrets_of("person"))
    person = Person.of(plan, privacy, options.dimension, _name(options.file))
    records = PersonRecords(plan, person)
    if options.apply:
        asyncio.run(require_stopped(settings))
    with topic_progress("erase") as progress:
        topics = asyncio.run(find(settings, records, progress))
    sys.stdout.writelines(f"{line}\n" for line in report(plan, person, topics))
    needed = [topic for topic in topics if topic.needed]
    if needed:
        say(_why_not(needed))
    if not options.apply:
        say("Nothing was deleted: --apply deletes the rows, once all agents are stopped.")
        return OK
    if needed:
        say("kpi-agent erase: nothing was deleted.")
        return WRONG
    deleted = asyncio.run(delete(settings, topics))
    left = sum(len(topic.rows) for topic in asyncio.run(find(settings, records)))
    if left:
        raise EnvironmentFault(f"{left} rows are there again: was an agent started meanwhile?")
    say(f"{deleted} rows are deleted. Start the agents.")
    return OK


def _name(file: str) -> str:
    """The one line of a file, or of standard input."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise EnvironmentFault(f"{file}: can't be read: {reason}") from error
    names = text.splitlines()
    if len(names) != 1 or not names[0]:
        raise RulesError("one name is needed, alone on a line", "Run it once for each person.")
    return names[0]


def _why_not(needed: Sequence[PersonTopic]) -> str:
    records = sum(topic.needed for topic in needed)
    return (
        f"{records} messages of {needed[0].topic} have events of this person whose slice is not "
        "closed yet: a restart would bring the series back. Let the agents run until it is, and "
        "see that no new events name the person."
    )


def report(plan: Plan, person: Person, topics: Sequence[PersonTopic]) -> Iterator[str]:
    """The records in each topic, and data that the agent can't delete. The person's name is not in
    it."""
    from agent.core.output.messages import iso

    rows = [("topic", "records", "newest (UTC)", "what becomes of them")]
    for topic in topics:
        newest = "–" if topic.newest_ms is None else iso(topic.newest_ms // 1000 * 1000)
        rows.append((topic.topic, str(topic.records), newest, _fate(topic)))
    yield from aligned(rows, right=(1,))
    yield ""
    yield "Not deleted by this command:"
    sources = sorted({str(c.topics) for c in plan.contracts.values()} | plan.lookup_topics)
    yield f"  the events: {', '.join(sources)}. A new event brings the series back"
    named = any(kpi.named for kpi in plan.kpis.values() if kpi.person == person.dimension)
    names = [*person.hashes, *(["NAME"] if named else [])]
    selector = f'{{{person.dimension}=~"{"|".join(names)}"}}'
    yield "  series in Prometheus (with --web.enable-admin-api), and in remote-write receivers:"
    yield "    curl -X POST http://PROMETHEUS/api/v1/admin/tsdb/delete_series \\"
    yield f"      --data-urlencode 'match[]={selector}'"
    if named:
        yield "    NAME: some KPIs export the person's name, not a hash"
    yield "  alerts that were sent, and what Alertmanager made of them"


def _fate(topic: PersonTopic) -> str:
    """Until when a topic's records are kept, in words."""
    from agent.core.output.messages import iso

    if not topic.records or topic.newest_ms is None:
        return ""
    if topic.is_compacted:
        return "deleted by --apply"
    if topic.retention_ms is None:
        return "kept for the topic's retention"
    if topic.retention_ms < 0:
        return "kept for good: retention.ms is -1"
    until_ms = (topic.newest_ms + topic.retention_ms) // 1000 * 1000
    return f"kept until {iso(until_ms)}, by the topic's retention"
