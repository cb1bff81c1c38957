"""Series named by their dimensions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.output.series_selector import parse_selector, selector_text, selects
from agent.errors import RulesError

BY = ("region", "team")


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("", {}),
        ("region=emea", {"region": "emea"}),
        (" region = emea , team = a b ", {"region": "emea", "team": "a b"}),
        ('team="R&D, east",region=x', {"team": "R&D, east", "region": "x"}),
        ('team="5\\" screens\\\\"', {"team": '5" screens\\'}),
        ("team=null", {"team": None}),
        ('team="null"', {"team": "null"}),
        ("team=", {"team": ""}),
        ('team=""', {"team": ""}),
        ("team=a=b", {"team": "a=b"}),
        ("team=it's", {"team": "it's"}),
        ('team="\\u00e9"', {"team": "é"}),
    ],
)
def test_a_value_ends_at_a_comma_unless_it_is_in_quotes(
    text: str, selector: dict[str, str | None]
) -> None:
    assert parse_selector(text, BY, "slow") == selector


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("city=Oslo", "'city=Oslo' is no dimension=value of slow"),
        ("region", "'region' is no dimension=value of slow"),
        ("region=a,,team=b", "'' is no dimension=value of slow"),
        ("region=a,", "'region=a,' ends with a comma"),
        ('team="R&D', "the value of team is not quoted as it should be"),
        ('team="a" b', "the value of team is not quoted as it should be"),
        ('team="\\x"', "the value of team is not quoted as it should be"),
        ('team=5" screens', "the value of team is not quoted as it should be"),
        ("team=a,team=b", "team is asked for twice"),
    ],
)
def test_what_names_no_dimension_is_refused(text: str, message: str) -> None:
    with pytest.raises(RulesError) as refused:
        parse_selector(text, BY, "slow")
    assert refused.value.message == message


VALUES = (
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["null", "__none__"])
)


@given(VALUES, VALUES)
def test_the_text_of_a_series_selects_it_and_no_other(region: object, team: object) -> None:
    dimensions = dict(zip(BY, (region, team), strict=True))
    text = selector_text(dimensions)  # type: ignore[arg-type]
    selector = parse_selector(text, BY, "slow")
    assert selects(selector, BY, (region, team))  # type: ignore[arg-type]
    for other in (None, "null", "__none__", "", "a,b"):
        if other != team and str(other).lower() != str(team).lower():
            assert not selects(selector, BY, (region, other))  # type: ignore[arg-type]


def test_an_empty_text_is_asked_for_as_it_is_and_by_its_label() -> None:
    for text in ("team=", 'team=""', "team=__empty__"):
        selector = parse_selector(text, BY, "slow")
        assert selects(selector, BY, ("emea", ""))
        assert not any(selects(selector, BY, ("emea", v)) for v in (None, "__empty__", " "))


def test_dimensions_that_are_not_asked_for_may_have_any_value() -> None:
    assert selects({"team": "a"}, BY, ("emea", "a"))
    assert selects({"team": "a"}, (), ())
    assert not selects({"team": None}, BY, ("emea", "__none__"))
