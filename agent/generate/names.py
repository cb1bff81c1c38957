"""The series that the generated rules and boards query, and how they are merged over workers.

`agent/export/metrics/exposition.py` is what writes these series; a test holds the two lists
together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agent.core.model.plan import Kpi, metric_name

JOB = "kpi-agent"
"""The scrape job of the agents, in the generated prometheus.yml."""

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

BUILD_INFO = "kpi_agent_build_info"
SERIES = "kpi_agent_series"
LEADER = "kpi_agent_leader"
READY = "kpi_agent_ready"
RECORDS = "kpi_agent_records_total"
LAG = "kpi_agent_lag_records"
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

HELD_RULE_STATE = "kpi:kpi_rule_state:max"
"""Recorded: `kpi_rule_state` of each series, whichever worker holds it."""
HELD_OBJECTIVE_STATE = "kpi:kpi_objective_state:max"
"""Recorded: `kpi_objective_state`, whichever worker is the leader."""

GAP = "10m"
"""For so long a series may be missing, as while its worker is restarted, before its alert ends.
`agent/export/alertmanager.py` gives the alerts that agents send themselves as long."""
GAP_OF_SENDERS = "15m"
"""For so long after the last scrape of agents that send their alerts themselves Prometheus sends
none: longer than `GAP`, so that it never takes up an alert of theirs."""

FIRING = 2
"""`kpi_rule_state` of a firing alert."""
MISSED = 3
"""`kpi_objective_state` of an objective that is missed."""

WORKER_LABELS = ("instance", "pod")
"""The labels by which Prometheus distinguishes the workers."""
SCRAPE_LABELS = (*WORKER_LABELS, "container", "endpoint", "namespace", "service")
"""The labels that a scrape by the Prometheus operator adds to every series, beside `job`."""


def value_metric(kpi: Kpi) -> str:
    """The last closed window's value."""
    return kpi.metric


def current_metric(kpi: Kpi) -> str:
    """The value of the window that is still open."""
    return metric_name(kpi.name, kpi.unit, "current")


def target_metric(kpi: Kpi) -> str:
    """The bounds that apply to each series, by `band`."""
    return metric_name(kpi.name, kpi.unit, "target")


def on(external: Iterable[str] = (), *labels: str) -> str:
    """`on (kpi, environment)`: by which labels two sides of an expression belong together."""
    return f"on ({', '.join((*labels, *external))})"


def chosen(external: Iterable[str]) -> list[str]:
    """The matchers by which a board shows the environment that is chosen on it."""
    return [f'{name}=~"${name}"' for name in external]


def matching(metric: str, matchers: Iterable[str]) -> str:
    """`metric{matcher,…}`."""
    inside = ",".join(matchers)
    return f"{metric}{{{inside}}}" if inside else metric


def equal_to(labels: Iterable[tuple[str, str]]) -> list[str]:
    """Matchers for labels of these values."""
    return [f"{name}={quoted(value)}" for name, value in labels]


def selector(metric: str, labels: Iterable[tuple[str, str]] = ()) -> str:
    """`metric{name="value",…}`."""
    return matching(metric, equal_to(labels))


def one_of_workers(query: str, dimensions: Iterable[str] = ()) -> str:
    """The series whichever worker holds it.

    While a series changes hands two workers may export it for a scrape or two: the larger one is
    taken, and the series keeps its identity. Labels of the environment (namespace, cluster) stay. A
    KPI's own dimension is never dropped, even when it is called like a worker's label.
    """
    drop = ", ".join(label for label in WORKER_LABELS if label not in set(dimensions))
    return f"max without ({drop}) ({query})"


def through_gaps(recorded: str) -> str:
    """A recorded series as it is, or as it last was while no worker exports it."""
    return f"last_over_time({recorded}[{GAP}])"


DATA_SOURCE_VARIABLE = "datasource"
"""The boards' variable for the Prometheus that they read."""


def variable_name(dimension: str) -> str:
    """The boards' variable for a dimension: of its name, and never that of the data source."""
    reserved = dimension.rstrip("_") == DATA_SOURCE_VARIABLE
    return f"{dimension}_" if reserved else dimension


def labeled(query: str, label: str, source: str, values: Mapping[str, str]) -> str:
    """The query with one label more: for each value of the label `source`, what `values` says."""
    for value, text in sorted(values.items()):
        replacement = quoted(text.replace("$", "$$"))
        pattern = quoted(re.escape(value))
        query = f'label_replace({query}, "{label}", {replacement}, "{source}", {pattern})'
    return query


def quoted(text: str) -> str:
    """A PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
