"""The state of a series, and its rows in the table.

In comes what the stages work out; out go rows, and after a restart the state they hold. Read
`series` (what is kept, and who writes it), `alert_state` (the life of an alert as a table), `rows`
(keys, versions, large rows), `archive` (windows that history functions look back on).
"""
