from __future__ import annotations

from dataclasses import replace

from agent.core.model.rules import RuleOverride, is_whole, override_for, variant_for, variants
from tests.generate.plans import absence, level, threshold

BASE = threshold("slow", "response", level("warning", "value > 4"))
STRICT = replace(BASE, levels=(level("critical", "value > 2"),))
RULE = replace(
    BASE,
    overrides=(
        RuleOverride({"region": "emea"}, STRICT),
        RuleOverride({"region": "emea", "channel": "bot"}, None),
    ),
)
BY = ("region", "channel")


def test_the_last_override_that_matches_a_series_holds() -> None:
    assert override_for(RULE, BY, ("apac", "web")) is None
    assert override_for(RULE, BY, ("emea", "web")) == 0
    assert override_for(RULE, BY, ("emea", "bot")) == 1


def test_a_rule_is_as_its_override_says_and_may_be_off_for_a_series() -> None:
    assert variant_for(RULE, BY, ("apac", "web")) is RULE
    assert variant_for(RULE, BY, ("emea", "web")) is STRICT
    assert variant_for(RULE, BY, ("emea", "bot")) is None


def test_the_variants_of_a_rule_are_itself_and_its_overrides_that_are_not_off() -> None:
    assert variants(RULE) == [RULE, STRICT]


def test_only_an_absence_rule_per_kpi_is_about_the_kpi_as_a_whole() -> None:
    assert is_whole(absence("none", "orders", per="kpi"))
    assert not is_whole(absence("none", "orders", per="series"))
    assert not is_whole(BASE)
