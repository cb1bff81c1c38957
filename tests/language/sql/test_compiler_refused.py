"""SQL that is wrong or not supported is refused, at its place, with what would be right."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from agent.core.model.events import FIELD_DTYPES, FieldType
from agent.core.model.windows import FixedWindow
from agent.language.sql.compiler import (
    SqlProblem,
    compile_condition,
    compile_derived,
    compile_value,
    compile_where,
)
from agent.language.sql.history_call import Subject
from agent.language.sql.history_functions import FeatureCollector

SUBJECT = Subject(FixedWindow(60_000, 60_000), (), False, "UTC", "higher", True)

FIELDS: Mapping[str, FieldType] = {
    "x": "float",
    "i": "integer",
    "s": "string",
    "t": "string",
    "b": "boolean",
    "c": "boolean",
    "Region": "string",
}

REFUSED_WHERE = [
    # the text with the offending part between ⟦ and ⟧, words of the message, words of the hint
    ("⟦sum(x)⟧ > 1", "is an aggregate", "FILTER"),
    ("⟦x⟧", "condition is needed", "x > 0"),
    ("⟦x⟧ and b", "boolean is needed", ""),
    ("x > 1 and ⟦1⟧", "boolean is needed", ""),
    ("s > ⟦1⟧", "don't go together", ""),
    ("x in (⟦'a'⟧)", "don't go together", ""),
    ("⟦foo⟧ > 1", "no column `foo`", "known columns"),
    ("x > 1 and ⟦regoin⟧ = 'a'", "no column `regoin`", "'Region'"),
    ("x + ⟦s⟧ > 1", "number is needed", "cast"),
    ("x + ⟦b⟧ > 1", "number is needed", "case when"),
    ("not ⟦x⟧", "boolean is needed", ""),
    ("x > (select ⟦1⟧)", "subqueries", "from: [a, b]"),
    ("x = ⟦=⟧ 3", "missing next to `=`", ""),
    ("x > 1 ⟦and⟧", "missing next to `and`", ""),
    ("(x > ⟦1⟧", "`)` is missing", ""),
    ("x > 1⟦)⟧", "not expected", ""),
    ("x > 1 and s = ⟦'abc⟧", "quote is not closed", ""),
    ("s like ⟦t⟧", "written out", "like 'abc%'"),
    ("x > ⟦1e400⟧", "too large", ""),
    ("⟦a.b⟧ > 1", "without dots", "path"),
    ("x > 1, ⟦b⟧", "one expression", "comma"),
    ("b from ⟦t⟧", "`from` has no place", ""),
    ("c = ⟦i in (1)⟧", "ambiguous", "parentheses"),
    ("⟦x ^ 2⟧ > 1", "not supported", "power(x, y)"),
    ("⟦x // 2⟧ > 1", "not supported", "floor"),
    ("upper(⟦x⟧) = 'A'", "a string is needed", ""),
    ("⟦strats_with⟧(s, 'a')", "no function", "'starts_with'"),
    ("coalesce(b, ⟦s⟧)", "don't go together", ""),
    ("cast(⟦x⟧ as float) > 1", "casts go to", "double"),
    ("abs(x, 2⟦)⟧ > 1", "too many arguments", ""),
    ("cast(⟦s⟧ as bigint) > 1", "casts of strings", "bigint"),
    ("x >\n  ⟦fo⟧", "no column `fo`", ""),
    ("'é' = s and ⟦fo⟧ = 1", "no column `fo`", ""),
    ("round(x, ⟦i⟧) > 1", "whole number", ""),
    ("substring(s, ⟦i⟧) = 'a'", "whole number", "substring(s, 1, 2)"),
    ("substring(s, 1, -⟦2⟧) = 'a'", "0 or more", ""),
    ("split_part(s, ⟦t⟧, 1) = 'a'", "written out", "split_part"),
    ("regexp_matches(s, ⟦'a('⟧)", "unclosed group", "backslash"),
    ("regexp_matches(s, ⟦t⟧)", "written out", "regexp_matches"),
    ("regexp_matches(s, 'a', ⟦'x'⟧)", "option is not supported", "without case"),
    ("regexp_extract(s, 'a', ⟦1⟧) = 'a'", "has 0 groups", ""),
    ("⟦s ~ 'a'⟧", "differs between databases", "regexp_matches"),
    ("concat(s, ⟦x⟧) = 'a'", "a string is needed", ""),
    ("max(⟦x⟧) over () > 1", "window functions", ""),
]
REFUSED_VALUE = [
    ("sum(⟦s⟧)", "sum needs a number", "count"),
    ("sum(⟦b⟧)", "sum needs a number", "count_if"),
    ("max(⟦b⟧)", "max needs a number", "count_if"),
    ("sum(⟦avg(x)⟧)", "into one another", "from:"),
    ("sum(x) filter (where ⟦count(*)⟧ > 1)", "into one another", ""),
    ("⟦x⟧", "event to event", "avg(x)"),
    ("sum(x) + ⟦x⟧", "event to event", "avg(x)"),
    ("max(x) - length(⟦s⟧)", "event to event", "by: [s]"),
    ("⟦count(*) > 3⟧", "a KPI's value is a number", "case when"),
    ("sum(⟦median(x)⟧)", "into one another", "from:"),
    ("median(⟦s⟧)", "needs a number", "count"),
    ("mode(⟦s⟧)", "mode needs a number", "count"),
    ("quantile_cont(x, ⟦s⟧)", "from 0 to 1", "0.95"),
    ("quantile_cont(x, [⟦0.5, 0.9⟧])", "from 0 to 1", "0.95"),
    ("bool_or(⟦x⟧)", "boolean is needed", ""),
    ("⟦bool_and(b)⟧", "a KPI's value is a number", "case when"),
    ("arg_max(⟦s⟧, x)", "arg_max needs a number", ""),
    ("arg_max(x, ⟦s⟧)", "arg_max needs a number", ""),
    ("arg_max(x, y, ⟦2⟧)", "not supported", ""),
    ("⟦weighted_avg(x)⟧", "two arguments", "weighted_avg(price, units)"),
    ("stddev(distinct ⟦x⟧)", "not supported", "count, sum and avg"),
    ("⟦sum(distinct x, y)⟧", "one argument", ""),
    ("quantile(x, ⟦2⟧)", "from 0 to 1", "0.95"),
    ("quantile(x, ⟦0.5⟧, 0.9)", "two arguments", "each"),
    ("quantile(x, ⟦i⟧)", "from 0 to 1", "0.95"),
    ("first(⟦x order by i⟧)", "not supported", "event time"),
    ("⟦count(distinct s, i)⟧", "one argument", "||"),
    ("count_if(⟦x⟧)", "boolean is needed", ""),
    ("⟦5⟧", "made of aggregates", "count(*)"),
    ("⟦sum(x)⟧ over ()", "window functions", "window:"),
    ("max(x, ⟦2⟧)", "not supported", ""),
    ("count(*) filter (where ⟦x⟧)", "boolean is needed", ""),
    ("⟦abs(x)⟧ filter (where b)", "not an aggregate", ""),
    ("⟦retention(s, i)⟧", "one argument", ""),
    ("⟦approx_top_k(x, 3)⟧", "not supported", "max(n) / sum(n)"),
    ("⟦count(*) as n⟧", "not supported", "leave out the name"),
    ("sum(x) filter (where ⟦fo⟧ > 1)", "no column `fo`", ""),
    ("⟦sum⟧(null)", "needs a number", ""),
]


def refusal(compiled: Any, marked: str) -> tuple[SqlProblem, str]:
    text = marked.replace("⟦", "").replace("⟧", "")
    with pytest.raises(SqlProblem) as caught:
        compiled(text, FIELDS)
    problem = caught.value
    assert 0 <= problem.start < problem.end <= max(1, len(text))
    return (
        problem,
        f"{text[: problem.start]}⟦{text[problem.start : problem.end]}⟧{text[problem.end :]}",
    )


@pytest.mark.parametrize(
    ("compiled", "marked", "message", "hint"),
    [
        *((compile_where, *case) for case in REFUSED_WHERE),
        *((compile_value, *case) for case in REFUSED_VALUE),
    ],
)
def test_what_is_wrong_is_refused_where_it_stands(
    compiled: Any, marked: str, message: str, hint: str
) -> None:
    problem, place = refusal(compiled, marked)
    assert place == marked
    assert message in problem.message
    assert hint in (problem.hint or "")


def test_aggregates_are_refused_in_derived_values_and_conditions() -> None:
    with pytest.raises(SqlProblem, match="a value already"):
        compile_derived("sum(orders)", ["orders"])
    with pytest.raises(SqlProblem, match="already aggregated"):
        compile_condition("max(value) > 3", ["value"], FeatureCollector(SUBJECT))
    with pytest.raises(SqlProblem, match="there is no expression"):
        compile_derived("", ["orders"])


WORDS = """
x i s b ( ) ( ) , + - * / % = <> < and or not is null true in between like 'a' 'b%' 1 2.5 case when
then else end sum( avg( count( distinct filter (where coalesce( nullif( round( cast( as double over
quantile( 0.5 first( order by interval :: [ ] { } ; ? $1 . " -- /* @ ! select from lambda -> struct
exists( extract( position( if( || ^ // retention( max( * unnest( values with limit 3 escape 'é'
"""


def test_any_rubbish_is_refused_within_the_text_or_runs() -> None:
    rng, words = random.Random(11), WORDS.split()
    rows = pl.DataFrame(schema={name: FIELD_DTYPES[type_] for name, type_ in FIELDS.items()})
    for _ in range(1500):
        text = " ".join(rng.choice(words) for _ in range(rng.randint(1, 7)))
        try:
            compile_value(text, FIELDS)
            rows.filter(compile_where(text, FIELDS))
        except SqlProblem as problem:
            assert 0 <= problem.start < problem.end <= len(text), text
