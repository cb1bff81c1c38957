"""`kpi-agent restate`: closed windows computed again from the source topics, and corrected.

In: a plan, a KPI and a period. Out: what differs from `kpi-values`, as a table or JSON; with
`--apply`, corrections on that topic. `agent.core.restatement` decides what is corrected,
`agent.core.dead_letters` for which dead letters. Read `runner`, then `report` and `letters`.
"""
