"""`kpi-agent diff`: what a change of the rules does."""
