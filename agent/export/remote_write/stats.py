"""What becomes of the samples of remote write."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

REASONS = ("rejected", "too_old", "undeclared", "unreadable", "expired")


@dataclass(slots=True)
class RemoteWriteStats:
    """What becomes of samples; read by `/metrics`.

    `dropped` by reason: `rejected` and `too_old` by the receiver; `undeclared` of KPIs that are not
    in the rules any more; `unreadable` and `expired`, records of the values topic that are no
    values, or were deleted before they were sent.
    """

    sent: int = 0
    dropped: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(REASONS, 0)))
    failures: int = 0
    pending: int = 0
    """Records of the values topic that are not sent yet, of the partitions read here."""
    delivered_ms: int = 0
    """Everything that was published before is delivered, wall clock."""
