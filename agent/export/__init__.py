"""What the agent shows: Prometheus metrics, the board, OpenMetrics history."""
