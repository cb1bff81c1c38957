"""`kpi-agent init`: a first contract, KPIs and rules, from a sample of events or from answers."""
