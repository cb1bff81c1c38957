"""Loads a folder of rules: read, validate, check, compile. All of it is valid, or nothing is
loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from agent.core.model.plan import Plan
from agent.language import lookup_files, schema_files
from agent.language.checks import (
    events,
    kpis,
    links,
    lookups,
    maintenance,
    objectives,
    privacy,
    rules,
    targets,
)
from agent.language.compile import mapper, shapes, statements
from agent.language.declared import declare
from agent.language.problems import EventProblem, Problem, SpecError, in_order


def load(path: str | Path) -> Plan:
    """The plan of a folder tree of YAML files, or of one file.

    Raises SpecError, which holds every problem of every file. Warnings alone don't raise.
    """
    plan, problems = check(path)
    if plan is None:
        raise SpecError(problems)
    return plan


def check(
    path: str | Path, further: Callable[[Plan], Iterable[EventProblem]] = lambda plan: ()
) -> tuple[Plan | None, list[Problem]]:
    """The plan, None where there are errors, and all problems, warnings included, in order.

    `further` returns problems that need more than the rules, such as a schema registry's; the plan
    is returned with those, too.
    """
    declared = declare(Path(path))
    known = shapes.resolve(declared)
    schema_files.read_all(declared)
    events.check(declared)
    lookups.check(declared)
    tables = lookup_files.read_all(declared)
    kpis.check(declared, known)
    targets.check_benchmarks(declared, known)
    linked = links.check(declared, known)
    rules.check(declared, known, linked)
    objectives.check(declared)
    privacy.check(declared, known)
    maintenance.check(declared, known)
    compiled = statements.compile_all(declared, known)
    problems = in_order(declared.problems)
    if any(p.severity == "error" for p in problems):
        return None, problems
    plan = mapper.make_plan(declared, known, compiled, linked, tables)
    kpis.check_state_size(declared, plan)
    for outside in further(plan):
        entry = declared.events[outside.event]
        declared.report(entry, outside.at, outside.message, severity=outside.severity)
    return plan, in_order(declared.problems)
