"""`kpi-agent explain`: the state of a rule, and the reasons."""

from __future__ import annotations

import json
import sys
import urllib.parse
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from agent.commands.agent_http import fetch, not_an_agent
from agent.commands.common import add_now, clock_ms, file_progress, instant, usage, warn_unread
from agent.errors import RulesError

if TYPE_CHECKING:
    from agent.core.pipeline import Pipeline
    from agent.explain.events import Events
    from agent.replay.runner import Replayed

ABOUT = "explain the state of a rule: the value, the events behind it, the condition"
EXAMPLES = (
    "kpi-agent explain slow_support --agent http://localhost:9108",
    "kpi-agent explain slow_support events.ndjson --series region=emea --at 2027-03-01T12:00",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("rule", metavar="RULE")
    parser.add_argument(
        "files", nargs="*", metavar="[TOPIC=]FILE", help="events as JSON; - for standard input"
    )
    parser.add_argument(
        "--agent", metavar="URL", help="ask a running agent instead of reading files"
    )
    parser.add_argument("--rules", default="rules", metavar="DIR")
    parser.add_argument(
        "--series",
        default="",
        metavar="NAME=VALUE,…",
        help="the series with these dimensions; default: all. The most urgent ones are shown. "
        'A value with commas or quotes is written as in JSON: team="R&D, east"; null is no value',
    )
    parser.add_argument(
        "--at",
        type=instant,
        metavar="TIME",
        help="the state at this time; default: the end of the files",
    )
    parser.add_argument("--format", choices=("human", "json"), default="human")
    add_now(parser)


def run(options: Namespace) -> int:
    """`kpi-agent explain`."""
    from agent.explain.document import selector_phrase
    from agent.explain.text import text

    if bool(options.agent) == bool(options.files):
        return usage("explain", "name files of events, or --agent URL")
    if options.agent and options.at is not None:
        return usage("explain", "an agent only knows the current state: leave --at out")
    explained, count = _of_agent(options) if options.agent else _of_files(options)
    if not explained:
        raise RulesError(f"no series of {options.rule} is known{selector_phrase(options.series)}")
    if options.format == "json":
        sys.stdout.writelines(
            json.dumps(document, ensure_ascii=False) + "\n" for document in explained
        )
    else:
        sys.stdout.write(
            "\n".join("".join(f"{line}\n" for line in text(document)) for document in explained)
        )
    if count > len(explained):
        sys.stderr.write(f"{count - len(explained)} more series; name one with --series\n")
    return 0


def _of_files(options: Namespace) -> tuple[list[Any], int]:
    """Explain the rule after a replay, with the events behind it; and how many series there are."""
    from agent.explain.document import explanations, rule_and_selector
    from agent.explain.events import Events
    from agent.language.load import load
    from agent.replay.runner import Replayed, pipeline_over, sources, stream

    plan = load(options.rules)
    rule, selector = rule_and_selector(plan, options.rule, options.series)
    files, now, at = sources(plan, options.files), clock_ms(options.now), options.at

    def read(what: str, outcomes: Replayed, *readers: Events) -> Pipeline:
        pipeline = pipeline_over(plan, files, at)
        pipeline.observe(readers)
        with file_progress(what, files) as progress:
            for _ in stream(plan, files, now, outcomes, progress, at, pipeline):
                pass
        return pipeline

    outcomes = Replayed()
    pairs, count = explanations(plan, read("explain", outcomes).mergers, rule, selector)
    warn_unread("explain", outcomes)
    # The explained window is known only at the end: a second reading collects its events.
    readers = [Events(plan, explained) for explained, _ in pairs]
    if any(events.possible for events in readers):
        again = (events for events in readers if events.possible)
        read("events", Replayed(), *again)
    for (_, explained), events in zip(pairs, readers, strict=True):
        explained["events"] = events.as_json()
    return [explained for _, explained in pairs], count


def _of_agent(options: Namespace) -> tuple[list[Any], int]:
    """The explanations of a running agent, and how many series there are."""
    query = urllib.parse.urlencode({"rule": options.rule, "series": options.series})
    answer = fetch(options.agent, f"/api/v1/explain?{query}")
    try:
        explained = json.loads(answer)
        return explained["series"], explained["count"]
    except (ValueError, KeyError, TypeError) as error:
        raise not_an_agent(options.agent, error) from error
