"""What a change of the rules does.

In: two plans as outlines. Out: what is added, removed and changed, and what becomes of metrics,
alerts and state. Read `outline` (a plan as text that can be sent), `describe` (one thing in words),
`diff`, then `inventory` (what a running agent holds).
"""
