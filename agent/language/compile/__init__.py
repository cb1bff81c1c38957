"""From a declaration to the plan.

In: declared entries. Out: their shapes, compiled SQL and, where nothing is wrong, the plan. Read
`shapes` (dimensions and windows), `statements` and `conditions` (SQL of KPIs and rules;
`satisfiable` finds those that can never hold), `links`
and `coupling` (rules over rules, and where their series live), then `mapper` with `contracts`,
`kpis` and `rules`.
"""
