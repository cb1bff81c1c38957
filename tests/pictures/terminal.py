"""A command of the documentation, and what it prints when it is run, as SVG."""

from __future__ import annotations

import os
import re
import subprocess
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from tests.conftest import ROOT
from tests.docs.shell import steps

COLUMNS = 118

_SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" \
xmlns="http://www.w3.org/2000/svg" role="img">
<title>TITLE</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""
"""Rich's own, without the fonts that it fetches from elsewhere, and with a title."""


def screenshot(pages: list[str], command: str, folder: Path) -> str:
    """The first command of the last page that begins so, with its output, after all commands of
    these pages that stand before it; in a folder that they may write to."""
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for page in pages:
        for step in steps((ROOT / page).read_text()):
            printed = _run(step.command, folder)
            called = [line for line in step.command.splitlines() if f"kpi-agent {command}" in line]
            if page == pages[-1] and called:
                return _svg(called[0].replace(".venv/bin/", ""), printed)
    raise AssertionError(f"{pages[-1]} has no command kpi-agent {command}")


def _run(command: str, folder: Path) -> str:
    env = os.environ | {"COLUMNS": str(COLUMNS)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def _svg(command: str, printed: str) -> str:
    console = Console(record=True, width=COLUMNS, file=StringIO(), highlight=False)
    prompt = re.sub(r" +", " ", command)
    console.print(Text.assemble(("$ ", "dim"), (prompt, "bold")), soft_wrap=False)
    console.print(f"{printed.rstrip()}\n", markup=False)
    title = prompt.split(" --")[0]
    svg = console.export_svg(
        title=title,
        theme=SVG_EXPORT_THEME,
        unique_id="t",
        code_format=_SVG.replace("TITLE", title),
    )
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
