"""The state of a series, and its rows in the table.

In: the results of stage 2. Out: rows, and after a restart the state in them. Read `series` (the
state, and who writes it), `alert_state` (the lifecycle of an alert as a table), `rows` (keys,
versions, large rows), `archive` (windows that history functions look back on).
"""
