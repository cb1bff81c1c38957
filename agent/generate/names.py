"""Selectors of series for generated rules and boards, and their aggregation over workers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

JOB = "kpi-agent"
"""The scrape job of the agents, in the generated prometheus.yml."""


HELD_RULE_STATE = "kpi:kpi_rule_state:max"
"""A recorded series: `kpi_rule_state` of each series, whichever worker exports it."""
HELD_OBJECTIVE_STATE = "kpi:kpi_objective_state:max"
"""A recorded series: `kpi_objective_state`, whichever worker is the leader."""

GAP = "10m"
"""How long a series may be missing, as while its worker restarts, before its alert ends. Alerts
that agents send themselves have as long (`agent/export/alertmanager.py`)."""
GAP_OF_SENDERS = "15m"
"""How long after the last scrape of agents that send alerts themselves Prometheus sends none:
longer than `GAP`, so that Prometheus never takes over one of their alerts."""

FIRING = 2
"""`kpi_rule_state` of a firing alert."""
INHIBITED = 3
"""`kpi_rule_state` of an inhibited alert."""
MISSED = 3
"""`kpi_objective_state` of a missed objective."""

WORKER_LABELS = ("instance", "pod")
"""The labels by which Prometheus distinguishes the workers."""
SCRAPE_LABELS = (*WORKER_LABELS, "container", "endpoint", "namespace", "service")
"""The labels that a scrape by the Prometheus operator adds to every series, besides `job`."""


def on(external: Iterable[str] = (), *labels: str) -> str:
    """`on (kpi, environment)`: the labels that the sides of a binary operator are matched on."""
    return f"on ({', '.join((*labels, *external))})"


def chosen(external: Iterable[str]) -> list[str]:
    """The matchers of the environment that is selected on a board."""
    return [f'{name}=~"${name}"' for name in external]


def matching(metric: str, matchers: Iterable[str]) -> str:
    """`metric{matcher,…}`."""
    inside = ",".join(matchers)
    return f"{metric}{{{inside}}}" if inside else metric


def equal_to(labels: Iterable[tuple[str, str]]) -> list[str]:
    """Matchers for labels with these values."""
    return [f"{name}={quoted(value)}" for name, value in labels]


def selector(metric: str, labels: Iterable[tuple[str, str]] = ()) -> str:
    """`metric{name="value",…}`."""
    return matching(metric, equal_to(labels))


def one_of_workers(query: str, dimensions: Iterable[str] = ()) -> str:
    """A query's series, whichever worker exports them.

    While a series is reassigned, two workers may export it for a scrape or two: the larger value is
    used, and the series keeps its identity. Labels of the environment (namespace, cluster) are
    kept, and so is a KPI's dimension that is named like a label of workers.
    """
    drop = ", ".join(label for label in WORKER_LABELS if label not in set(dimensions))
    return f"max without ({drop}) ({query})"


def urgency(rule_state: str) -> str:
    """The urgency of alerts: 2 firing, 1 pending, 0 all others."""
    return f"({rule_state}) % {INHIBITED}"


def through_gaps(recorded: str) -> str:
    """A recorded series, or its last value while no worker exports it."""
    return f"last_over_time({recorded}[{GAP}])"


def labeled(query: str, label: str, source: str, values: Mapping[str, str]) -> str:
    """A query with an additional label: for each value of the label `source`, its value in
    `values`."""
    for value, text in sorted(values.items()):
        replacement = quoted(text.replace("$", "$$"))
        pattern = quoted(re.escape(value))
        query = f'label_replace({query}, "{label}", {replacement}, "{source}", {pattern})'
    return query


def quoted(text: str) -> str:
    """A string literal of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
