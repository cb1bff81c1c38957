"""The page about scaling: its queries are PromQL over metrics that exist, its tables are those of
the measured costs."""

from __future__ import annotations

import re

import promql_parser
import pytest

from agent.sizing.estimate import estimate
from agent.sizing.report import rows
from benchmarks import cost_table
from benchmarks.report import table
from tests.conftest import ROOT
from tests.docs.test_operations import first_cells, section

PAGE = (ROOT / "docs" / "scaling.md").read_text()
QUERIES = re.findall(r"^```promql\n(.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)


def test_there_are_queries_to_test() -> None:
    assert len(QUERIES) >= 8


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_page_is_promql_over_metrics_that_the_agent_exports(query: str) -> None:
    promql_parser.parse(query)
    exported = set(re.findall(r"`(kpi_agent_\w+)", " ".join(first_cells(section("Metrics")))))
    named = set(re.findall(r"kpi_agent_\w+", query))
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in named}
    assert plain <= exported
    assert named or "process_" in query


def test_the_tables_of_the_page_are_those_of_the_measured_costs() -> None:
    measured = cost_table.measured()
    assert measured is not None
    costs = cost_table.costs_of(measured)
    needed = estimate(cost_table.EXAMPLE, costs, **cost_table.EXAMPLE_PARTITIONS)
    assert table(("what", "costs"), cost_table.cost_rows(measured)) in PAGE
    assert table(("what", "how much", "why"), rows(needed, costs)) in PAGE
