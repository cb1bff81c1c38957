"""The effects of a rule change.

In: two plans as outlines. Out: what is added, removed and changed, and the effects on metrics,
alerts and state. Read `outline` (a plan as text), `describe` (one declaration as text), `diff`,
then `inventory` (the series and alerts of a running agent).
"""
