"""`kpi-agent backtest`: rules over history."""
