"""All outputs of the agent besides Kafka: metrics, the board, alerts.

In: a running agent's state, as one object (`agent_state`). Out: text, pages and requests.

- `metrics/`: `/metrics`, and history for Prometheus
- `web/`: the server, the board and its data, health
- `remote_write/`: closed windows at their own times, to Prometheus and compatible receivers
- `svg_chart`, `templates`: what pages and reports are drawn with
- `outgoing_alerts` and `alertmanager`: which alerts Alertmanager should know of, and sending them
"""
