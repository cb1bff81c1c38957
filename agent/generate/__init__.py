"""Files for other systems, made from the plan: Prometheus rules, Grafana boards."""
