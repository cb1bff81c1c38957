"""Prometheus metrics, and closed windows as history.

A scrape returns the series of this worker and the agent's own metrics (`exposition`): the many
series are written as text here (`kpi_series`, with `label_cache` and `text_format`), the others by
prometheus_client (`agent_metrics`). `closed_samples` makes the samples of closed windows;
`history_file` writes closed windows as OpenMetrics, sorted on disk by `spool`. The names are in
`agent.core.model.metrics`.
"""
