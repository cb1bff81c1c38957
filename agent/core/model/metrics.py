"""The names of the exported metrics, for the exporter and for generated rules and dashboards.

These are the metrics that all KPIs share, and the agent's own. `kpis.metric_name` gives the names
of the metrics that each KPI has for itself.
"""

from __future__ import annotations

TARGET_STATE = "kpi_target_state"
ATTAINMENT = "kpi_target_attainment_ratio"
RULE_STATE = "kpi_rule_state"
OBJECTIVE_SCORE = "kpi_objective_score_ratio"
OBJECTIVE_CHANGE = "kpi_objective_change_ratio"
OBJECTIVE_STATE = "kpi_objective_state"
OBJECTIVE_INFO = "kpi_objective_info"
MAINTENANCE = "kpi_maintenance"
WINDOW_END = "kpi_window_end_timestamp_seconds"
WINDOW_EVENTS = "kpi_window_events"
INFO = "kpi_info"

SHARED_METRICS = frozenset(
    {
        TARGET_STATE,
        ATTAINMENT,
        RULE_STATE,
        OBJECTIVE_SCORE,
        OBJECTIVE_CHANGE,
        OBJECTIVE_STATE,
        OBJECTIVE_INFO,
        MAINTENANCE,
        WINDOW_END,
        WINDOW_EVENTS,
        INFO,
    }
)
"""The metrics that all KPIs share. No KPI's own metric may have one of these names, or a name that
begins with `AGENT_PREFIX`."""

AGENT_PREFIX = "kpi_agent_"
BUILD_INFO = "kpi_agent_build_info"
SERIES = "kpi_agent_series"
LEADER = "kpi_agent_leader"
READY = "kpi_agent_ready"
RECORDS = "kpi_agent_records_total"
LAG = "kpi_agent_lag_records"
PAUSED_PARTITIONS = "kpi_agent_paused_partitions"
RECORDS_MISSED = "kpi_agent_records_missed_total"
RECORDS_TRUNCATED = "kpi_agent_records_truncated_total"
FRAMES_LAG = "kpi_agent_lag_frames"
WATERMARK = "kpi_agent_watermark_timestamp_seconds"
FLUSH_SECONDS = "kpi_agent_flush_seconds"
CLOSE_SECONDS = "kpi_agent_close_seconds"
FOLD_SECONDS = "kpi_agent_fold_seconds"
FRAMES_SENT = "kpi_agent_frames_sent_total"
FRAMES_APPLIED = "kpi_agent_frames_applied_total"
FRAMES_IGNORED = "kpi_agent_frames_ignored_total"
LATE_PARTIALS = "kpi_agent_late_partials_total"
TABLE_ROWS = "kpi_agent_table_rows"
DROPPED_SERIES = "kpi_agent_dropped_series_total"
RELOADS = "kpi_agent_reloads_total"
LAST_RELOAD = "kpi_agent_last_reload_timestamp_seconds"
ERRORS = "kpi_agent_errors_total"
ALERT_DELIVERY_UP = "kpi_agent_alert_delivery_up"
ALERT_FAILURES = "kpi_agent_alert_delivery_failures_total"
LAST_MERGE = "kpi_agent_last_merge_timestamp_seconds"
START = "kpi_agent_start_timestamp_seconds"
LATE_ROWS = "kpi_agent_late_rows_total"
SHORTENED_SERIES = "kpi_agent_shortened_series_total"
FIELD_NULLS = "kpi_agent_field_nulls_total"
FIELD_WRONG_TYPES = "kpi_agent_field_wrong_types_total"
FIELD_FAILED_CASTS = "kpi_agent_field_failed_casts_total"
LOOKUP_MISSES = "kpi_agent_lookup_misses_total"
LOOKUP_UNREADABLE_KEYS = "kpi_agent_lookup_unreadable_keys"
BACKFILL_RECORDS = "kpi_agent_backfill_records"
BACKFILL_RATIO = "kpi_agent_backfill_ratio"
ALERTS_DELIVERED = "kpi_agent_alerts_delivered_total"
REMOTE_WRITE_SAMPLES = "kpi_agent_remote_write_samples_total"
REMOTE_WRITE_DROPPED = "kpi_agent_remote_write_dropped_total"
REMOTE_WRITE_FAILURES = "kpi_agent_remote_write_failures_total"
REMOTE_WRITE_PENDING = "kpi_agent_remote_write_pending_records"
REMOTE_WRITE_DELIVERED = "kpi_agent_remote_write_delivered_timestamp_seconds"
