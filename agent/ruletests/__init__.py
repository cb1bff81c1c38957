"""`kpi-agent test`: rule tests in YAML beside the rules, run through the very same core."""
