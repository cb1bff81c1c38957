"""A backtest over a real retailer's year, against a plain computation of the same."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.backtest.runner import over_files, warm_up
from agent.language.load import load
from agent.replay.runner import sources
from tests.conftest import ROOT

YEAR = ROOT / "examples" / "retail" / "retail-invoices.ndjson.gz"
LONDON = ZoneInfo("Europe/London")
NOW_MS = 1_800_000_000_000
RULES = """\
version: 1
events:
  invoice.placed:
    topic: invoices
    time: occurred_at
    timezone: Europe/London
    lateness: 1d
    id: id
    fields: {units: integer}
kpis:
  units_sold:
    unit: units
    from: invoice.placed
    value: sum(units)
    window: day
    timezone: Europe/London
    expire_after: 60d    # longer than the shop's holidays
rules:
  slow_day: {kpi: units_sold, when: value < 12000, for: 2d}
  great_day: {kpi: units_sold, when: value > 40000, clear: value < 25000}
"""


@pytest.fixture(scope="module")
def daily() -> dict[int, float]:
    """Units by the end of each London day that had an invoice, in ms."""
    days: dict[str, float] = defaultdict(float)
    seen = set()
    with gzip.open(YEAR, "rt") as lines:
        for line in lines:
            event = json.loads(line)
            if event["type"] == "invoice.placed" and event["id"] not in seen:
                seen.add(event["id"])
                days[event["occurred_at"][:10]] += event["units"]
    ends = {}
    for day, units in days.items():
        after = datetime.fromisoformat(day).replace(tzinfo=LONDON) + timedelta(days=1)
        ends[int(after.timestamp() * 1000)] = units
    return dict(sorted(ends.items()))


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "retail.yaml"
    path.write_text(RULES)
    return path


def length_of_day(end: int) -> int:
    """The length of the London day that ends then, in ms: 23, 24 or 25 hours."""
    after = datetime.fromtimestamp(end / 1000, LONDON).replace(tzinfo=None)
    start = (after - timedelta(days=1)).replace(tzinfo=LONDON)
    return end - int(start.timestamp() * 1000)


def expected(daily: dict[int, float], slow: bool) -> list[tuple[int, int, int | None]]:
    """The episodes, by going through the days. Days without invoices have no value: they do not
    count towards `for`."""
    out: list[tuple[int, int, int | None]] = []
    began: int | None = None
    held = 0
    fired: int | None = None
    last = max(daily)
    for end, units in daily.items():
        if end == last:  # the last day never closes: nothing comes after it
            break
        holds = units < 12_000 if slow else units > 40_000
        clears = not holds if slow else units < 25_000
        if fired is None:
            if not holds or began is None:
                began, held = (end if holds else None), 0
            else:
                held += length_of_day(end)
            if began is not None and (not slow or held >= 2 * 86_400_000):
                fired = end
        elif clears:
            assert began is not None
            out.append((began, fired, end))
            began = fired = None
    if fired is not None and began is not None:
        out.append((began, fired, None))
    return out


def test_the_episodes_of_a_year_are_those_of_a_plain_computation(
    rules: Path, daily: dict[int, float]
) -> None:
    plan = load(rules)
    tested = over_files(plan, sources(plan, [str(YEAR)]), NOW_MS, None, None)
    for rule, slow in (("slow_day", True), ("great_day", False)):
        shown = [(e.began_ms, e.fired_ms, e.resolved_ms) for e in tested.history.of_rule(rule)]
        assert shown == expected(daily, slow)
        assert shown
    for episode in tested.history.episodes:
        last = episode.resolved_ms or tested.history.until_ms + 1
        within = [u for end, u in daily.items() if episode.began_ms <= end < last]
        assert episode.peak in (min(within), max(within))


def test_a_part_of_the_year_has_the_episodes_that_fire_in_it(rules: Path) -> None:
    plan = load(rules)
    files = sources(plan, [str(YEAR)])
    whole = over_files(plan, files, NOW_MS, None, None)
    since, until = 1_300_000_000_000, 1_310_000_000_000
    part = over_files(plan, files, NOW_MS, since, until)
    assert part.read.records < whole.read.records  # the rest of the file is not read
    assert [(e.rule, e.fired_ms) for e in part.history.episodes] == [
        (e.rule, e.fired_ms) for e in whole.history.episodes if since <= e.fired_ms <= until
    ]
    assert part.history.weeks == pytest.approx((until - since) / (7 * 86_400_000))


def test_a_topic_that_has_ended_does_not_hold_back_alerts_over_another(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("""\
version: 1
events:
  sold: {topic: tills, time: at, fields: {amount: float}}
  refunded: {topic: returns, time: at, fields: {amount: float}}
kpis:
  revenue: {from: sold, value: sum(amount), window: 10m}
  refunds: {from: refunded, value: sum(amount), window: 10m}
  net: {from: [revenue, refunds], value: "coalesce(revenue, 0) - coalesce(refunds, 0)"}
rules:
  poor: {kpi: net, when: value < 10}
""")
    sold = [
        {"type": "sold", "at": f"2025-03-03T09:{minute:02}:00Z", "amount": 10 if minute < 20 else 1}
        for minute in range(0, 60, 5)
    ]
    (tmp_path / "tills.ndjson").write_text("\n".join(map(json.dumps, sold)))
    (tmp_path / "returns.ndjson").write_text(
        '{"type": "refunded", "at": "2025-03-03T09:01:00Z", "amount": 1}'
    )
    plan = load(tmp_path / "rules.yaml")
    files = [f"{topic}={tmp_path / topic}.ndjson" for topic in ("tills", "returns")]
    tested = over_files(plan, sources(plan, files), NOW_MS, None, None)
    (episode,) = tested.history.of_rule("poor")
    assert datetime.fromtimestamp(episode.fired_ms / 1000, UTC).strftime("%H:%M") == "09:30"
    assert (episode.resolved_ms, episode.peak) == (None, 2)


def test_the_warm_up_holds_two_windows_and_the_longest_wait(rules: Path) -> None:
    day = 86_400_000
    # The longest day has 25 hours; the lateness is a day.
    assert warm_up(load(rules)) == 2 * 25 * 3_600_000 + day + 2 * day


def test_the_warm_up_holds_what_rules_look_back_on(tmp_path: Path) -> None:
    looks = "  fell: {kpi: units_sold, when: change('4 weeks') < -50%, min_history: 3w}\n"
    (tmp_path / "retail.yaml").write_text(RULES + looks)
    (tmp_path / "plain.yaml").write_text(RULES)
    more = warm_up(load(tmp_path / "retail.yaml")) - warm_up(load(tmp_path / "plain.yaml"))
    assert more >= 28 * 86_400_000
