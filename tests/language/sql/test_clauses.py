"""Conditions, taken apart."""

from __future__ import annotations

import pytest

from agent.language.sql.clauses import clauses


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("value > 600", ["value > 600"]),
        ("value > 1 and events >= 5 AND value < 9", ["value > 1", "events >= 5", "value < 9"]),
        ("(value > 1 or (events > 3 and value < 2))", ["value > 1", "events > 3", "value < 2"]),
        ("value between 1 and 5 and events > 3", ["value between 1 and 5", "events > 3"]),
        ("not (value > 1 and events > 2)", ["not (value > 1 and events > 2)"]),
        (
            "case when value > 1 and events > 2 then true else false end or value > 9",
            ["case when value > 1 and events > 2 then true else false end", "value > 9"],
        ),
        ("change('1 week') < -20% and value > 3", ["change('1 week') < -20%", "value > 3"]),
        ("(value + 1) * 2 > 3 or value in (1, 2)", ["(value + 1) * 2 > 3", "value in (1, 2)"]),
    ],
)
def test_a_condition_is_cut_at_its_ands_and_ors(condition: str, expected: list[str]) -> None:
    assert clauses(condition) == expected
