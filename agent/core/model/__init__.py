"""What everything speaks about: contracts, KPIs, rules, the plan, windows and results."""
