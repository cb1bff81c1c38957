"""Small rule sets with their meaning in plain Python, for the simulation.

A case's `meaning` says what each base KPI is worth over the events of a window; it shares nothing
with the agent but the words.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.core.model.plan import Plan
from agent.language.load import load

TOPICS = ("shop", "shop-eu")
LATENESS_MS = 10_000
IDLE_AFTER_MS = 12_000

EVENTS = """
version: 1
defaults: {lateness: 10s, idle_after: 12s, max_future: 1s}
events:
  sale:
    topic: [shop, shop-eu]
    time: at
    id: id
    fields: {amount: float, region: string, customer: string}
"""
VISITS = """  visit:
    topic: [shop, shop-eu]
    time: at
    fields: {region: string}
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One event that counts, in the words of the truth."""

    at_ms: int
    region: str | None
    amount: float
    customer: str


Events = Sequence[Event]
Value = float | None


@dataclass(frozen=True, slots=True)
class Meaning:
    """A base KPI in plain Python: over which events, by region or not, in which windows (ms)."""

    contract: str
    value: Callable[[Events], Value]
    size_ms: int
    hop_ms: int
    by_region: bool = True
    by_customer: bool = False
    where: Callable[[Event], bool] = lambda event: True
    expire_ms: int = 7 * 86_400_000
    slice_ms: int | None = None  # None: that of its case

    def dimensions_of(self, event: Event) -> tuple[str | None, ...]:
        """The series that an event belongs to."""
        region = (event.region,) if self.by_region else ()
        return (*region, event.customer) if self.by_customer else region


@dataclass(frozen=True, slots=True)
class Case:
    """A rule set and its meaning.

    - `derived`: by KPI, its two inputs and how they combine; `rolled_up`: by KPI, its input and
      what is made of its series of a region.
    - `before`: the rules that the run begins with, where they change on the way; `redefined`: the
      KPIs that mean something else by then.
    - `feeds`: where topics differ, each with the contracts of its events; partitions take turns.
    - `lateness_ms`: by contract, where it is its own."""

    name: str
    rules: str
    meaning: Mapping[str, Meaning]
    derived: Mapping[str, tuple[str, str, Callable[[Value, Value], Value]]] = field(
        default_factory=dict
    )
    rolled_up: Mapping[str, tuple[str, Callable[[Sequence[Value]], Value]]] = field(
        default_factory=dict
    )
    before: str | None = None
    redefined: frozenset[str] = frozenset()
    feeds: Sequence[tuple[str, tuple[str, ...]]] = ()
    lateness_ms: Mapping[str, int] = field(default_factory=dict)
    # Whether sources rest until they are overtaken, and then send what counts in open windows: of
    # its alerts, only those of these rules are what they are if nothing is overtaken.
    rests: bool = False
    settled_rules: frozenset[str] = frozenset()

    def slice_ms(self, meaning: Meaning) -> int:
        """The slice of a KPI."""
        return meaning.slice_ms or SLICES_MS[self.name]

    def lateness_of(self, contract: str) -> int:
        """The lateness of a contract (ms)."""
        return self.lateness_ms.get(contract, LATENESS_MS)

    @property
    def contracts(self) -> tuple[str, ...]:
        """The contracts that it declares."""
        return ("sale", "visit") if "visit" in self.rules else ("sale",)


SLICES_MS = {
    "tumbling": 60_000,
    "hopping": 20_000,
    "derived": 60_000,
    "current": 6_000,
    "coupled": 20_000,
    "benchmark": 20_000,
    "expiring": 10_000,
    "backfill": 20_000,
    "resting": 12_000,
    "apart": 20_000,
    "redefined": 20_000,
}


def total(events: Events) -> Value:
    return sum(e.amount for e in events) if events else None


def count(events: Events) -> Value:
    return float(len(events))


def spread(events: Events) -> Value:
    amounts = [e.amount for e in events]
    return max(amounts) - min(amounts) if amounts else None


def drift(events: Events) -> Value:
    in_time = sorted(events, key=lambda e: e.at_ms)
    return in_time[-1].amount - in_time[0].amount if in_time else None


def customers(events: Events) -> Value:
    return float(len({e.customer for e in events}))


def best(values: Sequence[Value]) -> Value:
    known = [value for value in values if value is not None]
    return max(known) - len(known) if known else None


def ratio(a: Value, b: Value) -> Value:
    return a / b if a is not None and b else None


CASES = (
    Case(
        "tumbling",
        EVENTS
        + """
kpis:
  revenue: {from: sale, value: sum(amount), by: [region], window: 1m}
  buyers: {from: sale, where: amount > 0, value: count(distinct customer), window: 2m every 1m}
rules:
  big: {kpi: revenue, when: value > 30, for: 1m, clear: value < 20}
  quiet:
    kpi: revenue
    no_data_for: {warning: 60s, critical: 90s}
    keep_firing_for: 20s
    flapping: 2 in 3m
    overrides: [{match: {region: eu}, no_data_for: 70s, min_history: 2m}]
maintenance:
  # Within every run, which begins at 08:54 in UTC.
  pause: {every: day, at: "08:56", for: 70s, kpis: [revenue]}
  move: {from: 2025-10-09T08:55:10, until: 2025-10-09T08:55:50, match: {region: eu}}
""",
        {
            "revenue": Meaning("sale", total, 60_000, 60_000),
            "buyers": Meaning(
                "sale", customers, 120_000, 60_000, by_region=False, where=lambda e: e.amount > 0
            ),
        },
    ),
    Case(
        "hopping",
        EVENTS
        + """
kpis:
  spread: {from: sale, value: max(amount) - min(amount), by: [region], window: 1m every 20s}
  drift: {from: sale, value: last(amount) - first(amount), window: 40s every 20s}
rules:
  wide: {kpi: spread, when: {warning: value > 5, critical: value > 30}, keep_firing_for: 20s}
  gone: {kpi: drift, no_data_for: 50s, per: kpi}
""",
        {
            "spread": Meaning("sale", spread, 60_000, 20_000),
            "drift": Meaning("sale", drift, 40_000, 20_000, by_region=False),
        },
    ),
    Case(
        "derived",
        EVENTS
        + VISITS
        + """
kpis:
  orders: {from: sale, value: count(*), by: [region], window: 1m}
  visits: {from: visit, value: count(*), by: [region], window: 1m}
  conversion: {from: [orders, visits], value: orders / visits}
rules:
  poor: {kpi: conversion, when: value < 1}
  gone: {kpi: visits, no_data_for: 2m, per: kpi}
""",
        {
            "orders": Meaning("sale", count, 60_000, 60_000),
            "visits": Meaning("visit", count, 60_000, 60_000),
        },
        {"conversion": ("orders", "visits", ratio)},
    ),
    Case(
        "current",
        EVENTS
        + """
kpis:
  revenue: {from: sale, value: sum(amount), by: [region], window: 1m}
  sales: {from: sale, value: count(*), by: [region], window: 1m}
rules:
  now: {kpi: revenue, on: current, when: value > 20, for: 12s}
  few: {kpi: sales, on: current, when: value < 2}
  quiet: {kpi: revenue, no_data_for: 90s}
""",
        {
            "revenue": Meaning("sale", total, 60_000, 60_000),
            "sales": Meaning("sale", count, 60_000, 60_000),
        },
    ),
)

COUPLED = Case(
    "coupled",
    EVENTS
    + VISITS
    + """
kpis:
  revenue:
    from: sale
    value: sum(amount)
    by: [region, customer]
    window: 20s
    target: {at_least: 5}
  visits: {from: visit, value: count(*), by: [region], window: 40s every 20s}
  sales: {from: sale, value: count(*), window: 20s}
rules:
  big: {kpi: revenue, when: {warning: value > 5, critical: value > 30}}
  few: {kpi: visits, when: value < 2, clear: value > 2, depends_on: [gone]}
  gone: {kpi: visits, no_data_for: 40s, per: kpi}
  quiet:
    kpi: revenue
    no_data_for: {info: 40s, warning: 60s}
    depends_on: [gone]
    overrides: [{match: {region: eu, customer: c1}, off: true}]
  odd:
    when: big and few or revenue and not quiet
    for: 20s
    keep_firing_for: 5s
    flapping: 2 in 90s
    overrides: [{match: {region: eu}, when: big, clear: not big and not few, severity: critical}]
  odder: {when: {critical: big.critical and odd, warning: odd and gone}, depends_on: [quiet]}
  still: {kpi: sales, no_data_for: 40s, per: kpi, depends_on: [quiet]}
""",
    {
        "revenue": Meaning("sale", total, 20_000, 20_000, by_customer=True),
        "visits": Meaning("visit", count, 40_000, 20_000),
        "sales": Meaning("sale", count, 20_000, 20_000, by_region=False),
    },
)
"""Rules over rules, over KPIs of different dimensions, and rules that depend on others."""

BENCHMARK = Case(
    "benchmark",
    EVENTS
    + VISITS
    + """
kpis:
  revenue:
    from: sale
    value: sum(amount)
    by: [region, customer]
    window: 20s
    target: {at_least: kpi(visits), warn: kpi(best)}
    overrides: [{match: {region: eu}, target: {at_least: kpi(best)}}]
  visits: {from: visit, value: count(*), by: [region], window: 20s}
  best: {from: [revenue], by: [region], value: max(revenue) - count(revenue)}
rules:
  short: {kpi: revenue, when: value < target, for: 20s}
  odd: {when: short and revenue}
""",
    {
        "revenue": Meaning("sale", total, 20_000, 20_000, by_customer=True),
        "visits": Meaning("visit", count, 20_000, 20_000),
    },
    rolled_up={"best": ("revenue", best)},
)
"""Targets that are another KPI's value, from another feed and rolled up from the KPI itself."""

CASES = (*CASES, COUPLED, BENCHMARK)

RESTING = Case(
    "resting",
    EVENTS
    + VISITS
    + """
kpis:
  revenue: {from: sale, value: sum(amount), by: [region], window: 2m}
  range: {from: sale, value: max(amount) - min(amount), by: [region, customer], window: 2m}
  buyers: {from: sale, where: amount > 0, value: count(distinct customer), window: 2m}
  visits: {from: visit, value: count(*), by: [region], window: 2m}
  worth: {from: [revenue, visits], value: revenue / visits}
rules:
  now: {kpi: revenue, on: current, when: value > 20, for: 24s}
  wide: {kpi: range, on: current, when: value > 5}
  few: {kpi: buyers, on: current, when: value < 2}
  some: {kpi: visits, on: current, when: value > 3}
  big: {kpi: revenue, when: {warning: value > 30, critical: value > 60}}
  dear: {kpi: worth, when: value > 9}
  quiet: {kpi: revenue, no_data_for: 60s}
  gone: {kpi: visits, no_data_for: 60s, per: kpi}
""",
    {
        "revenue": Meaning("sale", total, 120_000, 120_000),
        "range": Meaning("sale", spread, 120_000, 120_000, by_customer=True),
        "buyers": Meaning(
            "sale", customers, 120_000, 120_000, by_region=False, where=lambda e: e.amount > 0
        ),
        "visits": Meaning("visit", count, 120_000, 120_000),
    },
    {"worth": ("revenue", "visits", ratio)},
    rests=True,
    settled_rules=frozenset({"big", "dear"}),
)
"""Slices are sealed long before their windows close, while some sources are idle."""


EXPIRING = Case(
    "expiring",
    EVENTS
    + """
kpis:
  revenue: {from: sale, value: sum(amount), by: [region], window: 10s, expire_after: 45s}
rules:
  big: {kpi: revenue, when: value > 5}
  quiet: {kpi: revenue, no_data_for: 15s}
""",
    {"revenue": Meaning("sale", total, 10_000, 10_000, expire_ms=45_000)},
)
"""A series is forgotten and comes again. Without faults: a crash just then can bring it back."""


_plans: dict[str, Plan] = {}


def plan_of(case: Case, *, before: bool = False) -> Plan:
    """The compiled plan of a case; or of what it begins with, where that is another."""
    rules = case.before if before and case.before is not None else case.rules
    if rules not in _plans:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rules.yaml"
            path.write_text(rules, encoding="utf-8")
            plan = load(path)
        declared = {k.name: k.slice_ms for k in plan.kpis.values() if k.contract is not None}
        meant = {name: case.slice_ms(meaning) for name, meaning in case.meaning.items()}
        assert declared.items() <= meant.items(), declared
        _plans[rules] = plan
    return _plans[rules]
