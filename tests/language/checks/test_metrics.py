"""Names of metrics: each is one KPI's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages

OTHER = "{from: sale, value: sum(amount), window: 1h"


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("sales", "usd", []),
        (
            "sales_eur",
            None,
            [
                "its metric kpi_sales_eur (the closed value) is also that of 'sales' "
                "(the closed value)"
            ],
        ),
        (
            "sales_current",
            "eur",
            [
                "its metric kpi_sales_current_eur (the closed value) is also that of 'sales' "
                "(the current value)"
            ],
        ),
        (
            "rule_state",
            None,
            ["its metric kpi_rule_state (the closed value) would be one of the agent's own"],
        ),
        (
            "agent_sales",
            None,
            ["its metric kpi_agent_sales (the closed value) would be one of the agent's own"],
        ),
        (
            "sales_count",
            None,
            ["its metric kpi_sales_count ends in _count, which Prometheus keeps for other types"],
        ),
    ],
)
def test_a_metric_is_of_one_kpi(
    name: str, unit: str | None, expected: list[str], tmp_path: Path
) -> None:
    changes = f"kpis: {{{name}: {OTHER}{f', unit: {unit}' if unit else ''}}}}}"
    assert messages(tmp_path, changes) == expected
