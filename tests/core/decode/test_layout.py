"""Demands of columns, and the reads of JSON lines that answer them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from agent.core.decode.batch import Chunk
from agent.core.decode.format import Demand
from agent.core.decode.layout import Layout, UnreadableLinesError

TEXT: Demand = (("a",), pl.String)
NUMBER: Demand = (("a",), pl.Int64)
NESTED: Demand = (("a", "b"), pl.Float64)
BESIDE: Demand = (("c", "*"), pl.Boolean)


def answers(demands: list[Demand], *lines: bytes, strict: bool = True) -> list[list[object]]:
    """The values of each demand's column."""
    layout = Layout(demands)
    joined = Chunk(np.arange(len(lines)), lines).joined
    table = layout.columns(layout.read(joined, len(lines), strict=strict))
    return [table[layout.column(demand)].to_list() for demand in demands]


@pytest.mark.parametrize(
    ("demands", "reads"),
    [
        ([TEXT], 1),
        ([TEXT, TEXT, BESIDE], 1),
        ([TEXT, NUMBER], 2),
        ([NUMBER, NESTED], 2),
        ([NUMBER, TEXT, NESTED, BESIDE], 3),
    ],
)
def test_only_demands_that_contradict_each_other_read_again(
    demands: list[Demand], reads: int
) -> None:
    assert Layout(demands).reads == reads


def test_a_path_is_read_as_each_type_that_is_demanded() -> None:
    demands = [NUMBER, TEXT, BESIDE]
    lines = (b'{"a": 7, "c": {"*": true}}', b'{"c": null}', b'{"a": 8}')
    assert answers(demands, *lines) == [[7, None, 8], ["7", None, "8"], [True, None, None]]


@pytest.mark.parametrize(
    ("demand", "line", "expected"),
    [
        (NUMBER, b'{"a": 9223372036854775807}', 2**63 - 1),
        (NUMBER, b'{"a": 1, "a": 2}', 1),
        (NESTED, b'{"a": {"b": 3}}', 3.0),
        (TEXT, b'{"a": [1, 2]}', "[1, 2]"),
        (TEXT, b'{"a": {"b": true}}', '{"b": true}'),
    ],
)
def test_what_fits_is_read_strictly(demand: Demand, line: bytes, expected: object) -> None:
    assert answers([demand], line) == [[expected]]


@pytest.mark.parametrize(
    ("demand", "line", "otherwise"),
    [
        (NUMBER, b'{"a": 1.0}', None),
        (NUMBER, b'{"a": "1"}', None),
        (NUMBER, b'{"a": 9223372036854775808}', None),
        (NESTED, b'{"a": 3}', None),
        (BESIDE, b'{"c": {"*": "true"}}', None),
        (BESIDE, b'{"c": {"*": 1}}', True),  # the reader counts such a row as unsure
    ],
)
def test_what_does_not_fit_fails_a_strict_read_only(
    demand: Demand, line: bytes, otherwise: object
) -> None:
    with pytest.raises(UnreadableLinesError) as error:
        answers([demand], b"{}", line)
    assert not error.value.is_malformed
    assert answers([demand], b"{}", line, strict=False) == [[None, otherwise]]


@pytest.mark.parametrize("line", [b"{", b"no JSON", b'{"a": 1} {"a": 2}'])
@pytest.mark.parametrize("strict", [True, False])
def test_a_malformed_line_fails_every_read(line: bytes, strict: bool) -> None:
    with pytest.raises(UnreadableLinesError):
        answers([NUMBER], b'{"a": 1}', line, strict=strict)
