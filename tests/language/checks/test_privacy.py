"""Private KPIs: who their people are, and where else they could be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.checks.rule_set import messages

BESIDE = "add: {from: sale, value: count(*), by: [region], window: 1h}"


@pytest.mark.parametrize(
    ("by_clerk", "beside", "expected"),
    [
        ("visibility: private, person: clerk", BESIDE, []),
        ("visibility: private", BESIDE, ["a private KPI that does not say who its people are"]),
        (
            "visibility: private, person: region",
            "add: {from: visit, value: count(*), window: 1h}",
            ["'region' is not a dimension of the KPI"],
        ),
        (
            "person: clerk",
            BESIDE,
            ["'clerk' is a dimension: each series shows one person to everybody"],
        ),
        (
            "visibility: private, person: clerk, minimum_people: 5",
            BESIDE,
            ["`minimum_people` has no effect in a private KPI, whose series are of one person"],
        ),
        (
            "visibility: private, person: clerk",
            "add: {from: sale, value: count(*), by: [clerk], window: 1h}",
            ["'clerk' names the people of 'by_clerk', which is private"],
        ),
        (
            "visibility: private, person: clerk",
            "add: {from: [by_clerk], value: by_clerk}",
            ["it is computed from 'by_clerk', which is private, and shows the same people"],
        ),
        (
            "visibility: private, person: clerk",
            "add: {from: [by_clerk], by: [], value: sum(by_clerk)}",
            [],
        ),
        (
            "visibility: private, person: clerk",
            "add: {from: [by_clerk], by: [], value: sum(by_clerk), person: clerk}",
            ["`person` has no effect in a KPI over KPIs that everybody sees"],
        ),
    ],
)
def test_people_are_shown_by_private_kpis_only(
    by_clerk: str, beside: str, expected: list[str], tmp_path: Path
) -> None:
    changes = f"kpis: {{by_clerk: {{{by_clerk}}}, {beside}}}"
    if "person: region" in by_clerk:
        changes = changes.replace("kpis: {", "kpis: {sales: {by: []}, orders: {by: []}, ")
    assert messages(tmp_path, changes) == expected


@pytest.mark.parametrize(
    ("kpi", "is_refused"),
    [
        ("value: count(*), where: \"clerk >= '4711' and clerk <= '4711'\"", True),
        ("value: count(*), where: \"clerk between '4711' and '4711'\"", True),
        ("value: count(*), where: \"clerk is not distinct from '4711'\"", True),
        ("value: count(*), where: \"starts_with(clerk, '4711')\"", True),
        ("value: count(*), where: \"ends_with(clerk, '4711')\"", True),
        ("value: count(*), where: \"contains(clerk, '4711')\"", True),
        ("value: count(*), where: \"regexp_matches(clerk, '^4711$')\"", True),
        ("value: count(*), where: \"nullif(clerk, '4711') is null\"", True),
        ("value: sum(case clerk when '4711' then amount end)", True),
        ("value: count(*), where: clerk is not null", False),
        ("value: count(distinct clerk) filter (where amount > 3)", False),
        ("value: count(distinct case when amount > 3 then clerk end)", False),
        ("value: case when count(distinct clerk) > 3 then sum(amount) end", False),
    ],
)
def test_no_comparison_selects_single_people(kpi: str, is_refused: bool, tmp_path: Path) -> None:
    by_clerk = "by_clerk: {visibility: private, person: clerk}"
    problems = messages(tmp_path, f"kpis: {{{by_clerk}, add: {{from: sale, {kpi}, window: 1h}}}}")
    refused = ["it selects people by 'clerk', who are private in 'by_clerk'"]
    assert problems == (refused if is_refused else [])


GROUP = "from: sale, value: count(*), where: items > 1, by: [region], window: 1h"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("person: clerk", []),
        ("person: clerk, minimum_people: 10", []),
        ("person: nobody", ["'nobody' is not a field of 'sale'"]),
        (
            "minimum_people: 3",
            ["`minimum_people` has no effect in a KPI that does not say who its people are"],
        ),
    ],
)
def test_a_group_says_by_which_field_its_people_are_counted(
    said: str, expected: list[str], tmp_path: Path
) -> None:
    assert messages(tmp_path, f"kpis: {{add: {{{GROUP}, {said}}}}}") == expected


@pytest.mark.parametrize(
    ("said", "beside", "is_warned"),
    [
        ("person: clerk", GROUP.replace("[region]", "[]"), True),
        ("person: clerk", GROUP, True),
        ("person: clerk", GROUP.replace("[region]", "[region, items]"), True),
        ("person: clerk", GROUP + ", person: clerk", False),
        ("person: clerk", GROUP.replace("> 1", "> 2"), False),
        ("person: clerk", GROUP.replace("1h", "2h"), False),
        ("person: clerk", "from: [add], value: sum(add), by: []", False),
        ("person: clerk, minimum_people: 1", GROUP.replace("[region]", "[]"), False),
    ],
)
def test_a_kpi_that_gives_hidden_groups_away_is_warned_of(
    said: str, beside: str, is_warned: bool, tmp_path: Path
) -> None:
    problems = messages(tmp_path, f"kpis: {{add: {{{GROUP}, {said}}}, beside: {{{beside}}}}}")
    assert problems == (["it gives away the groups that 'add' hides"] if is_warned else [])
