"""`kpi-agent completion`: the script by which a shell completes commands and options."""

from __future__ import annotations

import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterator

from agent.commands.common import OK

ABOUT = "print a shell script that completes commands, options and files"
EXAMPLES = (
    'eval "$(kpi-agent completion bash)"    # in ~/.bashrc',
    'kpi-agent completion zsh > "${fpath[1]}/_kpi-agent"',
    "kpi-agent completion tcsh | source /dev/stdin",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(options: Namespace) -> int:
    """`kpi-agent completion`."""
    import shtab

    from agent.commands.parser import command_line

    parser, commands = command_line()
    for action in (a for command in commands.values() for a in _files(command)):
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    sys.stdout.write(f"{shtab.complete(parser, options.shell)}\n")
    return OK


def _files(parser: ArgumentParser) -> Iterator[Action]:
    """The actions whose value is a file or a folder."""
    names = ("DIR", "FILE", "PATH", "SAMPLE", "[TOPIC=]FILE", "[OLD] NEW")
    return (action for action in parser._actions if action.metavar in names)
