"""SQL expressions, compiled to partial aggregates and polars expressions.

In: the text of a `where`, a `value` or a condition, and the columns that it may name. Out: polars
expressions, or a problem at its characters within the text. Read `compiler`, then `expressions`
(types and errors), `aggregates` and `scalars` (the tables of what is supported), `instead` (hints
for what is not), `roll_up` (aggregates over series) and `history_functions` (`change`, `trend` and
their like in conditions; `history_call` reads their arguments). `percents`, `clauses` and
`instants` are what conditions and times need beyond SQL.
"""
