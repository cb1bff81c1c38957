"""How numbers and times are written, by what a field holds."""

from __future__ import annotations

import pytest

from agent.core.decode.time_formats import format_problem
from agent.init.spelling import TIME_FORMATS, is_either, number_example, time_format
from agent.language.models.fields import number_format


@pytest.mark.parametrize(
    ("texts", "example"),
    [
        (["1,234.50", "12.5", "7"], "1,234.50"),
        (["1.234,50", "12,5"], "1.234,50"),
        (["1 234,50", "99,00"], "1 234,50"),
        (["€12", "€7"], "€1234"),
        (["12 %", "7 %"], "1234 %"),
        (["12,50 kr", "7,25 kr"], "1234,50 kr"),
        (["1,234", "999"], "1,234.50"),
        (["o12", "o13"], None),
        (["12 km", "x"], None),
        (["1,2,3"], None),
        (["12.50", "12,50"], None),
        (["€12", "$12"], None),
        (["12", "13"], None),
    ],
)
def test_a_number_is_written_as_its_example(texts: list[str], example: str | None) -> None:
    assert number_example(texts) == example
    assert example is None or number_format(example)


@pytest.mark.parametrize(
    ("texts", "format"),
    [
        (["2025/03/03 08:00", "2025/12/31 23:59"], "%Y/%m/%d %H:%M"),
        (["31/03/2025 08:00:00", "01/04/2025 08:00:00.5"], "%d/%m/%Y %H:%M:%S%.f"),
        (["03/31/2025 08:00:00", "04/01/2025 08:00:00"], "%m/%d/%Y %H:%M:%S%.f"),
        (["03/04/2025 08:00", "03/05/2025 08:00"], "%m/%d/%Y %H:%M"),
        (["31.03.2025"], "%d.%m.%Y"),
        (["soon"], None),
        ([], None),
    ],
)
def test_a_time_has_the_format_in_which_all_can_be_read(
    texts: list[str], format: str | None
) -> None:
    assert time_format(texts) == format


def test_day_and_month_may_be_either_only_where_both_can_be_read() -> None:
    assert is_either(["03/04/2025 08:00"], "%d/%m/%Y %H:%M")
    assert not is_either(["13/04/2025 08:00"], "%d/%m/%Y %H:%M")
    assert not is_either(["2025/03/04 08:00"], "%Y/%m/%d %H:%M")


def test_rules_take_each_format_that_is_tried() -> None:
    assert {format: format_problem(format) for format in TIME_FORMATS} == dict.fromkeys(
        TIME_FORMATS
    )
