"""`lower`, `upper` and `ilike` beside DuckDB, over all of Unicode."""

import duckdb
import polars as pl
import pytest

from agent.language.sql.compiler import compile_where

WORDS = [
    "ΑΣ", "ας", "ασ", "ΟΔΟΣ ΑΣ", "Σ", "aΣb", "İstanbul", "istanbul", "I", "ı", "Straße", "STRASSE",
    "ſ", "s", "K", "k", "Å", "å", "ŒUVRE", "œuvre", "ǅ", "ǆ", "ﬀ", "FF", "Ω", "ω", "ΐ", "é", "É",
    "a_b", "A%B", "",
]  # fmt: skip


def ours(condition: str, values: list[str]) -> list[bool]:
    where = compile_where(condition, {"s": "string"})
    return pl.DataFrame({"s": values}).select(where).to_series().to_list()


def theirs(expression: str, values: list[str]) -> list[object]:
    query = f"select list_transform($values::varchar[], lambda s: {expression})"
    row = duckdb.execute(query, {"values": values}).fetchone()
    assert row is not None
    return list(row[0])


def unlike(condition: str, function: str) -> list[tuple[str, str]]:
    """Every letter `s` for which a condition does not hold, with `t`, what a function of DuckDB's
    makes of it."""
    made = duckdb.execute(
        f"""select chr(code) as s, {function}(s) as t
        from (select range::int as code from range(1, {0x110000}))
        where code not between {0xD800} and {0xDFFF}"""
    ).fetchnumpy()
    assert len(made["s"]) == 0x110000 - 1 - 0x800
    where = compile_where(condition, {"s": "string", "t": "string"})
    letters = pl.DataFrame({name: pl.Series(made[name], dtype=pl.String) for name in "st"})
    return letters.remove(where).rows()


def test_every_letter_is_lowered_as_duckdb_does_or_is_newer_than_its_unicode() -> None:
    newer = unlike("lower(s) = t", "lower")
    assert len(newer) < 60
    assert all(s == t for s, t in newer)


def test_every_letter_is_raised_as_duckdb_does_or_becomes_several_or_is_newer() -> None:
    other = unlike("upper(s) = t", "upper")
    newer = [(s, t) for s, t in other if len(s.upper()) == 1]
    assert len(other) - len(newer) == 102  # Unicode's SpecialCasing, such as 'ß' → 'SS'
    assert len(newer) < 60
    assert all(s == t for s, t in newer)


@pytest.mark.parametrize("pattern", [*WORDS, "%Σ", "%ς", "_STANBUL", "%ß%", "aσ_"])
def test_ilike_matches_what_duckdb_matches(pattern: str) -> None:
    condition = f"s ilike '{pattern}'"
    assert ours(condition, WORDS) == theirs(condition, WORDS)
