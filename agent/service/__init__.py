"""`kpi-agent run`: both stages, the board and the exports in one process."""
