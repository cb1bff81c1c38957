"""`kpi-agent test`: rule tests in YAML beside the rules."""

from __future__ import annotations

import re
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands.common import OK, WRONG, is_colored, usage, writing

if TYPE_CHECKING:
    from agent.core.model.plan import Plan
    from agent.ruletests.cases import Case
    from agent.ruletests.compare import Result
    from agent.ruletests.coverage import Coverage

ABOUT = "run the rule tests in the rules folder"
EXAMPLES = (
    "kpi-agent test",
    "kpi-agent test rules/sales_test.yaml --run refund",
    "kpi-agent test --coverage --fail-under 90 --junit report.xml",
)


def arguments(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH",
        help="folders of rules, or files of rule tests (*_test.yaml); default: rules",
    )  # fmt: skip
    parser.add_argument(
        "--rules", type=Path, metavar="DIR",
        help="the rules to test; default: the folder of PATH",
    )  # fmt: skip
    parser.add_argument(
        "--run", dest="pattern", type=_pattern, metavar="PATTERN",
        help="only tests whose file or name matches this regular expression",
    )  # fmt: skip
    parser.add_argument("--format", choices=("human", "json", "github", "junit"), default="human")
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help="also write JUnit XML to this file"
    )
    parser.add_argument(
        "--coverage", action="store_true", help="show which parts of the rules no test exercises"
    )
    parser.add_argument(
        "--fail-under", type=_percent, metavar="PERCENT", help="fail if the coverage is lower"
    )


def run(options: Namespace) -> int:
    """`kpi-agent test`: 0 all pass; 1 a test fails, coverage is too low, or a file is broken."""
    from agent.language.load import check
    from agent.language.problems import Format, render
    from agent.ruletests import report as reports
    from agent.ruletests.coverage import coverage_of
    from agent.ruletests.read import read_tests

    paths = options.paths or [options.rules or Path("rules")]
    rules = options.rules or (paths[0].parent if paths[0].is_file() else paths[0])
    plan, problems = check(rules)
    suite = read_tests(plan, paths) if plan is not None else None
    if suite is not None:
        problems = suite.problems
    if plan is None or suite is None or any(p.severity == "error" for p in problems):
        written: Format = "human" if options.format == "junit" else options.format
        sys.stdout.write(render(problems, written, color=is_colored(sys.stdout)))
        return WRONG
    chosen = [case for case in suite.cases if _chosen(case, options.pattern)]
    if not chosen:
        return usage("test", f"none of {len(suite.cases)} tests is called so")
    coverage = coverage_of(plan)
    results = list(_results(plan, _with_progress(chosen), coverage))
    shows_coverage = options.coverage or options.fail_under is not None
    report = reports.Report(results, coverage, shows_coverage)
    reports.write(report, options.format, sys.stdout)
    if options.junit is not None:
        with writing(options.junit):
            options.junit.write_text(reports.junit(results) + "\n")
    low = options.fail_under is not None and coverage.percent < options.fail_under
    if low:
        sys.stderr.write(
            f"kpi-agent test: coverage {coverage.percent:.1f} % is under {options.fail_under:g} %\n"
        )
    return WRONG if report.failed or low else OK


def _results(plan: Plan, cases: Iterable[Case], coverage: Coverage) -> Iterator[Result]:
    from dataclasses import replace

    from agent.ruletests.compare import compare
    from agent.ruletests.run import run as run_case

    for case in cases:
        began = time.perf_counter()
        observed = run_case(plan, case)
        coverage.add(plan, observed)
        yield replace(compare(plan, case, observed), seconds=time.perf_counter() - began)


def _with_progress(cases: list[Case]) -> Iterator[Case]:
    from rich.console import Console
    from rich.progress import track

    yield from track(
        cases, "tests", console=Console(stderr=True), transient=True,
        disable=not sys.stderr.isatty(),
    )  # fmt: skip


def _chosen(case: Case, pattern: re.Pattern[str] | None) -> bool:
    return pattern is None or bool(pattern.search(case.name) or pattern.search(case.source.name))


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ArgumentTypeError(f"{text!r} is not a valid regular expression: {error}") from None


def _percent(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number") from None
    if not 0 <= number <= 100:
        raise ArgumentTypeError(f"{text} is not from 0 to 100")
    return number
