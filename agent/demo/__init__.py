"""`kpi-agent demo`: a made-up company, or a real retailer's year, through the real agent."""
