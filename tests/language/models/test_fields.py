"""How a field's values are written, out of an example."""

import pytest

from agent.core.model.field_types import NumberFormat
from agent.language.models.fields import number_format

READ = [
    ("1,234.50", NumberFormat(",", ".")),
    ("1.234,50", NumberFormat(".", ",")),
    ("1 234,50", NumberFormat(" ", ",")),
    ("1\N{NO-BREAK SPACE}234,50", NumberFormat(" ", ",")),
    ("1'234.5", NumberFormat("'", ".")),
    ("1,234,567", NumberFormat(",", "")),
    ("1,234", NumberFormat(",", "")),
    ("12,5", NumberFormat("", ",")),
    ("12.50", NumberFormat("", ".")),
    ("-12.50", NumberFormat("", ".")),
    ("1234", NumberFormat("", "")),
    ("€ 12", NumberFormat("", "", "€ ")),
    ("EUR 1.234,50", NumberFormat(".", ",", "EUR ")),
    ("12.5 %", NumberFormat("", ".", "", " %")),
]


@pytest.mark.parametrize(("example", "expected"), READ)
def test_an_example_says_how_numbers_are_written(example: str, expected: NumberFormat) -> None:
    assert number_format(example) == expected


@pytest.mark.parametrize("example", ["", "twelve", "1,23.4.5", "12,34,56", "1 or 2", "1.234.56"])
def test_what_is_no_example_is_refused(example: str) -> None:
    with pytest.raises(ValueError, match=r"number|clear|three"):
        number_format(example)
