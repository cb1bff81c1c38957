"""Reads files of rule tests, and collects the problems of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.core.model.plan import Plan
from agent.language.declared import Entry, is_test_file, yaml_files
from agent.language.error_text import explain
from agent.language.problems import Problem, in_order
from agent.language.recovery import recover
from agent.language.source import Place, Source, read
from agent.ruletests.cases import Case
from agent.ruletests.models import TestFileSpec, TestSpec
from agent.ruletests.resolve import resolve


@dataclass(slots=True)
class Suite:
    """The tests of all files, in their order, and their problems."""

    cases: list[Case] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0


def test_files(path: Path) -> list[Path]:
    """The files of rule tests in a folder tree, sorted; or the one that `path` is."""
    if path.is_file():
        return [path]
    return [file for file in yaml_files(path) if is_test_file(file)]


def read_tests(plan: Plan, paths: list[Path]) -> Suite:
    """Read all tests under some paths, against the rules that they test."""
    suite = Suite()
    for path in paths:
        files = test_files(path)
        if not files:
            suite.problems.append(_no_tests(path))
        for file in files:
            suite.files += 1
            _read_file(plan, file, suite)
    suite.problems = in_order(suite.problems)
    return suite


def _no_tests(path: Path) -> Problem:
    if not path.exists():
        return Problem(str(path), 1, 1, 2, "", "no such file or folder", "is the path right?")
    hint = "rule tests are YAML files whose names end in _test.yaml, beside the rules"
    return Problem(str(path), 1, 1, 2, "", "no rule test in this folder", hint)


def _read_file(plan: Plan, file: Path, suite: Suite) -> None:
    try:
        source = read(str(file), file.read_bytes())
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        suite.problems.append(Problem(str(file), 1, 1, 2, "", message, "look at its permissions"))
        return
    suite.problems += source.problems
    if source.data is None:
        if not source.problems:
            suite.problems.append(
                source.problem((), "the file is empty", "write tests under `tests:`")
            )
        return
    if not isinstance(source.data, dict):
        suite.problems.append(source.problem((), "should be a mapping", "write `tests:`"))
        return
    head = {k: v for k, v in source.data.items() if k != "tests" and not k.startswith("x-")}
    suite.problems += _nulls(source, head, ())
    try:
        spec = TestFileSpec.model_validate(head)
    except ValidationError as error:
        for place, on, message, hint in explain(error, TestFileSpec, ()):
            suite.problems.append(source.problem(place, message, hint, on=on))
        spec = TestFileSpec.model_validate({})
    _tests(plan, source, spec, suite)


def _tests(plan: Plan, source: Source, spec: TestFileSpec, suite: Suite) -> None:
    tests = source.data.get("tests")
    if not isinstance(tests, dict) or not tests:
        hint = "write them under `tests:`, each by its name"
        suite.problems.append(source.problem(("tests",), "no test in this file", hint))
        return
    for name, value in tests.items():
        place: Place = ("tests", name)
        if not name.strip():
            suite.problems.append(
                source.problem(place, "a test without a name", "say what it shows")
            )
        recovered = recover(TestSpec, value)
        for at, on, message, advice in recovered.mistakes:
            where = (*place, *at)
            suite.problems.append(source.problem(where, message, advice, on=on))
        nulls = list(_nulls(source, value, place))
        suite.problems += nulls
        if recovered.model is None:
            continue
        entry = Entry("tests", name, source, recovered.model, recovered.holes, recovered.keys)
        case, problems = resolve(plan.in_json(), entry, spec)
        suite.problems += [problem for problem in problems if problem not in suite.problems]
        if case is not None and not (recovered.mistakes or nulls or problems):
            suite.cases.append(case)


def _nulls(source: Source, data: Any, place: Place) -> Iterator[Problem]:
    """Problems of keys without a value, which is usually a mistake; only fields of events may be
    null."""
    if isinstance(data, dict):
        for key, value in data.items():
            at = (*place, key)
            if value is None:
                yield source.problem(at, f"'{key}' has no value", "give it one, or leave it out")
            elif not (len(at) == 3 and key == "events"):
                yield from _nulls(source, value, at)
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _nulls(source, value, (*place, number))
