"""`kpi-agent test`: rule tests in YAML beside the rules, run through the same core.

In: a plan and test files. Out: results, and the coverage of the rules. Read `models` (the form
of a test), `read` and `resolve` (into cases, with problems at their places; by `times`,
`names`, `notation`, `events` with `produced_event`, and `expectations`), `run`, `compare`,
`coverage`, then `report`.
"""
