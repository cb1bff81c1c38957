"""Tables of text for people: none of their values is cut off."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, JustifyMethod
from rich.table import Table

_UNBROKEN = 100_000
"""The width of a file or a pipe: lines are as long as they are."""


def console_of(out: TextIO) -> Console:
    """A console that writes to a terminal in its width, and to anything else in whole lines."""
    return Console(file=out, width=None if out.isatty() else _UNBROKEN, highlight=False)


def add_columns(table: Table, *names: str, justify: JustifyMethod = "left") -> None:
    """Columns whose values take several lines where a terminal is too narrow."""
    for name in names:
        table.add_column(name, justify=justify, overflow="fold")
