from __future__ import annotations

import pytest

from agent.core.model.kpis import matches, metric_name


@pytest.mark.parametrize(
    ("name", "unit", "variant", "metric"),
    [
        ("revenue", "eur", "", "kpi_revenue_eur"),
        ("revenue", None, "", "kpi_revenue"),
        ("revenue", "eur", "target", "kpi_revenue_target_eur"),
        ("task_minutes", "minutes", "", "kpi_task_minutes"),
        ("task_minutes", "minutes", "current", "kpi_task_current_minutes"),
    ],
)
def test_a_metric_has_the_kpis_name_and_its_unit_once(
    name: str, unit: str | None, variant: str, metric: str
) -> None:
    assert metric_name(name, unit, variant) == metric


def test_a_match_names_some_dimensions_and_all_of_them_must_be_equal() -> None:
    by, series = ("region", "channel"), ("emea", None)
    assert matches(by, series, {})
    assert matches(by, series, {"region": "emea"})
    assert matches(by, series, {"region": "emea", "channel": None})
    assert not matches(by, series, {"region": "emea", "channel": "web"})


def test_true_and_one_are_different_values_of_a_dimension() -> None:
    assert not matches(("gift",), (1,), {"gift": True})
    assert matches(("gift",), (True,), {"gift": True})
