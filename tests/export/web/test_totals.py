"""Totals over the series of a KPI."""

from __future__ import annotations

from dataclasses import replace

from agent.export.web.board import Totals
from tests.export.invented import COMPANY, MINUTE_MS, NOW_MS, REVENUE, plan, view

END_MS = NOW_MS - 4_000


def test_a_total_is_of_one_window_while_the_partitions_close_it() -> None:
    behind = view(REVENUE, ("Germany",), 20.0, end_ms=END_MS - MINUTE_MS)
    ahead = view(REVENUE, ("Ireland",), 300.0, end_ms=END_MS, history=[100.0, 300.0])
    of = plan([REVENUE])
    assert Totals().text(of, REVENUE, [behind, ahead]) == "£120"
    closed = view(REVENUE, ("Germany",), 50.0, end_ms=END_MS, history=[20.0, 50.0])
    assert Totals().text(of, REVENUE, [closed, ahead]) == "£350"


def test_a_series_that_ended_long_ago_holds_no_total_back() -> None:
    old = view(REVENUE, ("Germany",), 20.0, end_ms=END_MS - 60 * MINUTE_MS)
    new = view(REVENUE, ("Ireland",), 300.0, end_ms=END_MS)
    assert Totals().text(plan([REVENUE]), REVENUE, [old, new]) == "£300"


def test_a_kpi_of_one_series_has_no_total() -> None:
    assert Totals().text(COMPANY, REVENUE, [view(REVENUE, ("Ireland",), 300.0)]) == ""


def test_a_kpi_that_hides_small_groups_has_no_total() -> None:
    people = replace(REVENUE, minimum_people=5)
    series = [view(people, (country,), 300.0) for country in ("Germany", "Ireland")]
    assert Totals().text(plan([people]), people, series) == ""
