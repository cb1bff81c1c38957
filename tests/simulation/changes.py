"""Cases whose rules change on the way."""

from __future__ import annotations

from tests.simulation.cases import (
    EVENTS,
    VISITS,
    Case,
    Meaning,
    count,
    customers,
    ratio,
    spread,
    total,
)

FIRST = """
kpis:
  revenue: {from: sale, value: sum(amount), by: [region], window: 20s}
  visits: {from: visit, value: count(*), by: [region], window: 20s}
rules:
  big: {kpi: revenue, when: value > 5}
"""

BACKFILL = Case(
    "backfill",
    EVENTS
    + VISITS
    + FIRST.replace(
        "rules:",
        """\
  sales: {from: sale, value: count(*), by: [region], window: 40s every 20s, backfill: 90d}
  wide:
    from: sale
    value: max(amount) - min(amount)
    by: [region, customer]
    window: 1m every 20s
    backfill: 90d
  visitors: {from: visit, value: count(*), window: 20s, backfill: 90d}
rules:
  many: {kpi: sales, when: value > 1}""",
    ),
    {
        "revenue": Meaning("sale", total, 20_000, 20_000),
        "visits": Meaning("visit", count, 20_000, 20_000),
        "sales": Meaning("sale", count, 40_000, 20_000),
        "wide": Meaning("sale", spread, 60_000, 20_000, by_customer=True),
        "visitors": Meaning("visit", count, 20_000, 20_000, by_region=False),
    },
    before=EVENTS + VISITS + FIRST,
)
"""KPIs that are added on the way, and given their past. Of each seven runs, one is such."""


REDEFINED = Case(
    "redefined",
    EVENTS
    + VISITS
    + """
kpis:
  revenue: {from: sale, where: amount > 0, value: sum(amount), by: [region], window: 20s}
  visits: {from: visit, value: count(*), by: [region], window: 20s}
  sales: {from: sale, value: count(*), by: [region, customer], window: 20s}
  buyers: {from: sale, value: count(distinct customer), window: 40s every 20s}
  worth: {from: [revenue, visits], value: revenue / visits}
rules:
  few: {kpi: visits, when: value < 2, for: 20s}
  gone: {kpi: visits, no_data_for: 40s, per: kpi}
  big: {kpi: revenue, when: value > 5}
""",
    {
        "revenue": Meaning("sale", total, 20_000, 20_000, where=lambda e: e.amount > 0),
        "visits": Meaning("visit", count, 20_000, 20_000),
        "sales": Meaning("sale", count, 20_000, 20_000, by_customer=True),
        "buyers": Meaning("sale", customers, 40_000, 20_000, by_region=False),
    },
    {"worth": ("revenue", "visits", ratio)},
    before=EVENTS
    + VISITS
    + """
kpis:
  revenue: {from: sale, value: sum(amount), by: [region], window: 20s}
  visits: {from: visit, value: count(*), by: [region], window: 20s}
  sales: {from: sale, value: count(*), by: [region], window: 20s}
  buyers: {from: sale, value: count(*), window: 20s}
  worth: {from: [revenue, visits], value: revenue / visits}
rules:
  few: {kpi: visits, when: value < 2, for: 20s}
  gone: {kpi: visits, no_data_for: 40s, per: kpi}
  big: {kpi: revenue, when: value > 5}
""",
    redefined=frozenset({"revenue", "sales", "buyers", "worth"}),
)
"""KPIs whose where, dimensions, value and window change: exact from the first window on that begins
after the last worker has the new rules; the others throughout."""
