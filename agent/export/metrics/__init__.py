"""Prometheus metrics, and closed windows as history.

A scrape asks for the series of this worker and for the agent's own metrics (`exposition`): the many
series are written as text here (`kpi_series`), the others by prometheus_client (`agent_metrics`).
`history_file` writes closed windows as OpenMetrics, sorted on disk by `spool`. The names are in
`agent.core.model.metrics`.
"""
