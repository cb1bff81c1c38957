"""`kpi-agent diff`: what a change of the rules does, before it is applied."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

ABOUT = "say what a change of the rules does to metrics, alerts, targets and state"


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "rules", nargs="*", metavar="[OLD] NEW", help="folders of rules; default: rules"
    )
    parser.add_argument(
        "--against",
        metavar="REV",
        help="compare with the folder as it is committed in this revision of git, or with another "
        "folder; default, where no OLD is named: HEAD",
    )
    parser.add_argument("--format", choices=("human", "json", "github"), default="human")
    parser.add_argument(
        "--exit-code", action="store_true", help="exit 1 where anything changes, else 0"
    )


def run(options: Namespace) -> int:
    """`kpi-agent diff`."""
    from agent.commands.common import former
    from agent.core.diff import compare
    from agent.diff_report import render
    from agent.spec.load import load

    if len(options.rules) > 2 or (len(options.rules) == 2 and options.against):
        sys.stderr.write("kpi-agent diff: name one folder and --against REV, or two folders\n")
        return 2
    path = Path(options.rules[-1] if options.rules else "rules")
    new = load(path)
    other = options.rules[0] if len(options.rules) == 2 else options.against or "HEAD"
    found = compare(former(other, path), new)
    sys.stdout.write(render(found, options.format, path, other))
    return 1 if options.exit_code and found else 0
