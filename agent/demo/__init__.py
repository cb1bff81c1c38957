"""`kpi-agent demo`: a company that does not exist, or a real retailer's year, through the real agent."""
