"""Splits a condition into clauses: the text between its `and`s and `or`s, also within parentheses.

Explanations show which clauses are true; what is evaluated is the condition as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot.tokens import Token, Tokenizer, TokenType  # type: ignore[attr-defined]

from agent.language.sql.percents import marked

_OPEN, _CLOSE = TokenType.L_PAREN, TokenType.R_PAREN


def clauses(text: str) -> list[str]:
    """The clauses of a condition that compiles, as written, in their order."""
    # The marked text has the length of the original, so that positions are the same.
    tokens = Tokenizer(dialect="duckdb").tokenize(marked(text)[0])
    return [text[part[0].start : part[-1].end + 1] for part in _split(tokens)]


def _split(tokens: list[Token]) -> Iterator[list[Token]]:
    parts = list(_parts(tokens))
    if len(parts) > 1:
        for part in parts:
            yield from _split(part)
    elif _is_bracketed(tokens):
        yield from _split(tokens[1:-1])
    elif tokens:
        yield tokens


def _parts(tokens: list[Token]) -> Iterator[list[Token]]:
    """The tokens between the outermost `and`s and `or`s, without those of `between` and `case`."""
    depth, between = 0, False
    part: list[Token] = []
    for token in tokens:
        kind = token.token_type
        depth += (kind in (_OPEN, TokenType.CASE)) - (kind in (_CLOSE, TokenType.END))
        if depth == 0 and (kind is TokenType.OR or (kind is TokenType.AND and not between)):
            yield part
            part = []
            continue
        if depth == 0 and kind in (TokenType.BETWEEN, TokenType.AND):
            between = kind is TokenType.BETWEEN
        part.append(token)
    yield part


def _is_bracketed(tokens: list[Token]) -> bool:
    """Whether one pair of parentheses is around all tokens."""
    if len(tokens) < 3 or tokens[0].token_type is not _OPEN:
        return False
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token.token_type is _OPEN) - (token.token_type is _CLOSE)
        if depth == 0:
            return index == len(tokens) - 1
    return False
