"""Partial aggregates: how rows are folded, how partials are merged, and their final values.

In: a KPI's partials (`core.model.kpis.Partial`) and rows of its contract. Out: partial states as
columns, and the final values of a window.

Read `functions` first: the table of all functions. `aggregate_function` defines what each consists
of; `sums`, `extremes`, `spread`, `ranked` and `sketched` implement those with similar states, and
`sketches` and `value_counts` the sketches. `aggregator` combines the partials of a KPI. `columns`
is the layout of states in memory and in frames, `rows` a table of states for many series.
"""
