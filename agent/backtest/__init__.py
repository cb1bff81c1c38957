"""`kpi-agent backtest`: every alert that the rules would have fired over history.

In: a plan, and files or topics. Out: episodes of alerts, beside those of other rules. Read
`runner`, then `report` (text and JSON), `page` (HTML) and `chart`.
"""
