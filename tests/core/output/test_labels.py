from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.output.labels import (
    check_external_labels,
    check_external_name,
    parse_external_labels,
)
from agent.errors import RulesError
from tests.generate.plans import company


def test_external_labels_are_name_and_value_by_commas() -> None:
    assert parse_external_labels(" environment=prod, cluster=eu-1 ,") == {
        "cluster": "eu-1",
        "environment": "prod",
    }
    assert parse_external_labels("") == {}
    assert parse_external_labels("environment=a=b") == {"environment": "a=b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prod", "'prod' is not name=value"),
        ("environment=", "is not name=value"),
        ("environment=a,environment=b", "is given twice"),
        ("my-env=a", "'my-env' is not a label name"),
        ("__env=a", "'__env' is not a label name"),
        ("job=a", "Prometheus sets it to the scrape job"),
        ("kpi=a", "the agent's metrics have it"),
        ("topic=a", "the agent's metrics have it"),
    ],
)
def test_what_can_not_be_an_external_label_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_external_labels(text)


def test_a_dimension_or_label_of_a_rule_is_no_external_label() -> None:
    plan = company()
    check_external_labels(plan, ["environment"])
    with pytest.raises(RulesError, match="'region' is a dimension of the KPI 'response_time'"):
        check_external_labels(plan, ["region"])
    with pytest.raises(RulesError, match="'area' is a label of the rule 'slow_support'"):
        check_external_labels(plan, ["area"])
    rules = {n: replace(r, labels={}) for n, r in plan.rules.items()}
    check_external_labels(replace(plan, rules=rules), ["area"])


def test_a_name_alone_is_evaluated_in_the_same_way() -> None:
    check_external_name("tenant")
    with pytest.raises(ValueError, match="escalation"):
        check_external_name("escalation")
