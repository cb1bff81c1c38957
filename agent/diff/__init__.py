"""`kpi-agent diff`: the effects of a rule change, before it is applied.

In: two plans, from folders, a git revision or a running agent. Out: the difference as text, JSON or
annotations. The comparison itself is `core.changes`; here are `revision` (rules as committed) and
`report`.
"""
