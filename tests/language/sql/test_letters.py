"""`lower`, `upper` and `ilike` beside DuckDB, over all of Unicode."""

import duckdb
import polars as pl
import pytest

from agent.language.sql.compiler import compile_where

LETTERS = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
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


def test_every_letter_is_lowered_as_duckdb_does_or_is_newer_than_its_unicode() -> None:
    lowered = [str(letter) for letter in theirs("lower(s)", LETTERS)]
    same = _equal(LETTERS, lowered)
    unlike = [i for i, is_same in enumerate(same) if not is_same]
    assert len(unlike) < 60
    assert all(lowered[i] == LETTERS[i] for i in unlike)


def test_every_letter_is_raised_as_duckdb_does_or_becomes_several_or_is_newer() -> None:
    where = compile_where("upper(s) = t", {"s": "string", "t": "string"})
    raised = [str(letter) for letter in theirs("upper(s)", LETTERS)]
    same_as = pl.DataFrame({"s": LETTERS, "t": raised}).select(where).to_series().to_list()
    unlike = [(s, t) for s, t, same in zip(LETTERS, raised, same_as, strict=True) if not same]
    newer = [(s, t) for s, t in unlike if len(s.upper()) == 1]
    assert len(unlike) - len(newer) == 102  # Unicode's SpecialCasing, such as 'ß' → 'SS'
    assert len(newer) < 60
    assert all(s == t for s, t in newer)


def _equal(values: list[str], expected: list[str]) -> list[bool]:
    where = compile_where("lower(s) = t", {"s": "string", "t": "string"})
    return pl.DataFrame({"s": values, "t": expected}).select(where).to_series().to_list()


@pytest.mark.parametrize("pattern", [*WORDS, "%Σ", "%ς", "_STANBUL", "%ß%", "aσ_"])
def test_ilike_matches_what_duckdb_matches(pattern: str) -> None:
    condition = f"s ilike '{pattern}'"
    assert ours(condition, WORDS) == theirs(condition, WORDS)
