"""Whether a condition can be true, against a search over many values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.language.compile.satisfiable import Range, can_hold
from agent.language.sql.compiler import compile_condition
from agent.language.sql.history_call import Subject
from agent.language.sql.history_functions import FeatureCollector

COLUMNS = ("value", "events", "target")


def answer(text: str, least_events: float = 0) -> bool | None:
    subject = Subject(None, (), False, "UTC", "higher", True)
    condition = compile_condition(text, COLUMNS, FeatureCollector(subject))
    return can_hold(condition, [text], {"events": Range(least_events, whole=True)})


@pytest.mark.parametrize(
    ("text", "can"),
    [
        ("value > 5", True),
        ("value > 5 and value < 5", False),
        ("value >= 5 and value <= 5", True),
        ("value > 5 and value < 5.001", True),
        ("value = 3 and value <> 3", False),
        ("value > target and target > value", False),
        ("value > target and events > value and target > events", False),
        ("value > target and target > events and events >= 1", True),
        ("events > 1 and events < 2", False),
        ("events < 0", False),
        ("not (value > 5) and value > 6", False),
        ("value between 3 and 1", False),
        ("value > -20% and value < -30%", False),
        ("value > 2 * target and value < target", None),
        ("abs(value) < 0", None),
    ],
)
def test_a_condition_is_decided_where_it_compares_columns(text: str, can: bool | None) -> None:
    assert answer(text) is can


def test_the_fewest_events_count() -> None:
    assert answer("events < 5", 10) is False
    assert answer("events < 11", 10) is True


ATOMS = st.builds(
    lambda column, sign, other: f"{column} {sign} {other}",
    st.sampled_from(["value", "target"]),
    st.sampled_from(["<", "<=", ">", ">=", "=", "<>"]),
    st.sampled_from(["0", "1", "2.5", "-1", "value", "target"]),
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: (
        st.builds(
            lambda a, how, b: f"({a} {how} {b})", inner, st.sampled_from(["and", "or"]), inner
        )
        | inner.map(lambda a: f"not ({a})")
    ),
    max_leaves=6,
)


@given(CONDITIONS)
def test_a_search_over_many_values_finds_the_same(text: str) -> None:
    values = [n / 4 for n in range(-12, 20)]
    plain = text.replace(" = ", " == ").replace("<>", "!=")
    holds = any(
        eval(plain, {"__builtins__": {}}, {"value": v, "target": t}) for v in values for t in values
    )
    assert answer(text) is holds
