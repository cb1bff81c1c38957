"""`kpi-agent explain`: the state of a rule for a series, and the reasons.

In: the mergers that hold the series, after a replay or in a running agent. Out: one JSON object for
each series. Read `series_selector` (which series), `document` (the object), `events` (the events
behind the value, from files only), then `text` (the same for people).
"""
