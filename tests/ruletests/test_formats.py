"""Rule tests of events whose topics hold other formats than JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import main

RULES = """version: 1
events:
  order: {{topic: shop, {format}, time: at, fields: {{amount: float}}}}
kpis:
  revenue: {{from: order, value: sum(amount), window: 1h}}
"""
TEST = """version: 1
start: 2025-03-03 00:00
tests:
  it adds up:
    events:
      - {type: order, at: 2025-03-03 09:00, amount: 100}
      - {type: order, at: 2025-03-03 09:30, amount: 20}
    expect:
      windows:
        revenue:
          2025-03-03 10:00: {value: 120, events: 2}
"""


@pytest.mark.parametrize(
    "format",
    [
        "format: avro, type_field: none",
        "format: protobuf, type_field: none",
        "format: json, schema: registry, type_field: none",
        "format: avro, type_field: {record: schema}, type: shop.Order",
    ],
)
def test_events_are_given_as_the_json_that_records_mean(
    format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop.yaml").write_text(RULES.format(format=format))
    (tmp_path / "shop_test.yaml").write_text(TEST)
    assert main(["test", str(tmp_path)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "time",
    [
        "{path: log.date, time_of_day: log.time}",
        '{path: day, time_of_day: clock, format: "%d %b %Y %H%M%S"}',
        '{path: at, format: "%Y/%m/%d %H:%M:%S%.3f"}',
        '[{path: at, format: "%d/%b/%Y:%H:%M:%S %z"}, record]',
        *(f"{{path: at, unit: {unit}}}" for unit in ("s", "ms", "us", "ns")),
        "{header: at}",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_the_time_of_an_event_is_written_as_its_contract_says(
    time: str, zone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = RULES.format(format=f"type_field: none, timezone: {zone}")
    (tmp_path / "shop.yaml").write_text(rules.replace("time: at", f"time: {time}"))
    (tmp_path / "shop_test.yaml").write_text(TEST)
    assert main(["test", str(tmp_path)]) == 0, capsys.readouterr().out


def test_an_event_whose_time_is_a_day_is_at_its_midnight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = RULES.format(format="type_field: none").replace("1h", "1d")
    (tmp_path / "shop.yaml").write_text(rules.replace("time: at", "time: {path: at, unit: day}"))
    (tmp_path / "shop_test.yaml").write_text(TEST.replace("2025-03-03 10:00", "2025-03-04 00:00"))
    assert main(["test", str(tmp_path)]) == 0, capsys.readouterr().out
