"""The pages of a KPI, of a series and of alerts: what was, how it stands, and why.

In: the plan, the series of all workers, their past and the steps of alerts, from `AgentState`. Out:
HTML that says everything without a script, JSON, CSV. `kpi_pages` and `alert_pages` have the
handlers; read `past` (where the windows come from), `kpi_data` (what a page says), `marks` and
`bands` (what is drawn beside the values), `contribution`, `explained` (why), `axes` and `drawing`
(the chart as SVG).
"""
