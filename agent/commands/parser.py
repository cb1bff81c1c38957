"""The command line as a parser: all commands with their options, and examples in every `--help`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from agent import __version__

COMMANDS = (
    "init", "check", "list", "size", "schema", "test", "replay", "backtest", "explain", "diff",
    "run", "demo", "generate", "backfill", "restate", "link", "erase", "completion",
)  # fmt: skip
"""In the order of the help; each is a module of `agent.commands`: ABOUT, EXAMPLES, arguments() and
run()."""


def command_line() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of the command line, and that of each command by name."""
    parser = argparse.ArgumentParser(
        prog="kpi-agent",
        description="Exact KPIs, targets and alerts over Kafka events.",
        epilog="kpi-agent COMMAND --help shows the options of a command, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"kpi-agent {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    commands = {}
    for name in COMMANDS:
        module = importlib.import_module(f"agent.commands.{name}")
        about: str = module.ABOUT
        examples: Sequence[str] = module.EXAMPLES
        command = subparsers.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog="\n".join(("examples:", *(f"  {example}" for example in examples))),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(command)
        command.set_defaults(run=module.run)
        commands[name] = command
    return parser, commands
