"""Messages about a wrong configuration file that show no value of it, which may be a secret."""

from __future__ import annotations

import re
from collections.abc import Callable

import yaml
from pydantic import ValidationError


def yaml_problem(error: yaml.YAMLError) -> str:
    """The problem and its position, without the text of the line, which the error would show."""
    problem = re.sub(r"'[^']*'|\"[^\"]*\"", "…", getattr(error, "problem", None) or "no YAML")
    mark = getattr(error, "problem_mark", None)
    return problem + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")


def value_problems(error: ValidationError, unknown: Callable[[str], str]) -> str:
    """A line for each wrong value, with its name but not the value, which the error would show.
    `unknown` gives the message for an unknown name."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = unknown(name)
        lines.append(f"  {name}: {message}" if name else f"  {message}")
    return "\n".join(lines)
