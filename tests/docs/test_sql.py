"""The SQL page: its examples answer as DuckDB does, and it has every function."""

from __future__ import annotations

import re

import duckdb
import pytest

from agent.language.sql.compiler import SqlProblem, compile_value
from agent.language.sql.expressions import FUNCTIONS
from tests.conftest import ROOT
from tests.language.sql.test_compiler import FIELDS, answers, oracle, ours, same

__all__ = ["oracle"]

PAGE = (ROOT / "docs" / "rules" / "sql.md").read_text()


def examples(section: str) -> list[str]:
    """The expressions in the first column of a section's table."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    return [each.replace("\\|", "|") for cell in cells for each in re.findall(r"`([^`]+)`", cell)]


SCALARS = [
    each
    for section in ("Numbers", "Strings", "Conditions and choices")
    for each in examples(section)
]


@pytest.mark.parametrize("expression", SCALARS)
def test_a_scalar_example_answers_as_duckdb(
    oracle: duckdb.DuckDBPyConnection, expression: str
) -> None:
    same(ours(expression), answers(oracle, expression))


@pytest.mark.parametrize("expression", examples("Aggregates"))
def test_an_aggregate_example_is_a_value(expression: str) -> None:
    partials, _ = compile_value(expression, FIELDS)
    assert partials


def test_the_page_has_every_function() -> None:
    named = set(re.findall(r"(\w+)\(", PAGE))
    assert set(FUNCTIONS) - named == set()


def test_what_is_not_on_the_page_is_refused() -> None:
    with pytest.raises(SqlProblem, match="not supported"):
        compile_value("corr(x, y)", FIELDS)
