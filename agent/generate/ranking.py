"""PromQL that selects the series of a panel if there are too many to show.

The ranking is by the displayed range, not by each of its points: a line is drawn for the whole
range, and there are never more than `limit` lines.
"""

from __future__ import annotations

NUMBERS = 4
"""Single numbers in a panel: more are too small to read."""
ROWS = 10
"""Bands of states in a panel, or horizontal bars."""
LINES = 20
"""Lines in a panel."""


def highest(query: str, limit: int) -> str:
    """The series of a query with the highest last values."""
    return f"({query}) and topk({limit}, {last(query)})"


def longest(query: str, limit: int, state: str = "") -> str:
    """The series with the highest states now, then those that had them for the longest. `state`:
    the query of states, if not the query itself; it has the same labels."""
    ranked = state or query
    return f"({query}) and topk({limit}, {last(ranked)} + {_over_time('avg', ranked)})"


def last(query: str) -> str:
    """The last value of each series in the displayed range."""
    return _over_time("last", query)


def _over_time(function: str, query: str) -> str:
    return f"{function}_over_time(({query})[$__range:$__interval] @ end())"
