"""Regular expressions match what RE2 matches, which DuckDB has."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.language.sql.scalars.patterns import BadPattern, as_rust

TEXTS = [
    *(
        "",
        "a",
        "b",
        "ab",
        "a1",
        "1",
        "a b",
        "A",
        "ſ",
        "K",
        "é",
        "٣",
        "a\nb",
        "[",
        "]",
        "&",
        "~",
        "-",
    ),
    *("<", "{", "}", "a{1}", "_", "a.b", "aa", "a\\b", "^", "$", ":", "b-1", "\t", "1{,2}"),
]

atoms = st.sampled_from([
    *("a", "b", "1", ".", "^", "$", "é", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\b", r"\."),
    *(r"\[", r"\<", r"\-", r"\Qa.b\E", r"\Q{", "[ab]", "[^ab]", r"[\d-]", r"[^\w]", r"[\s1]"),
    *("[[]", "[]a]", "[^]]", "[a-b&&~~]", "[[:alpha:]_]", "[[:^digit:]]", r"[\]a]", "{", "}", "-"),
    *("a{2}", "a{1,}", "1{,2}", "{a}", "<", ">", "&&", "_", r"\n", r"\pL", r"\x41"),
])  # fmt: skip
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map("({})".format),
        inner.map("(?:{})*".format),
        inner.map("(?:{})?".format),
    ),
    max_leaves=6,
)


def theirs(pattern: str, options: str, texts: list[str]) -> list[bool] | None:
    """Which texts DuckDB matches; None where it refuses the pattern."""
    flags = f", '{options}'" if options else ""
    quoted = pattern.replace("'", "''")
    query = f"list_transform($texts::varchar[], lambda t: regexp_matches(t, '{quoted}'{flags}))"
    try:
        row = duckdb.connect().execute(f"select {query}", {"texts": texts}).fetchone()
    except duckdb.Error:
        return None
    assert row is not None
    return list(row[0])


def ours(pattern: str, options: str, texts: list[str]) -> list[bool]:
    matches = pl.Series(texts).str.contains(as_rust(pattern, options))
    return matches.to_list()


@given(patterns, st.sampled_from(["", "i", "s", "is"]))
def test_a_pattern_matches_the_texts_that_duckdb_matches(pattern: str, options: str) -> None:
    expected = theirs(pattern, options, TEXTS)
    assume(expected is not None)
    assert ours(pattern, options, TEXTS) == expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("(", "unclosed group"), ("a)", "unopened group"), ("[b-a]", "invalid character class range")],
)
def test_what_is_no_pattern_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(BadPattern, match=reason):
        as_rust(pattern)
    assert theirs(pattern, "", ["a"]) is None
