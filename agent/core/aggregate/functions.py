"""The kinds of partial aggregates: how rows fold, how partials merge, what they say.

`KINDS` has every kind, `WHOLE_KINDS` those that are others over integers; `kind_of` chooses. A
state is a tuple of Python scalars, one for each of the kind's columns:

| kind | module | columns | final value |
|---|---|---|---|
| COUNT | `sums` | n | n |
| SUM, MEAN | `sums` | n, sum; of integers n, sums of high and low halves | null of none |
| MIN, MAX | `extremes` | value; of integers n, value | null of none |
| STDDEV, VARIANCE | `spread` | n, base, mean above it, squares | of samples; null under two |
| STDDEV_POP, VAR_POP | `spread` | the same | null of none |
| FIRST, LAST | `ranked` | event time ms, offset, value | of the non-null values |
| ARG_MIN, ARG_MAX | `ranked` | key, event time ms, offset, value | of rows with key and value |
| DISTINCT, RETENTION | `sketched` | theta sketch | `sketches` states the errors |
| QUANTILE, QUANTILE_CONT | `sketched` | the values, or a log-bucket sketch | `sketches` |
| MODE, SUM_DISTINCT, MEAN_DISTINCT | `sketched` | values with counts | `value_counts` |

Of integers every final but a mean is a Python int, however large. Merging is associative and
commutative: exactly, but for the rounding of floating-point sums.

To add an aggregate: its name in `core.model.kpis.PartialKind`, a `Kind` in the module whose states
are like its own, and its SQL in `language/sql/aggregates.py`; then its DuckDB in
`tests/core/aggregate/test_aggregator.py`, which draws rows, batches and merges for every kind, a
KPI in `tests/oracle/rules_traffic`, and a line in the table of `docs/rules/sql.md`.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.aggregate.extremes import EXTREMES, WHOLE_EXTREMES
from agent.core.aggregate.kind import Columns, Final, Kind, State
from agent.core.aggregate.ranked import RANKED, RANKED_BY, WHOLE_RANKED
from agent.core.aggregate.sketched import SKETCHED, WHOLE_SKETCHED
from agent.core.aggregate.spread import SPREADS
from agent.core.aggregate.sums import SUMS, WHOLE_SUMS
from agent.core.model.kpis import Partial, PartialKind

__all__ = ["KINDS", "LAYOUT", "WHOLE_KINDS", "Columns", "Final", "Kind", "State", "kind_of"]

LAYOUT = 2
"""Changes when the columns of a kind, or what they mean, do: part of every KPI's fingerprint, so
that no state of another layout is read."""

KINDS: Mapping[PartialKind, Kind] = {
    **SUMS,
    **EXTREMES,
    **SPREADS,
    **RANKED,
    **{kind: RANKED_BY[kind, False, False] for kind in (PartialKind.ARG_MIN, PartialKind.ARG_MAX)},
    **SKETCHED,
}
WHOLE_KINDS: Mapping[PartialKind, Kind] = {
    **WHOLE_SUMS,
    **WHOLE_EXTREMES,
    **WHOLE_RANKED,
    **WHOLE_SKETCHED,
}
"""The kinds that are others over integers."""


def kind_of(partial: Partial) -> Kind:
    """The kind of a partial, by what its argument is."""
    if partial.order is not None:
        return RANKED_BY[partial.kind, partial.whole_order, partial.whole]
    return (partial.whole and WHOLE_KINDS.get(partial.kind)) or KINDS[partial.kind]
