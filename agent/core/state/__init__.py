"""The state of a series, and its rows in the state table.

In: the results of stage 2. Out: rows; after a restart, the state from the rows. Read `series` (the
state, and which module writes which part), `alert_state` (the lifecycle of an alert as a table),
`rows` (keys, versions, large rows), `archive` (older windows for history functions).
"""
