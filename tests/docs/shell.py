"""Shell blocks of a document: run in order, each must print what the page shows.

A block is run when `<!-- runs -->` (or `<!-- runs, exit 1 -->`) stands before it; a `text` block
right after it is its output, where a line `…` stands for any number of lines.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RUNS = re.compile(
    r"^<!-- runs(?:, exit (?P<exit>\d+))? -->\n```sh\n(?P<command>.*?)^```\n"
    r"(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
MORE = "…"


@dataclass(frozen=True)
class Step:
    """One command block of the tour: what it runs, and what the page says that it prints."""

    command: str
    exit: int
    output: str


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
        ran = subprocess.run(
            ["bash", "-e", "-c", step.command],
            cwd=folder,
            env={**os.environ, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == step.exit, ran.stderr
        assert matches(lines(ran.stdout), lines(step.output)), ran.stdout
    return len(todo)
