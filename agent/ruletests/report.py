"""The results of tests: for people, for programs (`json`), as annotations of GitHub (`github`), and
as JUnit XML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, TextIO, get_args
from xml.etree import ElementTree

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.core.model.printable import printable
from agent.language.problems import render
from agent.ruletests.compare import Result, Section
from agent.ruletests.coverage import Coverage, Item, unseen
from agent.tables import add_columns, console_of

Format = Literal["human", "json", "github", "junit"]
FORMATS: tuple[Format, ...] = get_args(Format)

_CONTEXT_ROWS = 12
"""Of longer lists only differences are shown, shorter ones as a whole."""


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all tests, in their order; `with_coverage`: whether to show the coverage."""

    results: Sequence[Result]
    coverage: Coverage
    with_coverage: bool

    @property
    def failed(self) -> list[Result]:
        """The tests that did not pass."""
        return [result for result in self.results if not result.passed]


def write(report: Report, format: Format, out: TextIO) -> None:
    """Write a report to a text stream."""
    if format == "json":
        for line in _json_lines(report):
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    elif format == "github":
        for result in report.failed:
            out.write(render(result.problems(), "github"))
        out.write(f"{summary(report)}\n")
    elif format == "junit":
        out.write(junit(report.results) + "\n")
    else:
        _human(report, out)


def summary(report: Report) -> str:
    """How many passed and failed, in one line."""
    number, failed = len(report.results), len(report.failed)
    files = len({result.case.source.name for result in report.results})
    tests = "1 test" if number == 1 else f"{number} tests"
    where = "1 file" if files == 1 else f"{files} files"
    shown = f"{failed} of {tests} failed" if failed else f"{tests} passed"
    covered = f"; coverage {report.coverage.percent:.0f} %" if report.with_coverage else ""
    return f"{shown} in {where}{covered}"


# --- for people ------------------------------------------------------------------------------


def _human(report: Report, out: TextIO) -> None:
    console = console_of(out)
    for name, results in groupby(report.results, key=lambda r: r.case.source.name):
        console.print(name, style="bold", markup=False, soft_wrap=True)
        for result in results:
            _result(console, result)
    if report.with_coverage and any(True for _ in unseen(report.coverage)):
        console.print(_coverage_table(report.coverage))
    style = "red" if report.failed else "green"
    console.print(summary(report), style=style, markup=False)


def _result(console: Console, result: Result) -> None:
    mark, style = ("✓", "green") if result.passed else ("✗", "red")
    console.print(f"  [{style}]{mark}[/] ", end="")
    console.print(printable(result.case.name), markup=False, soft_wrap=True)
    for section in result.sections:
        if not section.matches:
            _section(console, result, section)


def _section(console: Console, result: Result, section: Section) -> None:
    """One section as columns: expected, got, and the place of the expectation."""
    rows = section.rows
    if len(rows) > _CONTEXT_ROWS:
        rows = tuple(row for row in rows if not row.matches)
    table = [tuple(map(printable, (row.at, row.what, row.expected, row.got))) for row in rows]
    heads = ("", printable(section.title), "expected", "got")
    widths = [max(cell_len(line[i]) for line in (heads, *table)) for i in range(len(heads))]
    console.print(_line("  ", heads, widths), style="dim", markup=False, soft_wrap=True)
    for row, cells in zip(rows, table, strict=True):
        if row.matches:
            line = _line("= ", cells, widths)
            console.print(line, style="dim", markup=False, soft_wrap=True)
            continue
        where = f"  {result.case.source.name}:{row.span.line}:{row.span.column}"
        whole = sum(widths) + 2 * len(widths) - 2
        line = set_cell_size(_line("≠ ", cells, widths), whole + 8) + where
        console.print(line, style="red", markup=False, soft_wrap=True)
        for hint in (row.hint or "").splitlines():
            console.print(_line("  ", ("", printable(hint)), widths), markup=False, soft_wrap=True)


def _line(mark: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell if cell_len(cell) > width else set_cell_size(cell, width)
        for cell, width in zip(cells, widths, strict=False)
    ]
    return f"      {mark}{'  '.join(padded)}".rstrip()


def _coverage_table(coverage: Coverage) -> Table:
    """A table of the items that no test has seen, grouped."""
    table = Table(title="Not seen by any test", title_justify="left", header_style="bold")
    add_columns(table, "of", "name")
    add_columns(table, "seen", justify="right")
    table.add_column("not seen", max_width=73)  # a sentence: a line of it can be read
    for (section, name, part), items in _grouped(coverage.items):
        missing = [item.what for item in items if item not in coverage.seen]
        if missing:
            kind = {"rules": "rule", "kpis": "KPI"}.get(section, section)
            seen = f"{len(items) - len(missing)} of {len(items)}"
            what = Text(printable(", ".join(missing)))
            table.add_row(kind, Text(printable(f"{name} {part}".rstrip())), seen, what)
    return table


def _grouped(items: Iterable[Item]) -> Iterable[tuple[tuple[str, str, str], list[Item]]]:
    for key, group in groupby(items, key=lambda item: (item.section, item.name, item.part)):
        yield key, list(group)


# --- for programs ----------------------------------------------------------------------------


def _json_lines(report: Report) -> Iterable[dict[str, Any]]:
    for result in report.results:
        yield {
            "kind": "test",
            "name": result.case.name,
            "file": result.case.source.name,
            "line": result.case.span.line,
            "passed": result.passed,
            "seconds": round(result.seconds, 3),
            "differences": [
                {
                    "section": section.title,
                    "line": row.span.line,
                    "column": row.span.column,
                    "at": row.at,
                    "what": row.what,
                    "expected": row.expected,
                    "got": row.got,
                    "hint": row.hint,
                }
                for section in result.sections
                for row in section.rows
                if not row.matches
            ],
        }
    if report.with_coverage:
        coverage = report.coverage
        yield {
            "kind": "coverage",
            "percent": round(coverage.percent, 1),
            "seen": len(coverage.items) - len(list(unseen(coverage))),
            "of": len(coverage.items),
            "unseen": [
                {"section": i.section, "name": i.name, "part": i.part, "what": i.what}
                for i in unseen(coverage)
            ],
        }
    yield {"kind": "summary", "tests": len(report.results), "failed": len(report.failed)}


def junit(results: Sequence[Result]) -> str:
    """The results as JUnit's XML, which CI systems show: a suite for each file.

    The attributes are those that https://github.com/testmoapp/junitxml lists as common.
    """
    root = ElementTree.Element("testsuites", _counts(results) | {"name": "kpi-agent test"})
    for name, group in groupby(results, key=lambda r: r.case.source.name):
        of_file = list(group)
        suite = ElementTree.SubElement(root, "testsuite", _counts(of_file) | {"name": name})
        for result in of_file:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                {
                    "name": result.case.name,
                    "classname": name,
                    "file": name,
                    "line": str(result.case.span.line),
                    "time": f"{result.seconds:.3f}",
                },
            )
            problems = result.problems()
            if problems:
                more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
                attributes = {"message": problems[0].message + more, "type": "difference"}
                failure = ElementTree.SubElement(case, "failure", attributes)
                failure.text = render(problems)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _counts(results: Sequence[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(not r.passed for r in results)),
        "errors": "0",
        "time": f"{sum(r.seconds for r in results):.3f}",
    }
