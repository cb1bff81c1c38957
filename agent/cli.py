"""The command line of `kpi-agent`: dispatches to one module of `agent.commands` for each command.

Exit codes: 0 done; 1 the rules or the events are wrong, a test failed, or a check found a
difference; 2 the command line is wrong; 3 a fault of the environment (broker, port, disk,
settings); 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence

from agent.commands.common import ENVIRONMENT, INTERRUPTED, OK, WRONG, is_colored, nearest, say
from agent.commands.parser import command_line
from agent.errors import EnvironmentFault, KpiAgentError, RulesError

START = """\
kpi-agent: exact KPIs, targets and alerts over Kafka events.

See it run, without Kafka:           kpi-agent demo
Write first rules from your events:  kpi-agent init events.ndjson
Find what is wrong with rules:       kpi-agent check
Run files of events through them:    kpi-agent replay events.ndjson
Run it on Kafka:                     kpi-agent run --brokers localhost:9092

All commands: kpi-agent --help
"""

ELSEWHERE = {"redrive": "restate --dead-letters", "lint": "check", "validate": "check"}
"""What commands are called in other tools, and what they are here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        sys.stdout.write(START)
        return OK
    return _run(_options(words))


def _run(options: argparse.Namespace) -> int:
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
        return INTERRUPTED
    return code


def _options(words: Sequence[str]) -> argparse.Namespace:
    """The parsed command line. Unlike with argparse alone, files may come both before and after
    options."""
    parser, commands = command_line()
    named = words[0]
    if not named.startswith("-") and named not in commands:
        parser.error(f"there is no command '{named}': {_command_meant(named, commands)}")
    options, more = parser.parse_known_args(words)
    unknown = [word for word in more if word.startswith("-") and word != "-"]
    if unknown:
        command = commands[named]
        # argparse keeps the list of options to itself; the table by name is all that it has.
        known = [name for name in command._option_string_actions if name.startswith("--")]
        hint = nearest(unknown[0].partition("=")[0], known, "options")
        command.error(f"there is no option {unknown[0]}: {hint}")
    if more and not hasattr(options, "files"):
        commands[named].error(f"unrecognized arguments: {' '.join(more)}")
    if more:
        options.files = [*options.files, *more]
    return options


def _command_meant(named: str, commands: Iterable[str]) -> str:
    """A hint for an unknown command."""
    from agent.language.problems import nearest as nearest_name

    near = nearest_name(named, [*commands, *ELSEWHERE])
    if near in ELSEWHERE:
        return f"did you mean '{ELSEWHERE[near]}'?"
    return nearest(named, commands, "commands")


def _say_rules_error(error: RulesError) -> None:
    from agent.language.problems import SpecError, render

    if isinstance(error, SpecError):
        sys.stderr.write(render(error.problems, color=is_colored(sys.stderr)))
    else:
        say(f"kpi-agent: {error}")
