"""`kpi-agent explain`: how a rule stands, and why."""
