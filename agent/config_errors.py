"""What is wrong with a file of configuration, in words that show no secret that stands there."""

from __future__ import annotations

import re
from collections.abc import Callable

import yaml
from pydantic import ValidationError


def yaml_problem(error: yaml.YAMLError) -> str:
    """What is wrong and where; the error's own text would show the line."""
    problem = re.sub(r"'[^']*'|\"[^\"]*\"", "…", getattr(error, "problem", None) or "no YAML")
    mark = getattr(error, "problem_mark", None)
    return problem + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")


def value_problems(error: ValidationError, unknown: Callable[[str], str]) -> str:
    """A line for each value that is wrong, with its name; the error's own text would show the
    values. `unknown` words a name that there is not."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = unknown(name)
        lines.append(f"  {name}: {message}" if name else f"  {message}")
    return "\n".join(lines)
