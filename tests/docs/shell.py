"""Shell blocks of a document: run in order, each must print what the page shows.

A block is run when `<!-- runs -->` (or `<!-- runs, exit 1 -->`) stands before it; a `text` block
right after it is its output, where a line `…` stands for any number of lines.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.cli import main

RUNS = re.compile(
    r"^<!-- runs(?:, exit (?P<exit>\d+))? -->\n```sh\n(?P<command>.*?)^```\n"
    r"(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
CALL = re.compile(r"\.venv/bin/kpi-agent ([^|<>&;$*`\\]+)")
"""A line that calls it, and needs nothing else of a shell."""
MORE = "…"
COLUMNS = "120"


@dataclass(frozen=True)
class Step:
    """One command block of the tour: what it runs, and what the page says that it prints."""

    command: str
    exit: int
    output: str


@dataclass(frozen=True)
class Ran:
    """What a block did."""

    exit: int
    output: str
    errors: str


def steps(page: str) -> list[Step]:
    return [
        Step(block["command"], int(block["exit"] or 0), block["output"] or "")
        for block in RUNS.finditer(page)
    ]


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def matches(printed: list[str], shown: list[str]) -> bool:
    """Whether lines are as shown, where a line `…` stands for any number of them."""
    if not shown:
        return not printed
    if shown[0] == MORE:
        return any(matches(printed[i:], shown[1:]) for i in range(len(printed) + 1))
    return bool(printed) and printed[0] == shown[0] and matches(printed[1:], shown[1:])


def walk(page: str, folder: Path) -> int:
    """Run a page's blocks in a folder; how many there were."""
    # The commands name .venv, as a reader's clone has it; here it is whatever runs the tests.
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name in ("python", "kpi-agent"):
        (commands / name).symlink_to(Path(sys.executable).parent / name)
    todo = steps(page)
    for step in todo:
        ran = run(step.command, folder)
        assert ran.exit == step.exit, ran.errors
        assert matches(lines(ran.output), lines(step.output)), ran.output
    return len(todo)


def run(command: str, folder: Path) -> Ran:
    """Run a block as `bash -e` does. The calls of `kpi-agent` that end it run in this process:
    a process of their own would spend a second each on imports."""
    rest = command.rstrip("\n").split("\n")
    calls: list[list[str]] = []
    while rest and (call := CALL.fullmatch(rest[-1])):
        calls.insert(0, shlex.split(call[1]))
        rest.pop()
    shell = subprocess.run(
        ["bash", "-e", "-c", "\n".join(rest)],
        cwd=folder,
        env={**os.environ, "COLUMNS": COLUMNS},
        capture_output=True,
        text=True,
        check=False,
    )
    code, output, errors = shell.returncode, io.StringIO(shell.stdout), io.StringIO(shell.stderr)
    for stream in (output, errors):
        stream.seek(0, io.SEEK_END)
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(output),
        redirect_stderr(errors),
        chdir(folder),
    ):
        patch.setenv("COLUMNS", COLUMNS)
        while calls and code == 0:
            code = main(calls.pop(0))
    return Ran(code, output.getvalue(), errors.getvalue())
