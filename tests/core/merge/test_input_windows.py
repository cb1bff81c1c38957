"""What a KPI over KPIs knows of an input that names no window: it has no events there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.oracle.answers import answered

RULES = """
version: 1
events:
  visit:
    topic: shop
    time: at
    lateness: 0s
    fields: {region: string, channel: string, bought: boolean}
kpis:
  orders: {from: visit, where: bought, value: count(*), by: [region, channel], window: 5m every 1m}
  visits: {from: visit, value: count(*), by: [channel, region], window: 5m every 1m}
  conversion: {from: [orders, visits], value: orders / visits}
  conversion_turned: {from: [visits, orders], value: orders / visits}
  orders_each: {from: [orders, visits], by: [], value: avg(orders)}
"""
EVENTS = """\
{"type": "visit", "at": "2024-01-01T00:00:30Z", "region": "emea", "channel": "web", "bought": true}
{"type": "visit", "at": "2024-01-01T00:07:30Z", "region": "emea", "channel": "web", "bought": false}
"""


@pytest.mark.parametrize("kpi", ["conversion", "conversion_turned", "orders_each"])
def test_an_open_window_without_orders_is_of_no_orders(tmp_path: Path, kpi: str) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.yaml").write_text(RULES)
    (tmp_path / "events.ndjson").write_text(EVENTS)
    windows = answered(tmp_path / "rules", tmp_path / "events.ndjson").windows[kpi]
    assert [window.value for window in windows.values() if window.open] == [0.0] * 5
