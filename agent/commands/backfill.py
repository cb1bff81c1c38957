"""`kpi-agent backfill`: history for Prometheus, so that boards show it from the first day."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from pathlib import Path

from agent.commands.common import (
    add_now,
    add_period,
    check_known,
    clock_ms,
    file_progress,
    span,
    warn_unread,
    writing,
)

ABOUT = "write history from files of events, for promtool to import into Prometheus"
EXAMPLES = (
    "kpi-agent backfill events.ndjson --output history.txt",
    "kpi-agent backfill events.ndjson --kpi revenue --every 1m --output history.txt",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "files", nargs="+", metavar="[TOPIC=]FILE", help="events as JSON; - for standard input"
    )
    parser.add_argument("--rules", default="rules", metavar="DIR")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="OpenMetrics text; default: standard output"
    )
    parser.add_argument("--kpi", action="append", default=[], metavar="NAME", help="only this KPI")
    add_period(parser)
    parser.add_argument(
        "--every",
        type=_step,
        metavar="SPAN",
        help="repeat each value at this interval until the next window closes, as scrapes would; "
        "default: one sample a window",
    )
    add_now(parser)


def run(options: Namespace) -> int:
    """`kpi-agent backfill`."""
    from agent.core.output.labels import check_external_labels
    from agent.core.output.privacy import Privacy
    from agent.export.metrics.history_file import History
    from agent.language.load import load
    from agent.replay.report import Selection, outcomes_text, selected_results
    from agent.replay.runner import Replayed, sources, stream
    from agent.settings import load_settings

    plan = load(options.rules)
    settings = load_settings()
    privacy = Privacy(*settings.secrets_of("person"))
    privacy.check(plan)
    check_external_labels(plan, settings.labels)
    check_known(options.kpi, tuple(plan.kpis), "KPI")
    files = sources(plan, options.files)
    selection = Selection(options.since, options.until, frozenset(options.kpi))
    read = Replayed()
    with History(plan, options.every, settings.labels) as history:
        with file_progress("backfill", files) as progress:
            now = clock_ms(options.now)
            for emitted in stream(plan, files, now, read, progress, options.until):
                history.add(privacy.emitted(plan, selected_results(emitted, selection)))
        _write(history.chunks(), options.output)
    sys.stderr.write(outcomes_text(read) + "\n")
    warn_unread("backfill", read)
    return 0


def _write(chunks: Iterable[bytes], path: Path | None) -> None:
    """Write a file atomically; without a path, write to standard output."""
    if path is None:
        for chunk in chunks:
            sys.stdout.write(chunk.decode())
        return
    part = path.with_name(f"{path.name}.partial")
    try:
        with writing(path):
            with part.open("wb") as out:
                out.writelines(chunks)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _step(text: str) -> int:
    every_ms = span(text)
    if every_ms < 1000:
        raise ArgumentTypeError(f"{text!r} is too short: nobody scrapes more often than 1s")
    return every_ms
