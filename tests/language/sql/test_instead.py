"""SQL that other databases have is refused with what to write instead."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agent.core.model.events import FieldType
from agent.language.sql import instead
from agent.language.sql.compiler import SqlProblem, compile_value, compile_where

FIELDS: Mapping[str, FieldType] = {
    "x": "float", "n": "integer", "s": "string", "b": "boolean", "from": "integer",
    "Case": "boolean", "current_date": "string",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "marked", "hint"),
    [
        ("sum(age(s, s))", "age", "differences in seconds"),
        ("sum(date_sub('day', s, s))", "date_sub", "type: timestamp"),
        ("sum(s->>'a')", None, "path: a.b"),
        ("count(*) filter (where s->>'a' = 'b')", None, "path: a.b"),
        ("count(*) filter (where x ^ 2 > 1)", None, "power(x, y)"),
        ("sum(json_extract(s, '$.a'))", "json_extract(s, '$.a')", "path: a.b"),
        ("sum(s['a'])", None, "path: a.b"),
        ("percentile(x, 95)", "percentile", "quantile(x, 0.95)"),
        ("approx_quantile(x, 0.5)", "approx_quantile(x, 0.5)", "quantile_cont(x, 0.95)"),
        ("approx_top_k(s, 3)", None, "max(n) / sum(n)"),
        ("geomean(x)", "geomean", "exp(avg(ln(x)))"),
        ("mean(x)", "mean", "avg(x)"),
        ("sum_if(x, b)", "sum_if", "filter (where"),
        ("string_agg(s)", "string_agg(s)", "count(distinct x)"),
        ("lag(x)", "lag(x)", "change('1 day')"),
        ("some(b)", "some", "count_if(x) / count(*)"),
        ("sum(iff(b, 1, 0))", "iff", "if(condition, then, else)"),
        ("count_if(s ~ 'a')", "s ~ 'a'", "regexp_matches(s, 'ab')"),
        ("count_if(s similar to 'a')", "s similar to 'a'", "regexp_matches(s, '^ab')"),
        ("count_if(b && b)", "b && b", "a and b"),
        ("count_if(now() > s)", "now", "depends on its events only"),
        ("count_if(s is 'a')", "s is 'a'", "s = 'a'"),
        ('count_if(s = "a")', '"a"', "single quotes: 'a'"),
        ("safe_divide(sum(x), count(*))", "safe_divide(sum(x), count(*))", "a / b"),
        ("rate(x)", "rate", "`count(*) / 300`"),
        ("delta(x)", "delta", "change('previous')"),
        ("sum(decode(x, 1, 2))", "decode(x, 1, 2)", "case x when"),
        ("corr(x, n)", "corr(x, n)", "known functions"),
        ("select count(*)", None, "without SELECT"),
        ("count(*) where b", None, "`where:`"),
        ("count(*) group by s", None, "`by: [region]`"),
        ("sum(x) having sum(x) > 1", None, "a rule over the KPI"),
        ("sum(`x`)", None, "double quotes"),
        ("100 * count_if(b) / count(*)%", None, "100 * a / b"),
        ("sum(case when b then x)", None, "else … end"),
        ("sum(from)", "from", 'double quotes: "from"'),
        ("count_if(case)", "case", 'double quotes: "case"'),
        ("count(current_date)", None, 'double quotes: "current_date"'),
    ],
)
def test_what_is_not_supported_says_what_to_write(text: str, marked: str | None, hint: str) -> None:
    with pytest.raises(SqlProblem) as refused:
        compile_value(text, FIELDS)
    assert hint in (refused.value.hint or "")
    if marked is not None:
        assert text[refused.value.start : refused.value.end] == marked


def test_a_field_called_as_a_word_of_sql_is_read_in_double_quotes() -> None:
    compile_value('sum("from")', FIELDS)
    compile_where('"case" and "current_date" = \'2025-03-01\'', FIELDS)


FORMS_OF_THEIR_OWN = {"extract", "interval", "position", "every", "any"}


@pytest.mark.parametrize("name", sorted(instead.FUNCTIONS.keys() - FORMS_OF_THEIR_OWN))
def test_every_function_that_is_known_elsewhere_is_refused_with_its_hint(name: str) -> None:
    for arguments in ("s", "s, s", "s, s, s", ""):
        with pytest.raises(SqlProblem) as refused:
            compile_value(f"sum({name}({arguments}))", FIELDS)
        if refused.value.hint == instead.FUNCTIONS[name]:
            return
    pytest.fail(f"{name} is never refused with its hint: {refused.value}")
