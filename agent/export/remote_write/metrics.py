"""Metrics of remote write."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from agent.core.model import metrics

REASONS = ("rejected", "too_old", "undeclared", "unreadable", "expired")


class RemoteWriteMetrics:
    """Counts of sent and dropped samples. Agents without a receiver do not have them.

    `dropped` has a reason: `rejected` and `too_old` by the receiver; `undeclared`, of KPIs that are
    not in the rules any more; `unreadable` and `expired`, records of the values topic that are not
    values, or were deleted before they were sent.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent = Counter(
            metrics.REMOTE_WRITE_SAMPLES, "Samples that the receiver has acknowledged.",
            registry=registry,
        )  # fmt: skip
        self.dropped = Counter(
            metrics.REMOTE_WRITE_DROPPED,
            "Samples that the receiver refused, and records of the values topic without samples.",
            labelnames=["reason"], registry=registry,
        )  # fmt: skip
        self.failures = Counter(
            metrics.REMOTE_WRITE_FAILURES, "Failed requests; they are retried.",
            registry=registry,
        )  # fmt: skip
        self.pending = Gauge(
            metrics.REMOTE_WRITE_PENDING, "Records of the values topic that are not sent yet.",
            registry=registry,
        )  # fmt: skip
        self.delivered = Gauge(
            metrics.REMOTE_WRITE_DELIVERED, "Everything published before this time is delivered.",
            registry=registry,
        )  # fmt: skip
        self.delivered.set_to_current_time()
        for reason in REASONS:
            self.dropped.labels(reason)
