"""KPIs whose series are large: many panes, or sketches in each."""

from __future__ import annotations

import math

from agent.core.model.kpis import Kpi, PartialKind
from agent.core.model.plan import Plan
from agent.core.model.windows import FixedWindow
from agent.language.compile.shapes import MANY_HOPS
from agent.language.declared import Declared

LARGE_BYTES = 1_000_000
"""The size from which a series is reported: a thousand of them are a gigabyte."""

SKETCH_BYTES = {
    PartialKind.DISTINCT: 65_536,  # 8192 hashes of 8 bytes
    PartialKind.RETENTION: 65_536,
    PartialKind.QUANTILE: 16_384,  # buckets over some ten powers of ten
    PartialKind.QUANTILE_CONT: 16_384,
    PartialKind.MODE: 65_552,  # 4097 values with their counts
    PartialKind.SUM_DISTINCT: 65_552,
    PartialKind.MEAN_DISTINCT: 65_552,
}
NUMBER_BYTES = 20
"""Of the other partials: two numbers, written as nine bytes each."""


def check(declared: Declared, plan: Plan) -> None:
    """Warn of KPIs whose series may be large."""
    for name, kpi in plan.kpis.items():
        panes = _panes(kpi)
        size = panes * sum(SKETCH_BYTES.get(p.kind, NUMBER_BYTES) for p in kpi.partials)
        # Very many panes have a warning of their own.
        if kpi.contract is not None and size > LARGE_BYTES and panes <= MANY_HOPS:
            message = (
                f"the state of one series may take {size / 1e6:.1f} MB: {panes} panes of "
                f"{size // panes:,} bytes at most"
            )
            hint = "a longer hop makes fewer panes; max_state_bytes limits the state of all series"
            entry = declared.kpis[name]
            declared.report(entry, ("window",), message, hint, severity="warning")


def _panes(kpi: Kpi) -> int:
    """How many panes a series keeps."""
    windows = 2 if kpi.has_retention else 1
    if not isinstance(kpi.window, FixedWindow):
        return windows
    return windows * kpi.window.size_ms // math.gcd(kpi.window.size_ms, kpi.window.hop_ms)
