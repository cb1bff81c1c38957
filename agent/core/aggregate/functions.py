"""The table of aggregate functions.

`FUNCTIONS` has the function of each kind of partial, `WHOLE_FUNCTIONS` those that differ for
integers; `function_of` chooses. A state is a tuple of Python scalars, one for each column:

| kind | module | columns | final value |
|---|---|---|---|
| COUNT | `sums` | n | n |
| SUM, MEAN | `sums` | n, sum; of integers n, sums of high and low halves | null without values |
| MIN, MAX | `extremes` | value; of integers n, value | null without values |
| STDDEV, VARIANCE | `spread` | n, base, mean above it, squares | of samples; null under two |
| STDDEV_POP, VAR_POP | `spread` | the same | null without values |
| FIRST, LAST | `ranked` | event time ms, offset, value | of the non-null values |
| ARG_MIN, ARG_MAX | `ranked` | key, event time ms, offset, value | of rows with key and value |
| DISTINCT, RETENTION | `sketched` | theta sketch | `sketches` states the errors |
| QUANTILE, QUANTILE_CONT | `sketched` | the values, or a log-bucket sketch | `sketches` |
| MODE, SUM_DISTINCT, MEAN_DISTINCT | `sketched` | values with counts | `value_counts` |

For integers, every final value except a mean is a Python int of any size. Merging is associative
and commutative, apart from the rounding of floating-point sums.

CONTRIBUTING.md says how to add an aggregate.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.aggregate.aggregate_function import AggregateFunction, Columns, Final, State
from agent.core.aggregate.extremes import EXTREMES, WHOLE_EXTREMES
from agent.core.aggregate.ranked import RANKED, RANKED_BY, WHOLE_RANKED
from agent.core.aggregate.sketched import SKETCHED, WHOLE_SKETCHED
from agent.core.aggregate.spread import SPREADS
from agent.core.aggregate.sums import SUMS, WHOLE_SUMS
from agent.core.model.kpis import Partial, PartialKind

__all__ = [
    "FUNCTIONS",
    "LAYOUT",
    "WHOLE_FUNCTIONS",
    "AggregateFunction",
    "Columns",
    "Final",
    "State",
    "function_of",
]

LAYOUT = 2
"""Must increase when the columns of a function, or their meaning, change. It is part of every KPI's
fingerprint, so that state of another layout is never read."""

FUNCTIONS: Mapping[PartialKind, AggregateFunction] = {
    **SUMS,
    **EXTREMES,
    **SPREADS,
    **RANKED,
    **{kind: RANKED_BY[kind, False, False] for kind in (PartialKind.ARG_MIN, PartialKind.ARG_MAX)},
    **SKETCHED,
}
WHOLE_FUNCTIONS: Mapping[PartialKind, AggregateFunction] = {
    **WHOLE_SUMS,
    **WHOLE_EXTREMES,
    **WHOLE_RANKED,
    **WHOLE_SKETCHED,
}
"""The functions that differ for integers."""


def function_of(partial: Partial) -> AggregateFunction:
    """The function of a partial, by the types of its argument and its order."""
    if partial.order is not None:
        return RANKED_BY[partial.kind, partial.whole_order, partial.whole]
    return (partial.whole and WHOLE_FUNCTIONS.get(partial.kind)) or FUNCTIONS[partial.kind]
