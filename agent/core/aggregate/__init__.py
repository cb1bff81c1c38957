"""Partial aggregates: how rows fold, how partials merge, and how values come out of them.

In: a KPI's partials (`core.model.plan.Partial`) and rows of its contract. Out: partial states as
columns, and the final values of a window.

Read `functions` first, one entry an aggregate, with `sketches` for those that are approximate; then
`aggregator`, which puts a KPI's together. `columns` is how states lie in memory and in frames,
`rows` how many of them are kept and replaced.
"""
