"""Which series a panel shows where there are more than anybody reads: PromQL.

The ranking is by the range that is shown, not by each of its points: a line that is drawn at all is
drawn from end to end, and never more than `limit` of them.
"""

from __future__ import annotations

NUMBERS = 6
"""Single numbers in a panel."""
ROWS = 10
"""Bands of states in a panel, and its horizontal bars."""
LINES = 20
"""Lines in a panel."""


def highest(query: str, limit: int) -> str:
    """The series of a query whose last values are the highest."""
    return f"({query}) and topk({limit}, {last(query)})"


def longest(query: str, limit: int, state: str = "") -> str:
    """The series whose states are the highest now; then those that were high for the longest.

    `state` is what is ranked, if not the query itself; it has the query's labels.
    """
    ranked = state or query
    return f"({query}) and topk({limit}, {last(ranked)} + {_over_time('avg', ranked)})"


def last(query: str) -> str:
    """The last value of each series in the range that is shown."""
    return _over_time("last", query)


def _over_time(function: str, query: str) -> str:
    return f"{function}_over_time(({query})[$__range:$__interval] @ end())"
