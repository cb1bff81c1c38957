"""What a KPI over KPIs knows of an input that names no window: it has no events there."""

from __future__ import annotations

from pathlib import Path

from tests.oracle.answers import answered

RULES = """
version: 1
events:
  visit: {topic: shop, time: at, lateness: 0s, fields: {region: string, bought: boolean}}
kpis:
  orders: {from: visit, where: bought, value: count(*), by: [region], window: 5m every 1m}
  visits: {from: visit, value: count(*), by: [region], window: 5m every 1m}
  conversion: {from: [orders, visits], value: orders / visits}
"""
EVENTS = """\
{"type": "visit", "at": "2024-01-01T00:00:30Z", "region": "emea", "bought": true}
{"type": "visit", "at": "2024-01-01T00:07:30Z", "region": "emea", "bought": false}
"""


def test_an_open_window_without_orders_converts_none_of_its_visits(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.yaml").write_text(RULES)
    (tmp_path / "events.ndjson").write_text(EVENTS)
    windows = answered(tmp_path / "rules", tmp_path / "events.ndjson").windows["conversion"]
    values = [window.value for window in windows.values() if window.open]
    assert values == [0.0] * 5
