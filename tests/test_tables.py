"""Tables of text show every value whole."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from agent.tables import add_columns, console_of

NAME, TIME = "a_name_of_forty_characters_for_a_long_kpi", "2026-11-30T08:00:00Z"


def _table() -> Table:
    table = Table(box=None)
    add_columns(table, "KPI", *"abcdefg")
    table.add_row(NAME, *[TIME] * 7)
    return table


def test_a_row_in_a_file_is_one_line_whatever_its_length() -> None:
    out = io.StringIO()
    console_of(out).print(_table())
    row = out.getvalue().splitlines()[1]
    assert row.split() == [NAME, *[TIME] * 7]


def test_a_narrow_terminal_cuts_nothing_off() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(_table())
    cells = [line.split() for line in out.getvalue().splitlines()[1:]]
    assert "…" not in out.getvalue()
    assert "".join(row[0] for row in cells if len(row) == 8 or row[0] in NAME) == NAME
