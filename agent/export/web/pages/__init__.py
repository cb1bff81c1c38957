"""The pages of KPIs, of series, of alerts and of producers.

In: the plan, the series of all workers, their past windows and the transitions of alerts, from
`AgentState`. Out: HTML that is complete without JavaScript, JSON, CSV. `handlers` has the routes.
Read `kpi_pages` with `past` (the windows), `kpi_data` (the data of a page), `marks` (what is drawn
besides the values), `contribution` (which series changed), `explained` (the states of rules), and
`axes` and `drawing` (the chart as SVG); then `alert_pages` and `producer_pages`.
"""
