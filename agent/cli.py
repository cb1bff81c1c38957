"""The command line of `kpi-agent`: dispatches to one module of `agent.commands` for each command.

Exit codes: 0 done; 1 the rules or the events' files are wrong, or a check found a difference;
2 the command line is wrong; 3 the surroundings (broker, port, disk) do not let it run.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from agent import __version__
from agent.commands.common import ENVIRONMENT, OK, WRONG, say
from agent.errors import EnvironmentFault, KpiAgentError, RulesError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = _options(arguments)
    try:
        code: int = options.run(options)
    except RulesError as error:
        _say_rules_error(error)
        return WRONG
    except EnvironmentFault as error:
        say(f"kpi-agent: {error}")
        return ENVIRONMENT
    except KpiAgentError as error:
        say(f"kpi-agent: {error}")
        return WRONG
    except BrokenPipeError:
        # Anybody who read the output has seen enough (`| head`); that is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130
    return code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. Files may also stand after options, which argparse itself does not take
    where something stands before them."""
    parser = _parser()
    options, more = parser.parse_known_args(arguments)
    if more and not (
        hasattr(options, "files") and not any(m.startswith("-") and m != "-" for m in more)
    ):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:
        options.files = [*options.files, *more]
    return options


COMMANDS = (
    "init", "check", "schema", "test", "replay", "backtest", "explain", "diff", "run", "demo",
    "generate", "backfill", "link",
)  # fmt: skip
"""In the order of the help; each is a module of `agent.commands`: ABOUT, arguments() and run()."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kpi-agent", description="Exact KPIs, targets and alerts over Kafka events."
    )
    parser.add_argument("--version", action="version", version=f"kpi-agent {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"agent.commands.{name}")
        about: str = module.ABOUT
        own = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        module.arguments(own)
        own.set_defaults(run=module.run)
    return parser


def _say_rules_error(error: RulesError) -> None:
    from agent.language.problems import SpecError
    from agent.language.report import render

    if isinstance(error, SpecError):
        sys.stderr.write(render(error.problems, color=sys.stderr.isatty()))
    else:
        say(f"kpi-agent: {error}")
