"""`kpi-agent demo`: an example company, or a real retailer's year, through the real agent.

In: nothing. Out: a running agent on an embedded broker, with its board. Read `runner`, then `story`
and `generator` (the company's events), `retail`, `sender`, `screen` and `shipped`.
"""
