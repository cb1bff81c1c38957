"""Shared by several commands: exit codes, values of options, progress bars, rules to compare
with."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from agent import clock
from agent.core.model.printable import printable_lines
from agent.errors import EnvironmentFault, KpiAgentError, RulesError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from agent.core.model.plan import Plan
    from agent.replay.runner import Replayed, Source


OK, WRONG, USAGE, ENVIRONMENT, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes; `agent.cli` documents them."""


def say(text: str) -> None:
    """Write lines for people to standard error; control characters are visible."""
    sys.stderr.write(f"{printable_lines(text)}\n")


def usage(command: str, text: str) -> int:
    """Report a wrong command line; returns the exit code."""
    say(f"kpi-agent {command}: {text}")
    return USAGE


def warn_unread(command: str, read: Replayed) -> None:
    """Name the topics of ignored records that no contract reads."""
    if read.unread:
        topics = ", ".join(f"{topic} ({n})" for topic, n in read.unread.most_common(5))
        more = ", …" if len(read.unread) > 5 else ""
        say(
            f"kpi-agent {command}: ignored records of topics that no contract reads: "
            f"{topics}{more}. To read a file as another topic, write TOPIC=FILE."
        )


def is_colored(stream: TextIO) -> bool:
    """Whether to write colours: to a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def nearest(name: str, among: Iterable[str], what: str) -> str:
    """A hint for an unknown name: the nearest known name, else the known ones (`what`)."""
    from agent.language.problems import suggest

    return suggest(name, among, what)


def port(text: str) -> int:
    """A port on the command line; 0 takes a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port: write a number up to 65535; 0 takes a free port"
        )
    return int(text)


def instant(text: str) -> int:
    """An ISO 8601 time as ms since the epoch; UTC if it names no zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; write 2011-03-01 or 2011-03-01T12:00:00Z"
        ) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1000)


def span(text: str) -> int:
    """A duration as the rules write it, as ms."""
    from agent.language.models.durations import parse

    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_period(parser: argparse.ArgumentParser) -> None:
    """The options `--since` and `--until`."""
    for option in ("--since", "--until"):
        parser.add_argument(
            option, type=instant, metavar="TIME", help="ISO 8601, UTC without an offset"
        )


def add_now(parser: argparse.ArgumentParser) -> None:
    """The option `--now`."""
    parser.add_argument(
        "--now",
        type=instant,
        metavar="TIME",
        help="the current time, for rejecting events from the future; default: the clock",
    )


def clock_ms(now: int | None = None) -> int:
    """The current time: `now` if given, else the clock."""
    return now if now is not None else clock.now_ms()


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The option `--settings`."""
    parser.add_argument("--settings", type=Path, metavar="FILE", help="or KPI_AGENT_SETTINGS")


def add_brokers(parser: argparse.ArgumentParser) -> None:
    """The options `--brokers` and `--settings`."""
    parser.add_argument("--brokers", metavar="HOST:PORT", help="default: KPI_AGENT_BROKERS")
    add_settings(parser)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A block that writes a path. Raises EnvironmentFault, which names it, if that fails."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"{path}: can't be written: {error.strerror or error}") from error


def check_known(names: Sequence[str], among: Sequence[str], what: str) -> None:
    """Raises RulesError for unknown names."""
    for name in sorted(set(names) - set(among)):
        raise RulesError(f"no {what} is called {name}", nearest(name, among, f"{what}s"))


def load_baseline(name: str, rules: Path) -> Plan:
    """The plan to compare with: of another folder, or of a git revision of the same rules.

    Raises KpiAgentError for a path that is not there and can't be a revision, else as
    `load_revision` does.
    """
    from agent.diff.revision import load_revision
    from agent.language.load import load

    if Path(name).exists():
        return load(name)
    if name.startswith((".", "~")) or name.endswith("/") or Path(name).is_absolute():
        raise KpiAgentError(f"{name}: no such file or folder")
    return load_revision(rules, name)


@contextmanager
def file_progress(what: str, files: Sequence[Source]) -> Iterator[Callable[[int], None]]:
    """A progress bar while files are read; call it with the bytes read since the last call."""
    from rich.progress import DownloadColumn

    with _bar(what, sum(f.size_bytes for f in files), DownloadColumn()) as (bar, task):
        yield lambda size: bar.advance(task, size)


@contextmanager
def topic_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar while topics are read; call it with the records read, and those in all."""
    from rich.progress import MofNCompleteColumn

    with _bar(what, None, MofNCompleteColumn()) as (bar, task):
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _bar(what: str, total: int | None, amount: ProgressColumn) -> Iterator[tuple[Progress, TaskID]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield bar, bar.add_task(what, total=total)
