"""Partial aggregates: how rows fold, how partials merge, and how values come out of them.

In: a KPI's partials (`core.model.plan.Partial`) and rows of its contract. Out: partial states as
columns, and the final values of a window.

Read `functions` first: the table of all kinds, and how to add one. A `kind` is one of them; `sums`,
`extremes`, `spread`, `ranked` and `sketched` have those with like states, `sketches` and
`value_counts` what the sketches are. `aggregator` puts a KPI's together. `columns` is how states
lie in memory and in frames, `rows` how many of them are kept and replaced.
"""
