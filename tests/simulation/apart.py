"""A case whose contracts have little in common."""

from __future__ import annotations

from tests.simulation.cases import EVENTS, Case, Meaning, count, drift, ratio, total

APART = Case(
    "apart",
    EVENTS.replace("[shop, shop-eu]", "shop")
    + """  visit:
    topic: [shop, web]
    time: at
    lateness: 30s
    idle_after: 20s
    fields: {region: string}
kpis:
  revenue: {from: sale, value: sum(amount), by: [region], window: 1m}
  drift: {from: sale, value: last(amount) - first(amount), window: 40s every 20s}
  visits: {from: visit, value: count(*), by: [region], window: 1m}
  recent: {from: visit, value: count(*), by: [region], window: 30s every 10s}
  worth: {from: [revenue, visits], value: revenue / visits}
rules:
  jump: {kpi: revenue, when: change('previous') > 50%}
  slope: {kpi: recent, when: trend('3m') > 10% per minute}
  dear: {kpi: worth, when: value > 9, for: 1m}
  few: {kpi: recent, on: current, when: value < 2}
  gone: {kpi: visits, no_data_for: 90s, per: kpi}
  odd: {when: jump and few, for: 20s}
""",
    {
        "revenue": Meaning("sale", total, 60_000, 60_000, slice_ms=60_000),
        "drift": Meaning("sale", drift, 40_000, 20_000, by_region=False),
        "visits": Meaning("visit", count, 60_000, 60_000, slice_ms=60_000),
        "recent": Meaning("visit", count, 30_000, 10_000, slice_ms=1_000),
    },
    {"worth": ("revenue", "visits", ratio)},
    feeds=(("shop", ("sale", "visit")), ("web", ("visit",))),
    lateness_ms={"visit": 30_000},
)
"""Contracts with topics, lateness and slices of their own, and rules that look at the history."""
