"""What the agent shows and sends to others than Kafka: metrics, the board, alerts.

A running agent's state comes in as one object (`agent_state`); text, pages and requests go out.

- `metrics/`: `/metrics`, and history for Prometheus
- `web/`: the server, the board and its data, health
- `remote_write/`: closed windows at their own times, to Prometheus and what speaks its protocol
- `svg_chart`, `templates`: what pages and reports are drawn with
- `outgoing_alerts` and `alertmanager`: which alerts Alertmanager should know of, and sending them
"""
